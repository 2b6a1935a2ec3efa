"""A journey of five steps over many contacts, beside SQL by hand that writes the same rows, a statement for each table.

By hand nothing is decided: who goes which way is a modulo, nobody may leave, and nothing would survive a crash.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import psycopg
import sqlalchemy as sa
from psycopg.types.json import Jsonb
from rapport.events.v1.events_pb2 import Event
from rapport.segmentation.v1 import events_pb2 as segmentation_events

from services.campaign.domain.steps import ModifyTags, Node, Part, Send, Split, Wait
from services.campaign.models import kit
from services.campaign.usecases import journeys
from services.campaign.usecases.events import describe
from services.kit.bus.batch import EventBatch
from services.kit.names import new_id
from services.kit.postgres import libpq_url
from tests.bench.campaign.stack import EVERYBODY, Stack, contact_id
from tests.bench.report import Figure
from tests.support.campaign import NOW, clock_of, make_journey

BATCH = 500
"""Events of a message on the bus."""
DAY = timedelta(days=1)
SEND = Send("hello", "email.smtp", "marketing")
STEPS = [
    Node("hello", SEND, "wait"),
    Node("wait", Wait(DAY), "split"),
    Node("split", Split((Part(50, "tag"),)), "again"),
    Node("tag", ModifyTags(("reached",)), "again"),
    Node("again", SEND, "end"),
]
_MESSAGE = """
INSERT INTO message (id, contact_id, origin, lane, entry_id, step, channel, topic, template_id, coupon_pool_id, state,
    reason, attempt_count, due_time, create_time, coupon_code, subject, provider_id)
SELECT uuidv7(), contact_id, 'journeys/hand', 'journeys/hand', id, {step}, 'email.smtp', 'marketing', 'hello', '',
    'planned', '', 0, %(now)s, %(now)s, '', '', '' FROM journey_entry WHERE journey_id = 'hand'
"""
_MOVE = """
INSERT INTO journey_move (entry_id, step, journey_id, version, step_id, edge, next_id, arrive_time, leave_time)
SELECT id, {step}, 'hand', 1, '{step_id}', {edge}, {next}, %(before)s, %(now)s FROM journey_entry
WHERE journey_id = 'hand'{only}
"""
_UPDATE = """
UPDATE journey_entry SET step = {step}, step_id = {step_id}, arrive_time = %(now)s, due_time = %(due)s,
    finish_time = {finish}, outcome = '{outcome}' WHERE journey_id = 'hand'
"""
# Half of them, whom the journey's split would take by chance.
_HALF = "get_byte(uuid_send(contact_id), 15) %% 2 = 0"
_START = (
    """INSERT INTO processed_event (consumer, event_id, position, record_time)
        SELECT 'hand', event_id, 0, %(now)s FROM audience""",
    """INSERT INTO journey_contact (contact_id, journey_id, start_time)
        SELECT contact_id, 'hand', %(now)s FROM audience""",
    """INSERT INTO journey_entry (id, journey_id, contact_id, event_id, event, step, start_time, due_time, version,
        step_id, arrive_time)
        SELECT uuidv7(), 'hand', contact_id, event_id, event, 0, %(now)s, %(now)s, 1, 'hello', %(now)s FROM audience""",
)
_FIRST = (
    _MESSAGE.format(step=0),
    _MOVE.format(step=0, step_id="hello", edge="''", next="'wait'", only=""),
    _UPDATE.format(step=1, step_id="'wait'", finish="NULL", outcome=""),
)
_SECOND = (
    _MOVE.format(step=1, step_id="wait", edge="''", next="'split'", only=""),
    _MOVE.format(
        step=2,
        step_id="split",
        edge=f"CASE WHEN {_HALF} THEN 'part:0' ELSE '' END",
        next=f"CASE WHEN {_HALF} THEN 'tag' ELSE 'again' END",
        only="",
    ),
    _MOVE.format(step=3, step_id="tag", edge="''", next="'again'", only=f" AND {_HALF}"),
    _MOVE.format(step=4, step_id="again", edge="''", next="'end'", only=""),
    f"""INSERT INTO journey_action (id, entry_id, step, journey_id, step_id, contact_id, kind, body, state,
        attempt_count, due_time, create_time, reason) SELECT uuidv7(), id, 3, 'hand', 'tag', contact_id, 'modify_tags',
        '{{"add": ["reached"], "remove": []}}', 'planned', 0, %(now)s, %(now)s, '' FROM journey_entry
        WHERE journey_id = 'hand' AND {_HALF}""",
    _MESSAGE.format(step=4),
    _UPDATE.format(step=5, step_id="'end'", finish="%(now)s", outcome="finished"),
)
_TABLES = "journey_action, journey_move, journey_signal, journey_entry, journey_contact, message, outbox"


def measure(stack: Stack, people: int, say: Callable[[str], None]) -> list[Figure]:
    """Return the times of a contact's start and of its five steps, beside those of SQL by hand."""
    runtime = stack.runtime
    make_journey(runtime, STEPS, event_type="segment.entered", segment=EVERYBODY)
    make_journey(runtime, STEPS, "hand", event_type="order.placed")
    clock = clock_of(runtime)
    # What other parts have left would be counted as its own.
    _forget(stack)
    try:
        batches = list(_batches(people))
        starting = _timed(lambda: [journeys.start_journeys(runtime, batch) for batch in batches])
        walking = _timed(lambda: journeys.advance_journeys(runtime))
        clock.instant = NOW + DAY
        walking += _timed(lambda: journeys.advance_journeys(runtime))
        _check(stack, "thanks", people)
        _forget(stack)
        by_hand_start, by_hand_walk = _by_hand(stack, people)
        _check(stack, "hand", people)
    finally:
        clock.instant = NOW
        _forget(stack)
    say(
        f"{people:,} started a journey in {starting:.1f} s and took its five steps in {walking:.1f} s, "
        f"by hand in {by_hand_start:.1f} s and {by_hand_walk:.1f} s"
    )
    micro = 1e6 / people
    return [
        Figure(
            "a journey started, from the event on, beside SQL by hand",
            starting * micro,
            by_hand_start * micro,
            "µs",
            6.0,
        ),
        Figure(
            "five steps of a journey, two messages and half a deed, beside SQL by hand",
            walking * micro,
            by_hand_walk * micro,
            "µs",
            4.0,
        ),
    ]


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _batches(people: int) -> Iterator[EventBatch]:
    for first in range(1, people + 1, BATCH):
        numbers = range(first, min(first + BATCH, people + 1))
        yield EventBatch("campaign.start_journeys", [_entered(number) for number in numbers])


def _entered(number: int) -> Event:
    made = Event(
        id=str(new_id()),
        type="segment.entered",
        source="segmentation",
        subject=EVERYBODY,
        contact=f"contacts/{contact_id(number)}",
    )
    made.data.Pack(segmentation_events.MembershipChanged(segment=EVERYBODY))
    made.occur_time.FromDatetime(NOW)
    made.record_time.FromDatetime(NOW)
    return made


def _by_hand(stack: Stack, people: int) -> tuple[float, float]:
    event = Jsonb(describe(_entered(1)))
    with psycopg.connect(libpq_url(stack.urls["campaign"])) as connection:
        connection.execute("CREATE TEMPORARY TABLE audience (contact_id uuid, event_id uuid, event jsonb)")
        with connection.cursor().copy("COPY audience FROM STDIN") as copy:
            for number in range(1, people + 1):
                copy.write_row((str(contact_id(number)), str(new_id()), event))
        connection.commit()

        def run(statements: tuple[str, ...], **times: Any) -> float:
            def work() -> None:
                for statement in statements:
                    connection.execute(statement.encode(), times)
                connection.commit()

            return _timed(work)

        starting = run(_START, now=NOW)
        walking = run(_FIRST, now=NOW, before=NOW, due=NOW + DAY)
        walking += run(_SECOND, now=NOW + DAY, before=NOW, due=NOW + DAY)
        connection.execute("DROP TABLE audience")
    return starting, walking


def _check(stack: Stack, key: str, people: int) -> None:
    """Raise AssertionError unless everybody is through, with what the steps bring about."""
    with stack.runtime.db.read() as connection:
        done, moves, deeds = connection.execute(
            sa.text(
                "SELECT (SELECT count(*) FROM journey_entry WHERE journey_id = :key AND outcome = 'finished'), "
                "(SELECT count(*) FROM journey_move WHERE journey_id = :key), "
                "(SELECT count(*) FROM journey_action WHERE journey_id = :key)"
            ),
            {"key": key},
        ).one()
    assert done == people, f"{done} of {people} are through"
    assert stack.states() == {"planned": 2 * people}
    assert moves == 4 * people + deeds
    assert abs(deeds - people / 2) < people / 10, deeds


def _forget(stack: Stack) -> None:
    with stack.runtime.db.transaction() as connection:
        connection.exec_driver_sql(f"TRUNCATE {_TABLES}, {kit.processed_event.name}")
