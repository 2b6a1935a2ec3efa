"""The survey that is answered by mail: a number is a score, words are a reply."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from rapport.care.v1 import events_pb2

from services.care.domain.cases import Case, CaseState
from services.care.models import case as case_table
from services.care.store import figures
from services.care.usecases import cases, upkeep
from services.care.usecases.cases import list_messages
from services.care.usecases.inbound import Received, receive_mail
from services.kit.access.scope import EVERYTHING
from services.kit.runtime import Runtime
from services.kit.signing import SURVEY
from tests.support.care import DOMAIN, events, mail

SENDER = "customer@example.test"


@pytest.fixture
def solved(runtime: Runtime) -> Case:
    opened = receive_mail(runtime, mail("Help!"), SENDER, [f"care@{DOMAIN}"]).case
    assert opened is not None
    return cases.resolve_case(runtime, opened.id)


def answer(runtime: Runtime, case: Case, raw: bytes) -> Received:
    token = runtime.signer.sign(SURVEY, case.id.bytes)
    return receive_mail(runtime, raw, SENDER, [f"reply+{token}@{DOMAIN}"])


def comment(runtime: Runtime, case: Case) -> str:
    with runtime.db.read() as connection:
        return str(connection.scalar(sa.select(case_table.c.csat_comment).where(case_table.c.id == case.id)))


def texts(runtime: Runtime, case: Case) -> list[str]:
    return [item.text for item in list_messages(runtime, case.id, after=None, count=100)]


def test_a_number_is_recorded_and_the_case_stays_solved(runtime: Runtime, solved: Case):
    raw = mail("\n4 - quick\nThanks!\n\nOn Monday, care wrote:\n> How was it?\n> 1 to 5")
    received = answer(runtime, solved, raw)
    assert received.outcome == "continued"
    assert received.case == cases.get_case(runtime, solved.id)
    assert (received.case.csat_score, received.case.state) == (4, CaseState.RESOLVED)
    assert comment(runtime, solved) == "quick\nThanks!"
    # What was written is there to read, in full.
    assert texts(runtime, solved)[0] == "Help!"
    assert texts(runtime, solved)[1].startswith("4 - quick")
    [event] = events(runtime, "csat.answered")
    assert events_pb2.CsatAnswered.FromString(event.data).score == 4
    assert events(runtime, "case.reopened") == []


def test_the_same_mail_again_counts_once_and_another_replaces_the_score(runtime: Runtime, solved: Case):
    raw = mail("2")
    assert answer(runtime, solved, raw).outcome == "continued"
    assert answer(runtime, solved, mail("5")).outcome == "continued"
    again = answer(runtime, solved, raw)
    assert again.outcome == "duplicate"
    assert cases.get_case(runtime, solved.id).csat_score == 5
    assert texts(runtime, solved) == ["Help!", "2", "5"]
    assert len(events(runtime, "csat.answered")) == 2


def test_words_are_a_reply_that_opens_the_case_again(runtime: Runtime, solved: Case):
    received = answer(runtime, solved, mail("It broke again.\n\n5 times now"))
    assert received.outcome == "continued"
    assert received.case is not None
    assert (received.case.id, received.case.state) == (solved.id, CaseState.OPEN)
    assert received.case.csat_score is None
    assert events(runtime, "csat.answered") == []
    assert len(events(runtime, "case.reopened")) == 1


def test_a_closed_case_takes_the_score_but_words_open_a_new_one(runtime: Runtime, solved: Case):
    runtime.clock.instant += upkeep.CLOSE_AFTER
    upkeep.close_resolved(runtime)
    rated = answer(runtime, solved, mail("3"))
    assert rated.case is not None
    assert (rated.outcome, rated.case.state, rated.case.csat_score) == ("continued", CaseState.CLOSED, 3)
    fresh = answer(runtime, solved, mail("still broken"))
    assert fresh.outcome == "opened"
    assert fresh.case is not None
    assert fresh.case.id != solved.id


def test_a_machine_rates_nothing(runtime: Runtime, solved: Case):
    raw = mail("5 days of leave", headers="Auto-Submitted: auto-replied\r\n")
    assert answer(runtime, solved, raw).outcome == "automatic"
    assert cases.get_case(runtime, solved.id) == solved


def test_a_failure_after_the_score_leaves_neither_score_nor_claim(
    runtime: Runtime, solved: Case, monkeypatch: pytest.MonkeyPatch
):
    raw = mail("5")

    def fail(*_: object) -> None:
        raise RuntimeError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("services.care.store.mail.settle", fail)
        with pytest.raises(RuntimeError, match="disk"):
            answer(runtime, solved, raw)
    assert cases.get_case(runtime, solved.id) == solved
    assert answer(runtime, solved, raw).outcome == "continued"
    with runtime.db.read() as connection:
        assert figures.summary(connection, EVERYTHING).answers == 1
