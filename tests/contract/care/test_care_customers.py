"""Who sees some customers only makes cases and tasks for these, and so sees no other by way of a case."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from rapport_client import errors

from tests.support.care import Contacts, neighbour
from tests.support.scopes import caller
from tests.support.stack import Served


@dataclass(frozen=True)
class People:
    """Contacts by whose they are."""

    hanh: str
    north: str
    other: str
    nobody: str


@pytest.fixture
def people(served: Served) -> Iterator[People]:
    found = People(*(f"contacts/{uuid4()}" for _ in range(4)))
    of = {found.hanh: ("hanh", ""), found.north: ("binh", "north"), found.other: ("binh", "south")}
    with neighbour(served, "contacts", Contacts(*of, found.nobody, of=of)):
        yield found


MAKE: dict[str, Callable[[Any, str], Any]] = {
    "case": lambda client, contact: client.create_case(case={"subject": "s", "contact": contact}).case,
    "task": lambda client, contact: client.create_task(task={"title": "t", "contact": contact}).task,
}
NARROW = ("care.read:team", "care.cases.write:team", "care.tasks.write:team", "care.glance.read:team")


def agent(served: Served, *grants: str) -> Any:
    # Of the default queue, so that all that is made without a queue is within its scope.
    return caller(served, "hanh", *NARROW, *grants, teams=("north", "main"))


def refused(client: Any, what: str, contact: str) -> None:
    with pytest.raises(errors.NotFound) as caught:
        MAKE[what](client, contact)
    assert (caught.value.reason, caught.value.metadata["resource"]) == ("NOT_FOUND", contact)
    with pytest.raises(errors.NotFound):
        client.get_customer_glance(contact=contact)


@pytest.mark.parametrize("what", MAKE)
def test_only_those_whom_the_caller_reads_may_be_named(served: Served, people: People, what: str) -> None:
    everybody = (people.hanh, people.north, people.other, people.nobody, f"contacts/{uuid4()}")
    for grants, seen in (
        (("contacts.read:team",), {people.hanh, people.north}),
        (("contacts.read:own",), {people.hanh}),
        ((), set()),
    ):
        # Names of this round alone: what is made would be a reason in the next.
        client = agent(served, *grants)
        for contact in everybody:
            if contact not in seen:
                refused(client, what, contact)
    client = agent(served, "contacts.read:team")
    for contact in (people.hanh, people.north):
        assert MAKE[what](client, contact).contact == contact
        assert client.get_customer_glance(contact=contact).contact.name == contact


@pytest.mark.parametrize("what", MAKE)
def test_who_reads_all_contacts_or_makes_all_cases_may_name_anybody(
    served: Served, people: People, what: str
) -> None:
    for client in (agent(served, "contacts.read"), served.client):
        assert MAKE[what](client, people.nobody).contact == people.nobody


@pytest.mark.parametrize("what", MAKE)
def test_whom_a_case_is_about_may_be_named_again(served: Served, people: People, what: str) -> None:
    served.client.create_case(case={"subject": "s", "contact": people.other, "queue": "queues/main"})
    assert MAKE[what](agent(served), people.other).contact == people.other


def test_a_done_task_opens_nobody(served: Served, people: People) -> None:
    task = served.client.create_task(task={"title": "t", "contact": people.other}).task
    served.client.complete_task(name=task.name)
    refused(agent(served), "case", people.other)


def test_while_contacts_is_away_nothing_is_made_for_whom_it_must_say(served: Served) -> None:
    with pytest.raises(errors.Unavailable):
        MAKE["case"](agent(served, "contacts.read:own"), f"contacts/{uuid4()}")
