"""The customer at a glance: all parts, and what is said when some cannot be had."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from uuid import UUID, uuid4

import pytest
from rapport_client import errors

from services.care.usecases import glance
from tests.support.care import Campaign, Contacts, Sales, Segmentation, neighbour
from tests.support.stack import Served

PARTS = {
    "contacts": {"contact", "activities"},
    "segmentation": {"segments", "traits"},
    "sales": {"sales"},
    "campaign": {"messages"},
}


@pytest.fixture
def contact(served: Served) -> str:
    name = f"contacts/{uuid4()}"
    for number in range(22):
        served.client.create_case(case={"subject": f"case {number}", "contact": name})
    served.client.create_case(case={"subject": "another's", "contact": f"contacts/{uuid4()}"})
    return name


def neighbours(served: Served, contact: str, *, but: str = "") -> ExitStack:
    fakes = {
        "contacts": Contacts(contact),
        "segmentation": Segmentation(),
        "sales": Sales(),
        "campaign": Campaign(),
    }
    fakes["campaign"].went_to(contact)
    stack = ExitStack()
    for service, fake in fakes.items():
        if service != but:
            stack.enter_context(neighbour(served, service, fake))
    return stack


def has(answer: object, part: str) -> bool:
    value = getattr(answer, part)
    return answer.HasField(part) if part in ("contact", "traits", "sales") else len(value) > 0  # type: ignore[attr-defined]


def test_everything_in_one_call(served: Served, contact: str):
    with neighbours(served, contact):
        answer = served.client.get_customer_glance(contact=contact)
    assert dict(answer.unavailable_parts) == {}
    assert answer.contact.name == contact
    assert [item.type for item in answer.activities] == ["visit"]
    assert [item.segment for item in answer.segments] == ["segments/loyal"]
    assert answer.traits["rfm"] == "555"
    assert answer.sales.order_count == 7
    assert [item.contact for item in answer.messages] == [contact]
    assert [item.subject for item in answer.cases] == [f"case {number}" for number in range(21, 1, -1)]


@pytest.mark.parametrize("down", PARTS)
def test_with_one_service_down_the_others_parts_are_there(served: Served, contact: str, down: str):
    with neighbours(served, contact, but=down):
        answer = served.client.get_customer_glance(contact=contact)
    assert set(answer.unavailable_parts) == PARTS[down]
    assert all(answer.unavailable_parts.values())
    everything = set().union(*PARTS.values())
    assert {part for part in everything if has(answer, part)} == everything - PARTS[down]
    assert len(answer.cases) == 20


def test_with_all_services_down_the_own_cases_are_there(served: Served, contact: str):
    answer = served.client.get_customer_glance(contact=contact)
    assert set(answer.unavailable_parts) == set().union(*PARTS.values())
    assert len(answer.cases) == 20


def test_a_contact_that_does_not_exist_is_not_found(served: Served, contact: str):
    with neighbours(served, contact), pytest.raises(errors.NotFound) as caught:
        served.client.get_customer_glance(contact=f"contacts/{uuid4()}")
    assert caught.value.metadata["resource"].startswith("contacts/")


def test_a_service_that_hangs_costs_its_part_and_no_more(served: Served, contact: str, monkeypatch):
    monkeypatch.setattr(glance, "PART_SECONDS", 0.5)
    slow = Segmentation()
    slow.gate = threading.Event()
    with neighbours(served, contact, but="segmentation"), neighbour(served, "segmentation", slow):
        answer = served.client.get_customer_glance(contact=contact)
        slow.gate.set()
    assert set(answer.unavailable_parts) == {"segments"}
    assert has(answer, "traits")


def test_calls_that_find_no_thread_free_are_given_up_in_time(served: Served, contact: str, monkeypatch):
    monkeypatch.setattr(glance, "PART_SECONDS", 0.2)
    slow = Segmentation()
    slow.gate = threading.Event()
    with neighbours(served, contact, but="segmentation"), neighbour(served, "segmentation", slow):
        narrow = glance.Glancer(served.runtime, threads=1)
        blocked = threading.Event()
        narrow._pool.submit(blocked.wait, 30)
        try:
            found = narrow.glance(UUID(contact.removeprefix("contacts/")))
        finally:
            blocked.set()
            slow.gate.set()
    assert found.parts == {}
    assert set(found.unavailable) == set().union(*PARTS.values())
    assert "no answer within 0.2 s" in found.unavailable["contact"]
    assert len(found.cases) == 20
