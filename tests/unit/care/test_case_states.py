"""The states of a case: the whole table of steps."""

from __future__ import annotations

import pytest

from services.care.domain.cases import (
    ACTIVE,
    CaseState,
    ClosedCase,
    MessageKind,
    WrongState,
    after_message,
    check_reopen,
    check_resolve,
)

STEPS = {
    "new": {"inbound": "new", "reply": "waiting", "note": "new"},
    "open": {"inbound": "open", "reply": "waiting", "note": "open"},
    "waiting": {"inbound": "open", "reply": "waiting", "note": "waiting"},
    "resolved": {"inbound": "open", "reply": "resolved", "note": "resolved"},
}


def test_the_table_names_every_state_but_the_last():
    assert {*STEPS, "closed"} == set(CaseState)


@pytest.mark.parametrize("state", STEPS)
@pytest.mark.parametrize("kind", list(MessageKind))
def test_a_message_moves_a_case(state: str, kind: MessageKind):
    assert after_message(kind, CaseState(state)) == STEPS[state][kind]


@pytest.mark.parametrize("kind", list(MessageKind))
def test_a_closed_case_takes_no_message(kind: MessageKind):
    with pytest.raises(ClosedCase, match="open a new one"):
        after_message(kind, CaseState.CLOSED)


@pytest.mark.parametrize("state", list(CaseState))
def test_what_is_at_work_can_be_resolved_and_what_is_resolved_reopened(state: CaseState):
    allowed = []
    for rule in (check_resolve, check_reopen):
        try:
            rule(state)
        except WrongState as error:
            assert str(state) in str(error)  # noqa: PT017
        else:
            allowed.append(rule)
    assert allowed == ([check_resolve] if state in ACTIVE else [check_reopen] * (state is CaseState.RESOLVED))
