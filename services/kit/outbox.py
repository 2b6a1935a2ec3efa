"""The outbox: events are written beside the state they tell of, in the same transaction.

A row has no position until the relay, of which one runs per service, gives committed rows the next ones; only
positioned rows are visible to consumers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from google.protobuf.message import Message
from sqlalchemy import Connection, MetaData, Table
from sqlalchemy.dialects import postgresql as pg
from uuid_utils import uuid7

from services.kit import context
from services.kit.db import copy_rows, copy_text
from services.kit.names import new_id


@dataclass(slots=True, kw_only=True)
class NewEvent:
    """Describe an event to be written.

    type: such as `order.placed`; subject: resource name; contact: the contact's id or None; revision: of the
    subject after the change; occur_time: business time of the fact; data: the typed payload; historical: see
    DESIGN. id: a new one (`new_id`) when the caller must know it, to name the event later.
    """

    type: str
    subject: str
    contact: UUID | None
    revision: int
    occur_time: datetime
    data: Message
    historical: bool = False
    id: UUID | None = None


def outbox_table(metadata: MetaData) -> Table:
    """Add the `outbox` table to a service's metadata."""
    return Table(
        "outbox",
        metadata,
        sa.Column("id", pg.UUID(as_uuid=True), primary_key=True),
        sa.Column("position", sa.BigInteger, nullable=True, comment="given by the relay; NULL until then"),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("contact_id", pg.UUID(as_uuid=True)),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("occur_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("record_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("historical", sa.Boolean, nullable=False),
        sa.Column("data_type", sa.Text, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sa.Column("traceparent", sa.Text, nullable=False, server_default=""),
        sa.Index("ix_outbox_position", "position", unique=True),
        sa.Index("ix_outbox_unpositioned", "id", postgresql_where=sa.text("position IS NULL")),
        sa.Index("ix_outbox_contact_id", "contact_id"),
    )


_COLUMNS = (
    "id",
    "type",
    "subject",
    "contact_id",
    "revision",
    "occur_time",
    "record_time",
    "historical",
    "data_type",
    "data",
    "traceparent",
)
# Up to this many events an INSERT is cheaper than a COPY.
_FEW = 5


def append(connection: Connection, table: Table, events: Iterable[NewEvent], *, record_time: datetime) -> int:
    """Write events in the caller's transaction and return how many.

    Many events go by COPY, a few by INSERT. The order of the iterable is kept within this call. Events that share
    one payload object are fine: it is serialized once.
    """
    every = list(events)
    if not every:
        return 0
    if len(every) <= _FEW:
        connection.execute(sa.insert(table), [_row(event, record_time) for event in every])
    else:
        copy_rows(connection, table, _COLUMNS, _rows(every, record_time))
    return len(every)


def _row(event: NewEvent, record_time: datetime) -> dict[str, object]:
    values = (
        event.id or new_id(),
        event.type,
        event.subject,
        event.contact,
        event.revision,
        event.occur_time,
        record_time,
        event.historical,
        _type_url(event.data),
        event.data.SerializeToString(),
        context.traceparent(event.contact),
    )
    return dict(zip(_COLUMNS, values, strict=True))


def _rows(events: list[NewEvent], record_time: datetime) -> Iterator[tuple[object, ...]]:
    """Yield the events as COPY takes them fastest: everything but numbers as text."""
    recorded = record_time.isoformat()
    traceparent = context.traceparent()
    causes = context.causes()
    data, data_type, content = None, "", ""
    time, occurred = record_time, recorded
    for event in events:
        if event.data is not data:
            data = event.data
            data_type = _type_url(data)
            content = f"\\x{data.SerializeToString().hex()}"
        if event.occur_time is not time:
            time = event.occur_time
            occurred = time.isoformat()
        yield (
            str(event.id or uuid7()),
            event.type,
            event.subject,
            None if event.contact is None else event.contact.hex,
            event.revision,
            occurred,
            recorded,
            "t" if event.historical else "f",
            data_type,
            content,
            traceparent if causes is None else context.traceparent(event.contact),
        )


def made_text(
    type_: str,
    subjects: Iterable[str],
    contacts: Iterable[str],
    facts: Sequence[tuple[Message, datetime]],
    *,
    record_time: datetime,
) -> str:
    """Return events of one type at revision 1 as `append_text` takes them; the traces are those of the caller's.

    subjects: resource names; contacts: their ids; facts: payload and time of each event; those from before
    `record_time` are historical. A tuple that is shared is encoded once.
    """
    recorded = record_time.isoformat()
    traceparent = context.traceparent()
    known: dict[int, str] = {}
    lines = []
    for subject, key, fact in zip(subjects, contacts, facts, strict=True):
        tail = known.get(id(fact))
        if tail is None:
            data, time = fact
            past = "t" if time < record_time else "f"
            content = data.SerializeToString().hex()
            tail = known[id(fact)] = (
                f"1\t{time.isoformat()}\t{recorded}\t{past}\t{_type_url(data)}\t\\\\x{content}\t{traceparent}\n"
            )
        lines.append(f"{uuid7()}\t{type_}\t{subject}\t{key}\t{tail}")
    return "".join(lines)


def append_text(connection: Connection, table: Table, text: str) -> None:
    """Write the events of `made_text` in the caller's transaction."""
    copy_text(connection, table, _COLUMNS, text)


def _type_url(data: Message) -> str:
    return f"type.googleapis.com/{data.DESCRIPTOR.full_name}"
