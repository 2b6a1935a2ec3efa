"""Queries on operations and their uploaded content."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status
from rapport.operations.v1 import operations_pb2
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql as pg

from services.kit import context
from services.kit.clock import Clock
from services.kit.errors import FailedPrecondition, InvalidArgument, NotFound
from services.kit.names import format_name, new_id
from services.kit.tables import KitTables

CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Claimed:
    """Hold an operation that this process has begun or resumed.

    attempt: the fencing number, which any write of this process must still match; fruitless: how many
    attempts in a row, this one included, were begun without reaching a checkpoint.
    """

    id: UUID
    kind: str
    request_type: str
    request: bytes
    principal: str
    state: dict[str, Any]
    attempt: int
    fruitless: int
    cancel_requested: bool


def create(
    connection: Connection,
    kit: KitTables,
    kind: str,
    request: Message,
    clock: Clock,
    *,
    chunks: Iterable[bytes] | None = None,
    request_id: str = "",
    unit: str = "",
    total: int = 0,
) -> operations_pb2.Operation:
    """Record work to be done, in the caller's transaction, and return the operation.

    request: the typed request, without the bulk content, which goes into `chunks` in pieces of any size. The
    same `request_id` again returns the first operation; with another request or content it raises
    InvalidArgument (REQUEST_ID_REUSED). `request_id` fields inside of the request count as content, so keep
    them equal.
    """
    table = kit.operation
    key = new_id()
    request_type, content = request.DESCRIPTOR.full_name, request.SerializeToString(deterministic=True)
    row = {
        "id": key,
        "kind": kind,
        "request_type": request_type,
        "request": content,
        "request_id": request_id,
        "request_hash": b"",
        "principal": context.principal(),
        "unit": unit,
        "total": total,
        "create_time": clock.now(),
    }
    statement = pg.insert(table).values(row)
    if request_id:
        # As a constant: of a parameter no generic plan could say that it is the index's condition.
        statement = statement.on_conflict_do_nothing(
            index_elements=[table.c.kind, table.c.request_id], index_where=sa.text("request_id <> ''")
        )
    inserted = connection.execute(statement.returning(table.c.id)).first() is not None
    # The caller is part of it: an operation is given again only to whom it was given.
    digest = hashlib.sha256(b"\0".join((context.principal().encode(), request_type.encode(), content)))
    for index, piece in enumerate(_pieces(chunks or ())):
        digest.update(piece)
        if inserted:
            chunk = {"operation_id": key, "index": index, "data": piece}
            connection.execute(sa.insert(kit.operation_chunk), chunk)
    if inserted:
        connection.execute(sa.update(table).where(table.c.id == key).values(request_hash=digest.digest()))
        return load(connection, kit, key)
    same = sa.and_(table.c.kind == kind, table.c.request_id == request_id)
    found, known = connection.execute(sa.select(table.c.id, table.c.request_hash).where(same)).one()
    if known != digest.digest():
        raise InvalidArgument.field(
            "request_id",
            f"{request_id!r} was used before for another {kind} request; take a new one",
            reason="REQUEST_ID_REUSED",
        )
    return load(connection, kit, found)


def _pieces(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Cut content into pieces of one size, so that its digest and rows do not depend on how it was sent."""
    waiting = bytearray()
    for chunk in chunks:
        waiting += chunk
        while len(waiting) >= CHUNK_BYTES:
            yield bytes(waiting[:CHUNK_BYTES])
            del waiting[:CHUNK_BYTES]
    if waiting:
        yield bytes(waiting)


def load(connection: Connection, kit: KitTables, key: UUID) -> operations_pb2.Operation:
    """Return an operation; raises NotFound."""
    row = connection.execute(_select(kit).where(kit.operation.c.id == key)).one_or_none()
    if row is None:
        raise NotFound.resource(format_name("operations", key))
    return _to_proto(row)


def list_page(
    connection: Connection, kit: KitTables, *, before: tuple[datetime, UUID] | None, limit: int
) -> tuple[list[operations_pb2.Operation], tuple[datetime, UUID] | None]:
    """Return operations, newest first, and the place of the last one when there are more."""
    table = kit.operation
    query = _select(kit).order_by(table.c.create_time.desc(), table.c.id.desc()).limit(limit + 1)
    if before is not None:
        query = query.where(sa.tuple_(table.c.create_time, table.c.id) < sa.tuple_(*map(sa.literal, before)))
    rows = connection.execute(query).all()
    more = len(rows) > limit
    rows = rows[:limit]
    return [_to_proto(row) for row in rows], (rows[-1].create_time, rows[-1].id) if more else None


def request_cancel(connection: Connection, kit: KitTables, key: UUID) -> None:
    """Record that a stop was asked for; raises NotFound, or FailedPrecondition when it has ended."""
    table = kit.operation
    statement = sa.update(table).where(table.c.id == key, ~table.c.done).values(cancel_requested=True)
    if connection.execute(statement).rowcount:
        return
    operation = load(connection, kit, key)
    raise FailedPrecondition(
        f"{operation.name} has ended already; what it did stays done",
        reason="OPERATION_DONE",
        metadata={"operation": operation.name},
    )


def find_done(connection: Connection, kit: KitTables, keys: Iterable[UUID]) -> set[UUID]:
    """Return those of the operations that have ended."""
    table = kit.operation
    wanted = sa.cast(list(keys), pg.ARRAY(pg.UUID(as_uuid=True)))
    return set(
        connection.execute(sa.select(table.c.id).where(table.c.id == sa.any_(wanted), table.c.done)).scalars()
    )


def pending(kit: KitTables, kinds: Sequence[str], limit: int) -> sa.Select[str, UUID]:
    """Return the query of the operations that have not ended, whoever works on them: kind and id, oldest first.

    limit: of each kind.
    """
    table = kit.operation
    wanted = sa.func.unnest(sa.cast(list(kinds), pg.ARRAY(sa.Text))).column_valued("wanted")
    oldest = (
        sa.select(table.c.id)
        .where(table.c.kind == wanted, ~table.c.done)
        .order_by(table.c.id)
        .limit(limit)
        .lateral("oldest")
    )
    return sa.select(wanted, oldest.c.id).join(oldest, sa.true()).order_by(oldest.c.id)


def any_pending(connection: Connection, kit: KitTables, kind: str) -> bool:
    """Tell whether an operation of a kind has not ended."""
    return connection.execute(pending(kit, [kind], 1)).first() is not None


def claim(connection: Connection, kit: KitTables, key: UUID) -> Claimed | None:
    """Begin a new attempt of an operation, which fences off any earlier one; None when it has ended."""
    table = kit.operation
    statement = (
        sa.update(table)
        .where(table.c.id == key, ~table.c.done)
        .values(attempt=table.c.attempt + 1, fruitless=table.c.fruitless + 1)
        .returning(
            table.c.id,
            table.c.kind,
            table.c.request_type,
            table.c.request,
            table.c.principal,
            table.c.state,
            table.c.attempt,
            table.c.fruitless,
            table.c.cancel_requested,
        )
    )
    row = connection.execute(statement).one_or_none()
    return Claimed(*row) if row else None


def checkpoint(
    connection: Connection, kit: KitTables, key: UUID, attempt: int, values: dict[str, object]
) -> bool | None:
    """Store progress and return whether a stop was asked for; None when the attempt is no longer ours."""
    return tell(connection, kit, key, attempt, {"fruitless": 0, **values})


def tell(
    connection: Connection, kit: KitTables, key: UUID, attempt: int, values: dict[str, object]
) -> bool | None:
    """Store what is shown of the progress, which is no checkpoint; returns what `checkpoint` does."""
    table = kit.operation
    statement = (
        sa.update(table)
        .where(table.c.id == key, table.c.attempt == attempt, ~table.c.done)
        .values(values)
        .returning(table.c.cancel_requested)
    )
    return connection.execute(statement).scalar_one_or_none()


def is_ours(connection: Connection, kit: KitTables, key: UUID, attempt: int) -> bool | None:
    """Return whether a stop was asked for; None when the attempt is no longer ours."""
    table = kit.operation
    query = sa.select(table.c.cancel_requested).where(
        table.c.id == key, table.c.attempt == attempt, ~table.c.done
    )
    return connection.execute(query).scalar_one_or_none()


def forgive(connection: Connection, kit: KitTables, key: UUID, attempt: int) -> None:
    """Do not count an attempt that ended for a reason outside of the operation."""
    table = kit.operation
    mine = sa.and_(table.c.id == key, table.c.attempt == attempt, table.c.fruitless > 0)
    connection.execute(sa.update(table).where(mine).values(fruitless=table.c.fruitless - 1))


def finish(
    connection: Connection, kit: KitTables, key: UUID, attempt: int, outcome: Message | Status, time: datetime
) -> bool:
    """End an operation with its result, or with a Status for an error; False when it is not ours."""
    table = kit.operation
    values: dict[str, object] = {"done": True, "end_time": time}
    if isinstance(outcome, Status):
        values["error"] = outcome.SerializeToString()
    else:
        values["response_type"] = outcome.DESCRIPTOR.full_name
        values["response"] = outcome.SerializeToString()
    mine = sa.and_(table.c.id == key, table.c.attempt == attempt, ~table.c.done)
    if not connection.execute(sa.update(table).where(mine).values(values)).rowcount:
        return False
    # The content has served; it may be large, and personal.
    connection.execute(sa.delete(kit.operation_chunk).where(kit.operation_chunk.c.operation_id == key))
    return True


def read_chunk(connection: Connection, kit: KitTables, key: UUID, index: int) -> bytes | None:
    """Return one piece of the uploaded content, or None behind the last."""
    table = kit.operation_chunk
    query = sa.select(table.c.data).where(table.c.operation_id == key, table.c.index == index)
    return connection.execute(query).scalar_one_or_none()


def forget(connection: Connection, kit: KitTables, before: datetime, limit: int = 1_000) -> int:
    """Delete operations that ended before a time; return how many."""
    table = kit.operation
    old = sa.select(table.c.id).where(table.c.done, table.c.end_time < before).limit(limit)
    return connection.execute(sa.delete(table).where(table.c.id.in_(old))).rowcount


def _select(kit: KitTables) -> sa.Select[Any]:
    table = kit.operation
    return sa.select(
        *(column for column in table.c if column.name not in ("request", "state", "request_hash"))
    )


def _to_proto(row: Any) -> operations_pb2.Operation:
    progress = operations_pb2.Progress(
        completed=row.completed, total=row.total, unit=row.unit, stage=row.stage
    )
    operation = operations_pb2.Operation(
        name=format_name("operations", row.id),
        kind=row.kind,
        done=row.done,
        progress=progress,
        cancel_requested=row.cancel_requested,
    )
    operation.create_time.FromDatetime(row.create_time)
    if row.end_time is not None:
        operation.end_time.FromDatetime(row.end_time)
    if row.error is not None:
        operation.error.ParseFromString(row.error)
    if row.response_type is not None:
        operation.response.type_url = f"type.googleapis.com/{row.response_type}"
        operation.response.value = row.response
    return operation
