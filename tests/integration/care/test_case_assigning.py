"""Who gets a case: fairness and capacity under concurrency, hand over, and no case that nobody looks at."""

from __future__ import annotations

from collections import Counter
from uuid import UUID

import pytest

from services.care.domain.cases import Case, CaseState
from services.care.usecases import cases, setup, upkeep
from services.care.usecases.opening import NewCase, open_case
from services.kit.errors import FailedPrecondition, NotFound
from services.kit.runtime import Runtime
from tests.support.care import at_once, events, make_agents, make_queue


def opened(runtime: Runtime, queue: str = "") -> Case:
    with runtime.db.transaction() as connection:
        return open_case(
            connection, NewCase(subject="s", channel="api", text="t", queue=queue), runtime.clock.now()
        )


def assignee(runtime: Runtime, key: UUID) -> str | None:
    return cases.get_case(runtime, key).assignee


def loads(runtime: Runtime) -> dict[str, int]:
    return {row.id: row.open_cases for row in setup.list_agents(runtime, after="", count=100)}


def test_turns_are_equal_though_all_cases_come_at_once(runtime: Runtime):
    make_agents(runtime, "ana", "bo", "chi")
    make_queue(runtime, "bo", "ana", "chi")
    assert opened(runtime).assignment_reason == "round robin: first of the queue"
    given = Counter(case.assignee for case in at_once(17, lambda _: opened(runtime)))
    assert sum(given.values()) == 17
    assert loads(runtime) == {"ana": 6, "bo": 6, "chi": 6}
    assert len({row.id for row in events(runtime, "case.assigned")}) == 18


def test_nobody_gets_more_than_its_capacity_though_cases_come_at_once_from_two_queues(runtime: Runtime):
    make_agents(runtime, "ana", capacity=3)
    make_agents(runtime, "bo", capacity=2)
    make_queue(runtime, "ana", "bo")
    make_queue(runtime, "bo", "ana", key="other")
    got = at_once(16, lambda number: opened(runtime, "other" if number % 2 else "main"))
    assert loads(runtime) == {"ana": 3, "bo": 2}
    waiting = [case for case in got if case.assignee is None]
    assert len(waiting) == 11
    assert all("at its capacity of 3" in case.assignment_reason for case in waiting)
    assert upkeep.assign_waiting(runtime) == 0


def test_the_reason_says_why_this_agent(runtime: Runtime):
    make_agents(runtime, "ana", "bo", "chi")
    make_queue(runtime, "ana", "bo", "chi")
    opened(runtime)
    setup.set_availability(runtime, "bo", False, False)
    case = opened(runtime)
    assert case.assignee == "chi"
    assert case.assignment_reason == "round robin: next after agents/ana; agents/bo skipped: not available"


def test_cases_wait_for_an_agent_and_are_given_oldest_first(runtime: Runtime):
    make_agents(runtime, "ana", capacity=2)
    setup.set_availability(runtime, "ana", False, False)
    make_queue(runtime, "ana")
    waiting = [opened(runtime) for _ in range(3)]
    assert [case.assignee for case in waiting] == [None] * 3
    agent, given = setup.set_availability(runtime, "ana", True, False)
    assert (agent.available, agent.open_cases, given) == (True, 2, 0)
    assert [assignee(runtime, case.id) for case in waiting] == ["ana", "ana", None]
    # What is solved makes room, which the timer uses.
    cases.resolve_case(runtime, waiting[0].id)
    assert upkeep.assign_waiting(runtime) == 1
    assert assignee(runtime, waiting[2].id) == "ana"
    assert upkeep.assign_waiting(runtime) == 0


def test_a_queue_without_agents_does_not_keep_others_waiting(runtime: Runtime, monkeypatch):
    monkeypatch.setattr(upkeep, "BATCH", 2)
    make_queue(runtime)
    make_queue(runtime, key="second")
    stuck = [opened(runtime) for _ in range(5)]
    served = [opened(runtime, "second") for _ in range(5)]
    assert stuck[0].assignment_reason == "the queue has no agents"
    make_agents(runtime, "ana", "bo")
    with runtime.db.transaction() as connection:
        queue = setup.get_queue(connection, "second")
        setup.update_queue(runtime, connection, type(queue)(**{**_fields(queue), "agents": ("ana", "bo")}))
    assert upkeep.assign_waiting(runtime) == 5
    assert [assignee(runtime, case.id) for case in served] == ["ana", "bo", "ana", "bo", "ana"]
    assert {assignee(runtime, case.id) for case in stuck} == {None}
    assert opened(runtime, "second").assignee == "bo"


def _fields(queue: object) -> dict[str, object]:
    return {name: getattr(queue, name) for name in type(queue).__dataclass_fields__}


def test_two_timers_at_once_give_each_case_once(runtime: Runtime):
    make_agents(runtime, "ana", "bo")
    make_queue(runtime)
    waiting = [opened(runtime) for _ in range(12)]
    with runtime.db.transaction() as connection:
        queue = setup.get_queue(connection, "main")
        setup.update_queue(runtime, connection, type(queue)(**{**_fields(queue), "agents": ("ana", "bo")}))
    given = at_once(4, lambda _: upkeep.assign_waiting(runtime))
    assert sum(given) == 12
    assert loads(runtime) == {"ana": 6, "bo": 6}
    assert len(events(runtime, "case.assigned")) == len(waiting)


def test_hand_over_gives_the_cases_of_one_who_leaves_to_others(runtime: Runtime):
    make_agents(runtime, "ana", "bo")
    make_agents(runtime, "chi", capacity=1)
    make_queue(runtime, "ana")
    own = [opened(runtime) for _ in range(3)]
    solved = opened(runtime)
    cases.resolve_case(runtime, solved.id)
    with runtime.db.transaction() as connection:
        queue = setup.get_queue(connection, "main")
        changed = type(queue)(**{**_fields(queue), "agents": ("ana", "bo", "chi")})
        setup.update_queue(runtime, connection, changed)
    agent, given = setup.set_availability(runtime, "ana", False, True)
    assert (agent.available, agent.open_cases, given) == (False, 0, 3)
    assert [assignee(runtime, case.id) for case in own] == ["bo", "chi", "bo"]
    assert assignee(runtime, solved.id) == "ana"
    assert setup.set_availability(runtime, "ana", False, True)[1] == 0
    # Without the wish the cases stay; with it and nobody left they wait.
    assert setup.set_availability(runtime, "bo", False, False)[0].open_cases == 2
    agent, given = setup.set_availability(runtime, "bo", False, True)
    assert (agent.open_cases, given) == (0, 0)
    assert [assignee(runtime, case.id) for case in own] == [None, "chi", None]
    assert setup.set_availability(runtime, "ana", True, False)[0].open_cases == 2


def test_leaving_and_coming_cases_at_once_strand_nothing(runtime: Runtime):
    make_agents(runtime, "ana", "bo")
    make_queue(runtime, "ana", "bo")
    make_queue(runtime, "bo", "ana", key="other")

    def work(number: int) -> object:
        if number == 3:
            return setup.set_availability(runtime, "ana", False, True)
        if number == 7:
            return setup.set_availability(runtime, "ana", False, True)
        return opened(runtime, "other" if number % 2 else "main")

    at_once(14, work)
    setup.set_availability(runtime, "ana", False, True)
    upkeep.assign_waiting(runtime)
    assert loads(runtime) == {"ana": 0, "bo": 12}


def test_assigning_by_hand_and_by_the_queue(runtime: Runtime):
    make_agents(runtime, "ana", "bo")
    make_queue(runtime, "ana", "bo")
    case = opened(runtime)
    assert case.assignee == "ana"
    # Again and again changes nothing: the call may be repeated.
    assert cases.assign_case(runtime, case.id, "") == cases.assign_case(runtime, case.id, "ana")
    assert cases.get_case(runtime, case.id).revision == case.revision
    chosen = cases.assign_case(runtime, case.id, "bo")
    assert (chosen.assignee, chosen.assignment_reason) == ("bo", "chosen by hand")
    setup.set_availability(runtime, "bo", False, False)
    assert cases.assign_case(runtime, case.id, "").assignee == "ana"
    with pytest.raises(NotFound):
        cases.assign_case(runtime, case.id, "nobody")
    assert [row.type for row in events(runtime)] == ["case.opened", *["case.assigned"] * 3]


def test_without_a_default_queue_a_plain_one_is_made(runtime: Runtime):
    got = at_once(6, lambda _: opened(runtime))
    assert {case.queue for case in got} == {"default"}
    assert len({case.number for case in got}) == 6
    make_queue(runtime)
    assert opened(runtime).queue == "main"
    with pytest.raises(NotFound, match="queues/missing"):
        opened(runtime, "missing")


def test_one_queue_is_the_default_however_many_claim_it_at_once(runtime: Runtime):
    at_once(6, lambda number: make_queue(runtime, key=f"q{number}", default_queue=True))
    defaults = [queue.id for queue in setup.list_queues(runtime, after="", count=100) if queue.default_queue]
    assert len(defaults) == 1
    assert opened(runtime).queue == defaults[0]


def test_a_closed_case_is_given_to_nobody(runtime: Runtime):
    make_agents(runtime, "ana")
    make_queue(runtime, "ana")
    case = opened(runtime)
    cases.resolve_case(runtime, case.id)
    runtime.clock.instant += upkeep.CLOSE_AFTER
    assert upkeep.close_resolved(runtime) == 1
    assert cases.get_case(runtime, case.id).state is CaseState.CLOSED
    with pytest.raises(FailedPrecondition) as caught:
        cases.assign_case(runtime, case.id, "ana")
    assert caught.value.reason == "CASE_CLOSED"
