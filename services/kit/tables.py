"""The tables that the kit needs in every service's database."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import MetaData, Table
from sqlalchemy.dialects import postgresql as pg

from services.kit.outbox import outbox_table


@dataclass(frozen=True, slots=True)
class KitTables:
    """Name the kit's tables of one service.

    outbox: events written; stream: the one row that says where the stream stands; past_timeline: those that a
    restore ended; subscription: durable cursors of consumers of this stream; processed_event: events of other
    services that have had their effect here; dead_letter: events that a handler of this service could not process;
    operation, operation_chunk: long-running work and its uploaded content; request_log: answers kept for idempotent
    requests.
    """

    outbox: Table
    stream: Table
    past_timeline: Table
    subscription: Table
    processed_event: Table
    dead_letter: Table
    operation: Table
    operation_chunk: Table
    request_log: Table


def kit_tables(metadata: MetaData) -> KitTables:
    """Add all tables of the kit to a service's metadata."""
    return KitTables(
        outbox=outbox_table(metadata),
        stream=_stream(metadata),
        past_timeline=_past_timeline(metadata),
        subscription=_subscription(metadata),
        processed_event=_processed_event(metadata),
        dead_letter=_dead_letter(metadata),
        operation=_operation(metadata),
        operation_chunk=_operation_chunk(metadata),
        request_log=_request_log(metadata),
    )


def _time(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _stream(metadata: MetaData) -> Table:
    return Table(
        "stream",
        metadata,
        sa.Column("id", sa.SmallInteger, primary_key=True, autoincrement=False, comment="always 1"),
        sa.Column("timeline", pg.UUID(as_uuid=True), nullable=False),
        sa.Column("last_position", sa.BigInteger, nullable=False, comment="newest position given out"),
        sa.Column("purged_position", sa.BigInteger, nullable=False, comment="newest position no longer kept"),
        sa.CheckConstraint("id = 1", name="single"),
    )


def _past_timeline(metadata: MetaData) -> Table:
    return Table(
        "past_timeline",
        metadata,
        sa.Column("timeline", pg.UUID(as_uuid=True), primary_key=True),
        sa.Column(
            "end_position", sa.BigInteger, nullable=False, comment="what it gave out beyond is no longer true"
        ),
        _time("end_time"),
        comment="timelines of the stream that a restore from a backup ended",
    )


def _subscription(metadata: MetaData) -> Table:
    return Table(
        "subscription",
        metadata,
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("timeline", pg.UUID(as_uuid=True), nullable=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        _time("update_time"),
    )


def _processed_event(metadata: MetaData) -> Table:
    return Table(
        "processed_event",
        metadata,
        sa.Column("consumer", sa.Text, primary_key=True),
        sa.Column("event_id", pg.UUID(as_uuid=True), primary_key=True),
        sa.Column("position", sa.BigInteger, nullable=False, comment="of the event in its source's stream"),
        _time("record_time"),
        sa.Index("ix_processed_event_consumer_record_time", "consumer", "record_time"),
    )


def _dead_letter(metadata: MetaData) -> Table:
    return Table(
        "dead_letter",
        metadata,
        sa.Column("consumer", sa.Text, primary_key=True),
        sa.Column("event_id", pg.UUID(as_uuid=True), primary_key=True),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("contact_id", pg.UUID(as_uuid=True), comment="so that erasure finds it"),
        sa.Column("event", sa.LargeBinary, nullable=False, comment="rapport.events.v1.Event"),
        sa.Column("error", sa.Text, nullable=False),
        _time("create_time"),
        sa.Column("replay_time", sa.DateTime(timezone=True), comment="since when it is to be handled again"),
        sa.Index("ix_dead_letter_contact_id", "contact_id"),
        sa.Index("ix_dead_letter_asked", "consumer", postgresql_where=sa.text("replay_time IS NOT NULL")),
    )


def _operation(metadata: MetaData) -> Table:
    return Table(
        "operation",
        metadata,
        sa.Column("id", pg.UUID(as_uuid=True), primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("request_type", sa.Text, nullable=False),
        sa.Column("request", sa.LargeBinary, nullable=False),
        sa.Column("request_id", sa.Text, nullable=False, server_default=""),
        sa.Column("request_hash", sa.LargeBinary, nullable=False, comment="of the request and its content"),
        sa.Column("principal", sa.Text, nullable=False, server_default=""),
        sa.Column("state", pg.JSONB, nullable=False, server_default=sa.text("'{}'::jsonb")),
        sa.Column("completed", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("total", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("unit", sa.Text, nullable=False, server_default=""),
        sa.Column("stage", sa.Text, nullable=False, server_default=""),
        sa.Column(
            "attempt", sa.Integer, nullable=False, server_default="0", comment="fences off earlier attempts"
        ),
        sa.Column(
            "fruitless", sa.Integer, nullable=False, server_default="0", comment="attempts since a checkpoint"
        ),
        sa.Column("cancel_requested", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("done", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("error", sa.LargeBinary, comment="google.rpc.Status"),
        sa.Column("response_type", sa.Text),
        sa.Column("response", sa.LargeBinary),
        _time("create_time"),
        _time("end_time", nullable=True),
        sa.Index("ix_operation_create_time", "create_time", "id"),
        sa.Index("ix_operation_pending", "kind", "id", postgresql_where=sa.text("NOT done")),
        sa.Index(
            "uq_operation_kind_request_id",
            "kind",
            "request_id",
            unique=True,
            postgresql_where=sa.text("request_id <> ''"),
        ),
    )


def _operation_chunk(metadata: MetaData) -> Table:
    return Table(
        "operation_chunk",
        metadata,
        sa.Column(
            "operation_id",
            pg.UUID(as_uuid=True),
            sa.ForeignKey("operation.id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("index", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )


def _request_log(metadata: MetaData) -> Table:
    return Table(
        "request_log",
        metadata,
        sa.Column("request_id", sa.Text, primary_key=True),
        sa.Column("request_type", sa.Text, primary_key=True, comment="full name of the request message"),
        sa.Column("request_hash", sa.LargeBinary, nullable=False),
        sa.Column("response_type", sa.Text, nullable=False),
        sa.Column(
            "response", sa.LargeBinary, nullable=True, comment="NULL while the first call is under way"
        ),
        _time("create_time", nullable=True),
        sa.Index("ix_request_log_create_time", "create_time"),
    )
