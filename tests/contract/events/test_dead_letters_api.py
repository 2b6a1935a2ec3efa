"""Every RPC of DeadLetterService over a real port, with its errors, on dead letters of sales."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from google.protobuf.wrappers_pb2 import StringValue
from rapport.events.v1 import events_pb2
from rapport_client import errors

from services.kit.dead_letters import store
from services.sales import models
from tests.contract.events.conftest import Stream
from tests.support.sales_data import NOON

READ, WRITE = "events.deadletters.read", "events.deadletters.write"


def bury(stream: Stream, consumer: str, count: int = 1, *, minute: int = 0) -> list[str]:
    """Store dead letters and return the ids of their events, oldest first."""
    keys = []
    with stream.served.runtime.db.transaction() as connection:
        for number in range(count):
            event = events_pb2.Event(
                id=str(uuid4()), type="contact.merged", source="contacts", contact=f"contacts/{uuid4()}"
            )
            event.data.Pack(StringValue(value=str(number)))
            time = NOON + timedelta(minutes=minute, seconds=number)
            store.bury(connection, models.kit, consumer, event, ValueError("no good"), time)
            keys.append(event.id)
    return keys


def name() -> str:
    """Return the name of a consumer that no other test uses."""
    return f"sales.handler_{secrets.token_hex(6)}"


def listed(stream: Stream, consumer: str) -> dict[str, Any]:
    found = stream.events.list_dead_letters.iterate(consumer=consumer, page_size=2)
    return {letter.event.id: letter for letter in found}


def test_list_dead_letters_in_order_and_in_pages(stream: Stream) -> None:
    consumer = name()
    late = bury(stream, consumer, 2, minute=5)
    early = bury(stream, consumer, 3)
    first = stream.events.list_dead_letters(consumer=consumer, page_size=2)
    assert [letter.event.id for letter in first.dead_letters] == early[:2]
    assert first.next_page_token
    found = listed(stream, consumer)
    assert list(found) == early + late
    letter = found[early[0]]
    assert (letter.consumer, letter.event.source, letter.event.type) == (
        consumer,
        "contacts",
        "contact.merged",
    )
    assert letter.error.endswith("ValueError: no good")
    assert letter.create_time.ToDatetime(NOON.tzinfo) == NOON
    assert not letter.HasField("replay_time")
    everybody = {item.event.id for item in stream.events.list_dead_letters.iterate(page_size=1000)}
    assert everybody >= {*early, *late}
    with pytest.raises(errors.InvalidArgument) as caught:
        stream.events.list_dead_letters(consumer=name(), page_token=first.next_page_token)
    assert caught.value.reason == "PAGE_TOKEN_MISMATCH"


def test_replay_dead_letters_says_exactly_what_it_did(stream: Stream) -> None:
    consumer, nowhere = name(), str(uuid4())
    one, two, three = bury(stream, consumer, 3)
    answer = stream.events.replay_dead_letters(consumer=consumer, event_ids=[one, nowhere, one])
    assert (answer.replayed_count, answer.waiting_count) == (1, 0)
    assert list(answer.missing_event_ids) == [nowhere]
    asked = {key for key, letter in listed(stream, consumer).items() if letter.HasField("replay_time")}
    assert asked == {one}
    rest = stream.events.replay_dead_letters(consumer=consumer, all=True)
    assert (rest.replayed_count, rest.waiting_count, list(rest.missing_event_ids)) == (2, 1, [])
    assert all(letter.HasField("replay_time") for letter in listed(stream, consumer).values())
    # Whose it is counts: another consumer may have the same event.
    other = stream.events.replay_dead_letters(consumer=name(), event_ids=[two, three])
    assert (other.replayed_count, list(other.missing_event_ids)) == (0, [two, three])


def test_drop_dead_letters_says_exactly_what_it_did(stream: Stream) -> None:
    consumer, nowhere = name(), str(uuid4())
    one, two, three = bury(stream, consumer, 3)
    answer = stream.events.drop_dead_letters(consumer=consumer, event_ids=[two, nowhere])
    assert (answer.dropped_count, list(answer.missing_event_ids)) == (1, [nowhere])
    assert list(listed(stream, consumer)) == [one, three]
    other = name()
    bury(stream, other)
    assert stream.events.drop_dead_letters(consumer=consumer, all=True).dropped_count == 2
    assert listed(stream, consumer) == {}
    assert len(listed(stream, other)) == 1
    assert stream.events.drop_dead_letters(consumer=consumer, all=True).dropped_count == 0


@pytest.mark.parametrize("rpc", ["replay_dead_letters", "drop_dead_letters"])
@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"event_ids": ["x"]}, "consumer"),
        ({"consumer": "sales.a"}, "event_ids"),
        ({"consumer": "sales.a", "event_ids": [str(uuid4())], "all": True}, "event_ids"),
        ({"consumer": "sales.a", "event_ids": [str(uuid4()), "x"]}, "event_ids[1]"),
    ],
)
def test_a_malformed_request_is_refused(stream: Stream, rpc: str, fields: dict[str, Any], field: str) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        getattr(stream.events, rpc)(**fields)
    assert [violation.field for violation in caught.value.violations] == [field]


@pytest.mark.parametrize(
    ("rpc", "fields", "permission"),
    [
        ("list_dead_letters", {}, READ),
        ("replay_dead_letters", {"consumer": "sales.nobody", "all": True}, WRITE),
        ("drop_dead_letters", {"consumer": "sales.nobody", "all": True}, WRITE),
    ],
)
def test_each_asks_for_its_permission(
    stream: Stream, rpc: str, fields: dict[str, Any], permission: str
) -> None:
    others = {"events.read", READ, WRITE} - {permission}
    with pytest.raises(errors.PermissionDenied) as caught:
        getattr(stream.events_with(*others), rpc)(**fields)
    assert caught.value.metadata["permission"] == permission
    assert getattr(stream.events_with(permission), rpc)(**fields) is not None
    with pytest.raises(errors.Unauthenticated):
        getattr(stream.events_with(token="unknown"), rpc)(**fields)
