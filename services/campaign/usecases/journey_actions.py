"""What journeys bring about in other services: done after the step was stored, each once.

A deed is taken under a lease and done with its id as the request id. Who dies in between lets it be done again when the
lease is over, and the other service knows the request.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from uuid import UUID

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from rapport.care.v1 import care_pb2
from rapport.contacts.v1 import contacts_pb2
from rapport_client.errors import RapportError as ClientError

from services.campaign.domain.ledger import MAX_ATTEMPTS, next_delay
from services.campaign.domain.pace import Pace
from services.campaign.store import journey_actions as store
from services.campaign.store.journey_actions import DONE, FAILED, PLANNED, Deed
from services.kit import log
from services.kit.log import safe_text
from services.kit.names import format_name
from services.kit.runtime import Runtime
from services.kit.transient import is_transient
from services.kit.wire import enum_number

_MOST = 200
_LEASE = timedelta(minutes=2)
_AT_A_TIME = 8
_log = log.get_logger("journeys")


def do_actions(runtime: Runtime) -> int:
    """Do what is due, and return how many deeds were taken in hand."""
    total = 0
    # A journey that is paused has soon nothing in hand, however slow the others are.
    pace = Pace()
    while True:
        now = runtime.clock.now()
        with runtime.db.transaction() as connection:
            deeds = store.take(connection, now, min(_MOST, pace.at_once), _LEASE)
        if not deeds:
            return total
        start = time.monotonic()
        results = _do(runtime, deeds)
        pace.took(len(deeds), time.monotonic() - start)
        with runtime.db.transaction() as connection:
            store.record(connection, results, runtime.clock.now())
        total += len(deeds)


def _do(runtime: Runtime, deeds: Sequence[Deed]) -> dict[UUID, tuple[str, str, datetime]]:
    with ThreadPoolExecutor(_AT_A_TIME, thread_name_prefix="journey-action") as pool:
        return dict(
            zip((deed.id for deed in deeds), pool.map(lambda deed: _one(runtime, deed), deeds), strict=True)
        )


def _one(runtime: Runtime, deed: Deed) -> tuple[str, str, datetime]:
    now = runtime.clock.now()
    if deed.contact_id is None:
        return FAILED, "CONTACT_GONE", now
    try:
        match deed.kind:
            case "set_attribute":
                _set_attribute(runtime, deed)
            case "modify_tags":
                runtime.clients.contacts.modify_tags(
                    name=format_name("contacts", deed.contact_id),
                    add_tags=deed.body["add"],
                    remove_tags=deed.body["remove"],
                )
            case "open_case":
                _open_case(runtime, deed)
            case "open_task":
                _open_task(runtime, deed)
            case _:
                return FAILED, f"{deed.kind!r} is not known here", now
    except ClientError as error:
        reason = safe_text(f"{error.reason or error.code.name}: {error.message}")
        # A service that is away, or an access that an operator has yet to grant, is waited for.
        if is_transient(error):
            return PLANNED, reason, now + next_delay(min(deed.attempt_count, MAX_ATTEMPTS))
        _log.warning("a step of a journey failed", step=deed.step_id, kind=deed.kind, problem=reason)
        return FAILED, reason, now
    return DONE, "", now


def _set_attribute(runtime: Runtime, deed: Deed) -> None:
    name, kind, value = deed.body["attribute"], deed.body["kind"], deed.body["value"]
    wanted = contacts_pb2.AttributeValue()
    if kind == "timestamp":
        moment = Timestamp()
        moment.FromDatetime(datetime.fromisoformat(value))
        wanted.timestamp_value.CopyFrom(moment)
    else:
        setattr(wanted, f"{kind}_value", value)
    contact = contacts_pb2.Contact(
        name=format_name("contacts", deed.contact_id or UUID(int=0)), attributes={name: wanted}
    )
    runtime.clients.contacts.update_contact(
        contact=contact, update_mask=FieldMask(paths=[f"attributes.{name}"]), request_id=deed.id.hex
    )


def _open_case(runtime: Runtime, deed: Deed) -> None:
    body = deed.body
    case = care_pb2.Case(
        contact=format_name("contacts", deed.contact_id or UUID(int=0)),
        subject=body["subject"],
        channel="journey",
        queue=body["queue"],
        priority=enum_number(care_pb2.Priority, body["priority"]),
    )
    runtime.clients.care.create_case(case=case, text=body["text"], request_id=deed.id.hex)


def _open_task(runtime: Runtime, deed: Deed) -> None:
    body = deed.body
    task = care_pb2.Task(
        contact=format_name("contacts", deed.contact_id or UUID(int=0)),
        title=body["title"],
        text=body["text"],
        queue=body["queue"],
        assignee=body["assignee"],
        priority=enum_number(care_pb2.Priority, body["priority"]),
        source=format_name("journeys", deed.journey_id),
    )
    if body["due_time"]:
        task.due_time.FromDatetime(datetime.fromisoformat(body["due_time"]))
    runtime.clients.care.create_task(task=task, request_id=deed.id.hex)
