"""Who may see only some cases and tasks neither sees, lists, counts nor changes the others, whichever RPC it calls."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from rapport_client import errors
from structlog.testing import capture_logs

from tests.support.care import Contacts, neighbour
from tests.support.scopes import caller, scoped_rpcs
from tests.support.stack import Served

QUEUES = {"north": ["hanh", "binh"], "south": ["carl"], "west": ["binh"]}
AGENTS = ("hanh", "binh", "carl", "dora")
NOTE = {"kind": "KIND_NOTE", "text": "n"}


@dataclass(frozen=True)
class Item:
    """A case as the model knows it."""

    name: str
    contact: str
    queue: str
    assignee: str


@dataclass(frozen=True)
class Caller:
    """A user with a scope, and what the model says that it sees."""

    user: str
    scope: str
    teams: tuple[str, ...] = ()

    def sees(self, item: Item) -> bool:
        """Say whether a case is within the scope."""
        own = item.assignee == self.user
        teams = {queue for queue, agents in QUEUES.items() if self.user in agents} | set(self.teams)
        return self.scope == "all" or own or (self.scope == "team" and item.queue in teams)

    def manages(self, agent: str) -> bool:
        """Say whether an agent's availability may be changed."""
        teams = [agents for queue, agents in QUEUES.items() if self.user in agents or queue in self.teams]
        return (
            agent == self.user
            or self.scope == "all"
            or (self.scope == "team" and any(agent in agents for agents in teams))
        )


CALLERS = [
    *(Caller(user, scope) for user in ("hanh", "binh") for scope in ("own", "team")),
    Caller("carl", "all"),
    Caller("dora", "own", ("south",)),
    Caller("dora", "team", ("south",)),
    Caller("dora", "team"),
    Caller("nobody", "team", ("no-such-queue",)),
]
# Each changes or reads the one case that it names; for one that is out of scope all answer NOT_FOUND.
BY_CASE: dict[str, Callable[[Any, str], Any]] = {
    "get_case": lambda client, name: client.get_case(name=name),
    "list_case_messages": lambda client, name: client.list_case_messages(case=name),
    "add_case_message": lambda client, name: client.add_case_message(case=name, message=NOTE),
    "assign_case": lambda client, name: client.assign_case(name=name, agent="agents/dora"),
    "resolve_case": lambda client, name: client.resolve_case(name=name),
    "reopen_case": lambda client, name: client.reopen_case(name=name),
}
# The same of the one task that it names.
BY_TASK: dict[str, Callable[[Any, str], Any]] = {
    "get_task": lambda client, name: client.get_task(name=name),
    "update_task": lambda client, name: client.update_task(
        task={"name": name, "text": uuid4().hex}, update_mask=["text"]
    ),
    "complete_task": lambda client, name: client.complete_task(name=name),
    "reopen_task": lambda client, name: client.reopen_task(name=name),
}
OTHERS = {
    "create_task",
    "list_tasks",
    "create_case",
    "list_cases",
    "get_care_summary",
    "get_customer_glance",
    "list_agents",
    "set_agent_availability",
}


@pytest.fixture(scope="module")
def items(served: Served) -> list[Item]:
    for agent in AGENTS:
        served.client.create_agent(agent_id=agent, agent={"available": agent != "dora"})
    for queue, agents in QUEUES.items():
        served.client.create_queue(queue_id=queue, queue={"agents": [f"agents/{one}" for one in agents]})
    draw = random.Random(7)
    contacts = [f"contacts/{uuid4()}" for _ in range(4)]
    found = []
    for number in range(14):
        queue, contact = draw.choice([*QUEUES]), draw.choice(contacts)
        case = served.client.create_case(
            case={"subject": f"case {number}", "queue": f"queues/{queue}", "contact": contact}
        ).case
        # Also by hand to somebody who is not of the queue.
        agent = draw.choice(AGENTS)
        served.client.assign_case(name=case.name, agent=f"agents/{agent}")
        found.append(Item(case.name, contact, queue, agent))
    return found


@pytest.fixture(scope="module")
def to_do(served: Served, items: list[Item]) -> list[Item]:
    """Give a task in each queue of each agent, and of none."""
    found = []
    for queue in QUEUES:
        for agent in (*AGENTS, ""):
            contact = f"contacts/{uuid4()}"
            asked = {"title": "task", "queue": f"queues/{queue}", "contact": contact}
            if agent:
                asked["assignee"] = f"agents/{agent}"
            found.append(Item(served.client.create_task(task=asked).task.name, contact, queue, agent))
    return found


@pytest.fixture(params=CALLERS, ids=lambda one: f"{one.user}:{one.scope}:{','.join(one.teams)}")
def who(request: pytest.FixtureRequest) -> Caller:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def client(served: Served, who: Caller) -> Any:
    grants = [
        f"{one}:{who.scope}"
        for one in ("care.read", "care.cases.write", "care.tasks.write", "care.glance.read")
    ]
    return caller(served, who.user, *grants, teams=who.teams)


def all_of(served: Served) -> dict[str, Any]:
    return {case.name: case for case in served.client.list_cases.iterate()}


def test_every_rpc_that_heeds_scopes_is_tested_here() -> None:
    assert scoped_rpcs("care") == BY_CASE.keys() | BY_TASK.keys() | OTHERS


def test_only_cases_within_the_scope_are_listed_and_counted(
    served: Served, items: list[Item], who: Caller, client: Any
) -> None:
    visible = {item.name for item in items if who.sees(item)}
    if who.scope != "all":
        assert {case.name for case in client.list_cases.iterate(page_size=2)} == visible
        assert client.get_care_summary().opened_count == len(visible)
    for contact in {item.contact for item in items}:
        expected = {item.name for item in items if item.contact == contact and who.sees(item)}
        assert {case.name for case in client.list_cases(contact=contact).cases} == expected
    for agent in AGENTS:
        expected = {item.name for item in items if item.assignee == agent and who.sees(item)}
        assert {case.name for case in client.list_cases(assignee=f"agents/{agent}").cases} == expected
    counts = {agent.name: agent.open_case_count for agent in client.list_agents().agents}
    assert {agent: counts[f"agents/{agent}"] for agent in AGENTS} == {
        agent: sum(item.assignee == agent and who.sees(item) for item in items) for agent in AGENTS
    }


@pytest.mark.parametrize("method", BY_CASE)
def test_a_case_out_of_scope_does_not_exist_and_stays_as_it_is(
    served: Served, items: list[Item], who: Caller, client: Any, method: str
) -> None:
    hidden = [item for item in items if not who.sees(item)]
    assert bool(hidden) is (who.scope != "all")
    before = all_of(served)
    for item in hidden:
        with pytest.raises(errors.NotFound) as caught:
            BY_CASE[method](client, item.name)
        # The very words for a case that never was.
        with pytest.raises(errors.NotFound) as never:
            BY_CASE[method](client, nowhere := f"cases/{uuid4()}")
        assert caught.value.message.replace(item.name, nowhere) == never.value.message
    assert all_of(served) == before


def test_what_is_within_the_scope_can_be_read_and_changed(served: Served, who: Caller, client: Any) -> None:
    queue = next((name for name, agents in QUEUES.items() if who.user in agents), "south")
    made = client.create_case(case={"subject": "made", "queue": f"queues/{queue}"}).case
    served.client.assign_case(name=made.name, agent=f"agents/{who.user if who.user in AGENTS else 'hanh'}")
    try:
        if who.sees(Item(made.name, "", queue, who.user if who.user in AGENTS else "hanh")):
            assert client.get_case(name=made.name).case.name == made.name
            assert client.add_case_message(case=made.name, message=NOTE).message.text == "n"
            assert len(client.list_case_messages(case=made.name).messages) == 1
            assert client.resolve_case(name=made.name).case.state
            assert client.reopen_case(name=made.name).case.name == made.name
            # Handing a case over ends what the caller sees of it, unless it is its team's.
            assert client.assign_case(name=made.name, agent="agents/dora").case.assignee == "agents/dora"
            seen = {case.name for case in client.list_cases.iterate()}
            assert (made.name in seen) is who.sees(Item(made.name, "", queue, "dora"))
        else:
            assert who.user == "nobody"
    finally:
        served.client.resolve_case(name=made.name)
        with served.runtime.db.transaction() as connection:
            connection.exec_driver_sql("DELETE FROM case_message")
            connection.exec_driver_sql('DELETE FROM "case" WHERE subject = %s', ("made",))


def test_only_tasks_within_the_scope_are_listed(to_do: list[Item], who: Caller, client: Any) -> None:
    visible = {item.name for item in to_do if who.sees(item)}
    listed = [task.name for task in client.list_tasks.iterate(page_size=3)]
    assert (len(listed), set(listed)) == (len(visible), visible)
    taken = {item.name for item in to_do if who.sees(item) and not item.assignee}
    assert {task.name for task in client.list_tasks(unassigned=True).tasks} == taken


@pytest.mark.parametrize("method", BY_TASK)
def test_a_task_out_of_scope_does_not_exist_and_stays_as_it_is(
    served: Served, to_do: list[Item], who: Caller, client: Any, method: str
) -> None:
    hidden = {item.name for item in to_do if not who.sees(item)}
    before = {task.name: task for task in served.client.list_tasks.iterate() if task.name in hidden}
    assert before.keys() == hidden
    for item in to_do:
        if item.name not in hidden:
            assert BY_TASK[method](client, item.name).task.name == item.name
            continue
        with pytest.raises(errors.NotFound) as caught:
            BY_TASK[method](client, item.name)
        with pytest.raises(errors.NotFound) as never:
            BY_TASK[method](client, nowhere := f"tasks/{uuid4()}")
        assert caught.value.message.replace(item.name, nowhere) == never.value.message
    assert {task.name: task for task in served.client.list_tasks.iterate() if task.name in hidden} == before


def test_a_task_is_made_only_of_a_case_within_the_scope(
    served: Served, items: list[Item], who: Caller, client: Any
) -> None:
    for item in items:
        asked = {"title": "of a case", "case": item.name}
        if who.sees(item):
            made = client.create_task(task=asked).task
            assert (made.case, made.contact) == (item.name, item.contact)
            with served.runtime.db.transaction() as connection:
                connection.exec_driver_sql("DELETE FROM task WHERE title = %s", ("of a case",))
        else:
            with pytest.raises(errors.NotFound):
                client.create_task(task=asked)


def test_a_glance_is_had_of_the_customer_of_an_open_task(
    served: Served, to_do: list[Item], who: Caller, client: Any
) -> None:
    for item in to_do[::4]:
        served.client.reopen_task(name=item.name)
        with neighbour(served, "contacts", Contacts(item.contact)):
            if who.sees(item):
                answer = client.get_customer_glance(contact=item.contact)
                assert [task.name for task in answer.open_tasks] == [item.name]
            else:
                with pytest.raises(errors.NotFound):
                    client.get_customer_glance(contact=item.contact)


def test_a_glance_needs_a_case_of_the_customer(
    served: Served, items: list[Item], who: Caller, client: Any
) -> None:
    for contact in sorted({item.contact for item in items}):
        expected = {item.name for item in items if item.contact == contact and who.sees(item)}
        with neighbour(served, "contacts", Contacts(contact)):
            if expected or who.scope == "all":
                answer = client.get_customer_glance(contact=contact)
                assert {case.name for case in answer.cases} == expected
                assert answer.contact.name == contact
            else:
                with pytest.raises(errors.NotFound):
                    client.get_customer_glance(contact=contact)


def test_only_agents_of_the_own_teams_are_sent_home(
    served: Served, items: list[Item], who: Caller, client: Any
) -> None:
    for agent in AGENTS:
        available = agent != "dora"
        if who.manages(agent):
            answer = client.set_agent_availability(name=f"agents/{agent}", available=available)
            assert answer.agent.name == f"agents/{agent}"
        else:
            with pytest.raises(errors.NotFound):
                client.set_agent_availability(name=f"agents/{agent}", available=not available, hand_over=True)
    assert {
        one.name: one.available for one in served.client.list_agents().agents if one.name != "agents/ana"
    } == {f"agents/{agent}": agent != "dora" for agent in AGENTS}


def test_what_heeds_no_scope_is_closed_to_narrow_grants(served: Served, items: list[Item]) -> None:
    narrow = caller(served, "hanh", "care.*:team")
    with pytest.raises(errors.PermissionDenied) as caught:
        narrow.create_agent(agent_id="intruder", agent={})
    assert caught.value.metadata["permission"] == "care.setup.write:all"
    assert {queue.name for queue in narrow.list_queues().queues} >= {f"queues/{one}" for one in QUEUES}
    reads_more = caller(served, "carl", "care.read:team", "care.cases.write:own")
    other = next(item for item in items if item.queue == "south" and item.assignee != "carl")
    assert reads_more.get_case(name=other.name).case.name == other.name
    with pytest.raises(errors.NotFound):
        reads_more.resolve_case(name=other.name)


def test_a_look_for_what_is_out_of_scope_is_on_record(served: Served, items: list[Item]) -> None:
    hidden = items[0].name
    narrow, wide = caller(served, "looker", "care.read:own"), caller(served, "carl", "care.read")
    with capture_logs() as lines:
        for client, name in ((narrow, hidden), (narrow, f"cases/{uuid4()}"), (wide, f"cases/{uuid4()}")):
            with pytest.raises(errors.NotFound):
                client.get_case(name=name)
    told = [line for line in lines if line.get("audit") == "access.denied"]
    assert [(line["who"], line["reason"], line["permission"], line["count"]) for line in told] == [
        ("looker", "NOT_IN_SCOPE", "care.read", 1)
    ]
    assert hidden not in str(told)


def test_who_works_for_a_queue_is_put_on_record(served: Served, items: list[Item]) -> None:
    with capture_logs() as lines:
        for _ in range(2):
            served.client.create_queue(
                queue_id="east", queue={"agents": ["agents/dora"]}, request_id="east once"
            )
        changed = served.client.update_queue(
            queue={"name": "queues/west", "agents": ["agents/carl"]}, update_mask=["agents"]
        ).queue
        served.client.update_queue(
            queue={"name": "queues/west", "agents": changed.agents}, update_mask=["agents"]
        )
        served.client.update_queue(
            queue={"name": "queues/west", "agents": ["agents/binh"]}, update_mask=["agents"]
        )
    told = [line for line in lines if line.get("audit") == "access.changed"]
    assert [(line["who"], line["queue"], line["added"], line["removed"]) for line in told] == [
        ("owner", "queues/east", ["dora"], []),
        ("owner", "queues/west", ["carl"], ["binh"]),
        ("owner", "queues/west", ["binh"], ["carl"]),
    ]
    assert {line["method"].rpartition("/")[2] for line in told} == {"CreateQueue", "UpdateQueue"}
