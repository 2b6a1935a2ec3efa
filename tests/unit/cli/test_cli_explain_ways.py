"""What `rapport segments explain` says of the ways to turn an outcome."""

import pytest
from rapport.segmentation.v1 import segmentation_pb2 as pb

from services.cli.segments import explain


@pytest.mark.parametrize("fewest", [True, False])
def test_it_is_said_when_fewer_changes_may_do(fewest: bool, capsys: pytest.CaptureFixture[str]) -> None:
    answer = pb.ExplainMembershipResponse(outcome=pb.TRUTH_FALSE, changes_are_fewest=fewest)
    answer.tree.kind = pb.RulePart.KIND_LEAF
    answer.tree.value = pb.TRUTH_FALSE
    answer.leaves.add(text="contact.vip", value=pb.TRUTH_FALSE)
    answer.changes.add(hint="contact.vip to be TRUE")
    explain._show(answer, "contacts/x", "")
    out = capsys.readouterr().out
    assert "it would turn if there were:\n  • contact.vip to be TRUE\n" in out
    assert ("fewer changes may do as well" in out) is not fewest
