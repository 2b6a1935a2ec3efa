"""`rapport campaigns unknown` against the served campaign service, and the policy that says what is held."""

from __future__ import annotations

from typing import Any

import pytest
from rapport.campaign.v1 import campaign_pb2 as pb
from rapport_client import errors

from tests.support.campaign_desk import Desk, draft
from tests.support.campaign_fakes import Directory
from tests.support.cli import Ran, run_cli

Policy = pb.Campaign


def rapport(desk: Desk, *arguments: str) -> Ran:
    environment = {
        "RAPPORT_ADDRESS": f"127.0.0.1:{desk.served.ports.api}",
        "RAPPORT_EVENTS_ADDRESS": f"127.0.0.1:{desk.served.ports.events}",
        "RAPPORT_TOKEN": desk.served.token,
    }
    return run_cli("campaigns", *arguments, environment=environment)


def test_what_is_held_is_shown_and_decided_on(desk: Desk, api: Any, directory: Directory) -> None:
    desk.template()
    lost = ["a@mail.test", "b@mail.test"]
    for address in lost:
        directory.add(address=address)
        desk.smtp.behave("drop_after", to=address)
    name = desk.campaign()
    assert api.get_campaign(name=name).campaign.unknown_policy == Policy.UNKNOWN_POLICY_HOLD
    desk.launch(name)
    desk.send()
    shown = rapport(desk, "unknown", "spring")
    assert (shown.code, shown.err) == (0, "")
    assert "2 unknown; decide by --sent, --failed or --retry" in shown.out
    assert rapport(desk, "unknown", "spring", "--sent", "--retry").code == 1
    assert rapport(desk, "unknown", "spring", "--channel", "sms.http").out == "0 unknown\n"
    assert rapport(desk, "unknown", "spring", "--before", "2000-01-01", "--failed").out.startswith("0 taken")
    assert api.get_campaign(name=name).campaign.counts.unknown == 2
    for address in lost:
        desk.smtp.behave("accept", to=address)
    again = rapport(desk, "unknown", name, "--retry", "--comment", "the log of the server has none")
    assert (again.code, again.out) == (0, "2 planned again, 0 left as they are\n")
    assert desk.send() == 2
    assert api.get_campaign(name=name).campaign.counts.sent == 2
    assert rapport(desk, "unknown", name, "--sent").out == "0 taken for sent, 0 left as they are\n"
    told = rapport(desk, "unknown", name, "--decided").out
    assert all(word in told for word in ("owner", "planned again", "the log of the"))
    assert rapport(desk, "unknown", "requests", "--decided").out == "nobody decided anything\n"
    assert rapport(desk, "unknown", "requests").out == "0 unknown\n"
    assert rapport(desk, "unknown", "campaigns/none").code == 1


def test_only_a_channel_that_never_delivers_twice_may_send_again(desk: Desk, api: Any) -> None:
    desk.template()
    with pytest.raises(errors.InvalidArgument) as caught:
        api.create_campaign(campaign_id="c", campaign=draft(unknown_policy="UNKNOWN_POLICY_RETRY"))
    assert caught.value.reason == "CHANNEL_NOT_IDEMPOTENT"
    assert [item.field for item in caught.value.violations] == ["campaign.unknown_policy"]
