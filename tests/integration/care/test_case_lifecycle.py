"""A case through its life: promises, breaches that are told once, reopening, closing, and the customer's answer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from rapport.care.v1 import events_pb2

from services.care.domain.calendar import Calendar
from services.care.domain.cases import Case, CaseState, MessageKind
from services.care.domain.sla import Target
from services.care.store.setup import Labelled
from services.care.usecases import cases, csat, setup, upkeep
from services.care.usecases.figures import upkeep_figures
from services.care.usecases.opening import NewCase, open_case
from services.kit.errors import FailedPrecondition, InvalidArgument, NotFound
from services.kit.runtime import Runtime
from services.kit.signing import CASE, SURVEY
from tests.support.care import at_once, events, make_queue
from tests.support.stack import NOW

MINUTE = timedelta(minutes=1)
PROMISES = {"": Target(30, 120), "urgent": Target(5, 10)}


def opened(runtime: Runtime, **values: Any) -> Case:
    new = NewCase(**({"subject": "s", "channel": "api", "contact_id": uuid4()} | values))
    with runtime.db.transaction() as connection:
        return open_case(connection, new, runtime.clock.now())


def said(runtime: Runtime, case: Case, kind: MessageKind = MessageKind.REPLY) -> Case:
    with runtime.db.transaction() as connection:
        return cases.add_message(runtime, connection, case.id, kind, "words", "agents/ana")[1]


def pass_time(runtime: Runtime, span: timedelta) -> None:
    runtime.clock.instant += span


def delay(runtime: Runtime) -> float:
    with runtime.db.read() as connection:
        [family] = upkeep_figures(connection, runtime.clock.now())
    [sample] = family.samples
    assert family.name == "rapport_care_promise_delay_seconds"
    return float(sample.value)


def breaches(runtime: Runtime) -> list[str]:
    return [events_pb2.CaseChanged.FromString(row.data).promise for row in events(runtime, "case.breached")]


def test_due_times_follow_the_calendar_of_the_queue(runtime: Runtime):
    office = Calendar(ZoneInfo("Asia/Ho_Chi_Minh"), dict.fromkeys(range(1, 6), ((480, 720), (780, 1020))))
    with runtime.db.transaction() as connection:
        setup.create_calendar(runtime, connection, "hcm", Labelled(office, {}))
    make_queue(runtime, calendar_id="hcm", targets={"": Target(60, 480)})
    # NOW is a Sunday evening in Ho Chi Minh City.
    case = opened(runtime)
    assert case.first_response.due == datetime(2026, 3, 2, 2, 0, tzinfo=UTC)
    assert case.resolution.due == datetime(2026, 3, 2, 10, 0, tzinfo=UTC)


def test_breaches_are_marked_when_due_and_told_once_though_timers_race(runtime: Runtime):
    make_queue(runtime, targets=PROMISES)
    normal, urgent = opened(runtime), opened(runtime, priority="urgent")
    assert upkeep.mark_broken_promises(runtime) == 0
    pass_time(runtime, 5 * MINUTE)
    assert upkeep.mark_broken_promises(runtime) == 0
    pass_time(runtime, timedelta(microseconds=1))
    assert sum(at_once(4, lambda _: upkeep.mark_broken_promises(runtime))) == 1
    assert cases.get_case(runtime, urgent.id).broken == ("first_response",)
    assert cases.get_case(runtime, normal.id).broken == ()
    pass_time(runtime, timedelta(days=3))
    # Until they are, it is shown how long the oldest of them has waited.
    assert int(delay(runtime)) == 3 * 86_400 - 5 * 60
    assert sum(at_once(4, lambda _: upkeep.mark_broken_promises(runtime))) == 3
    assert delay(runtime) == 0
    assert sorted(breaches(runtime)) == ["first_response"] * 2 + ["resolution"] * 2
    for case in (normal, urgent):
        assert cases.get_case(runtime, case.id).broken == ("first_response", "resolution")
    assert upkeep.mark_broken_promises(runtime) == 0


def test_many_breaches_go_in_batches(runtime: Runtime, monkeypatch):
    monkeypatch.setattr(upkeep, "BATCH", 2)
    make_queue(runtime, targets={"": Target(1, 0)})
    for _ in range(5):
        opened(runtime)
    pass_time(runtime, 2 * MINUTE)
    assert upkeep.mark_broken_promises(runtime) == 5
    assert len(events(runtime, "case.breached")) == 5


def test_an_answer_in_time_keeps_the_first_promise(runtime: Runtime):
    make_queue(runtime, targets=PROMISES)
    case = opened(runtime)
    said(runtime, case, MessageKind.NOTE)
    said(runtime, case, MessageKind.INBOUND)
    assert cases.get_case(runtime, case.id).first_response.done is None
    pass_time(runtime, 30 * MINUTE)
    assert said(runtime, case).first_response.done == NOW + 30 * MINUTE
    pass_time(runtime, MINUTE)
    assert said(runtime, case).first_response.done == NOW + 30 * MINUTE
    assert upkeep.mark_broken_promises(runtime) == 0


def test_late_deeds_break_promises_without_the_timer_and_the_timer_adds_nothing(runtime: Runtime):
    make_queue(runtime, targets=PROMISES)
    answered, solved = opened(runtime), opened(runtime)
    pass_time(runtime, 31 * MINUTE)
    assert said(runtime, answered).broken == ("first_response",)
    pass_time(runtime, 90 * MINUTE)
    assert cases.resolve_case(runtime, solved.id).broken == ("first_response", "resolution")
    assert cases.resolve_case(runtime, answered.id).broken == ("first_response", "resolution")
    assert upkeep.mark_broken_promises(runtime) == 0
    assert sorted(breaches(runtime)) == ["first_response"] * 2 + ["resolution"] * 2


def test_waiting_for_the_customer_does_not_stop_the_clock(runtime: Runtime):
    make_queue(runtime, targets=PROMISES)
    case = said(runtime, opened(runtime))
    assert case.state is CaseState.WAITING
    pass_time(runtime, 121 * MINUTE)
    assert upkeep.mark_broken_promises(runtime) == 1
    assert breaches(runtime) == ["resolution"]


def test_solved_cases_break_nothing_and_reopening_keeps_promises(runtime: Runtime):
    make_queue(runtime, targets=PROMISES)
    case = said(runtime, opened(runtime))
    solved = cases.resolve_case(runtime, case.id)
    pass_time(runtime, timedelta(days=2))
    assert upkeep.mark_broken_promises(runtime) == 0
    again = cases.reopen_case(runtime, case.id)
    assert again.state is CaseState.OPEN
    assert (again.resolution, again.first_response) == (solved.resolution, solved.first_response)
    assert upkeep.mark_broken_promises(runtime) == 0
    later = cases.resolve_case(runtime, case.id)
    assert later.broken == ()
    assert later.resolution.done == NOW + timedelta(days=2)
    assert [row.type for row in events(runtime)] == [
        "case.opened",
        "case.reply_requested",
        "case.resolved",
        "case.reopened",
        "case.resolved",
    ]


def test_steps_that_are_taken_already_change_nothing(runtime: Runtime):
    make_queue(runtime)
    case = opened(runtime)
    assert cases.reopen_case(runtime, case.id).revision == case.revision
    solved = cases.resolve_case(runtime, case.id)
    assert cases.resolve_case(runtime, case.id) == solved
    assert len(events(runtime, "case.resolved")) == 1


def test_a_message_of_the_customer_opens_a_solved_case_again(runtime: Runtime):
    make_queue(runtime)
    case = opened(runtime)
    cases.resolve_case(runtime, case.id)
    assert said(runtime, case, MessageKind.NOTE).state is CaseState.RESOLVED
    assert said(runtime, case, MessageKind.REPLY).state is CaseState.RESOLVED
    assert said(runtime, case, MessageKind.INBOUND).state is CaseState.OPEN
    assert len(events(runtime, "case.reopened")) == 1


def test_solved_cases_are_closed_after_a_month_for_good(runtime: Runtime, monkeypatch):
    monkeypatch.setattr(upkeep, "BATCH", 2)
    make_queue(runtime)
    old = [opened(runtime) for _ in range(3)]
    for case in old:
        cases.resolve_case(runtime, case.id)
    pass_time(runtime, MINUTE)
    young, active = opened(runtime), opened(runtime)
    cases.resolve_case(runtime, young.id)
    runtime.clock.instant = NOW + upkeep.CLOSE_AFTER
    assert sum(at_once(3, lambda _: upkeep.close_resolved(runtime))) == 3
    states = [cases.get_case(runtime, case.id).state for case in (*old, young, active)]
    assert states == ["closed", "closed", "closed", "resolved", "new"]
    assert len(events(runtime, "case.closed")) == 3
    for call in (cases.resolve_case, cases.reopen_case):
        with pytest.raises(FailedPrecondition) as caught:
            call(runtime, old[0].id)
        assert caught.value.reason == "CASE_STATE"
    for kind in MessageKind:
        with pytest.raises(FailedPrecondition) as caught:
            said(runtime, old[0], kind)
        assert caught.value.reason == "CASE_CLOSED"
    assert csat.summary(runtime).resolved == 4


def test_a_reply_needs_somebody_to_reach(runtime: Runtime):
    make_queue(runtime)
    case = opened(runtime, contact_id=None)
    with pytest.raises(FailedPrecondition) as caught:
        said(runtime, case)
    assert caught.value.reason == "NO_ADDRESS"
    assert said(runtime, case, MessageKind.NOTE).state is CaseState.NEW
    assert events(runtime, "case.reply_requested") == []
    assert said(runtime, opened(runtime, contact_id=None, address="a@b.test")).state is CaseState.WAITING


def test_the_customers_answer_is_kept_once_and_can_be_changed(runtime: Runtime):
    make_queue(runtime)
    case, other = opened(runtime), opened(runtime)
    token = runtime.signer.sign(SURVEY, case.id.bytes)
    at_once(4, lambda _: csat.record_answer(runtime, token, 2, "slow"))
    assert len(events(runtime, "csat.answered")) == 1
    csat.record_answer(runtime, token.upper(), 5, "")
    assert cases.get_case(runtime, case.id).csat_score == 5
    csat.record_answer(runtime, runtime.signer.sign(SURVEY, other.id.bytes), 2, "")
    figures = csat.summary(runtime)
    assert (figures.answers, figures.mean_score) == (2, 3.5)
    scores = [events_pb2.CsatAnswered.FromString(row.data).score for row in events(runtime, "csat.answered")]
    assert scores == [2, 5, 2]
    for bad in (token[:-1], "x", runtime.signer.sign(CASE, case.id.bytes)):
        with pytest.raises(InvalidArgument) as caught:
            csat.record_answer(runtime, bad, 1, "")
        assert caught.value.reason == "INVALID_TOKEN"
    with pytest.raises(NotFound):
        csat.record_answer(runtime, runtime.signer.sign(SURVEY, uuid4().bytes), 1, "")


def test_figures_count_every_case_once(runtime: Runtime):
    make_queue(runtime, targets=PROMISES)
    for _ in range(3):
        opened(runtime)
    cases.resolve_case(runtime, opened(runtime).id)
    pass_time(runtime, timedelta(days=1))
    upkeep.mark_broken_promises(runtime)
    figures = csat.summary(runtime)
    assert (figures.opened, figures.resolved, figures.breached, figures.unassigned) == (4, 1, 3, 3)
    assert (figures.answers, figures.mean_score) == (0, 0.0)
