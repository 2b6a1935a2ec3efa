"""Requests that may arrive twice (AIP-155): the answer is kept under the `request_id` and given again.

    with runtime.db.transaction() as connection:
        done = replay(connection, kit.request_log, request.request_id, request, CreateContactResponse)
        if done is not None:
            return done
        response = …
        remember(connection, kit.request_log, request.request_id, request, response, runtime.clock.now())

Both must happen in the transaction of the effect. A second call with the same id waits in `replay` until the
first one has committed, and then returns its answer; when the first one rolled back, the second does the
work.
"""

from __future__ import annotations

from datetime import datetime
from hashlib import sha256
from typing import TypeVar

import sqlalchemy as sa
from google.protobuf.message import Message
from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql as pg

from services.kit import context
from services.kit.errors import InvalidArgument

MAX_LENGTH = 64
R = TypeVar("R", bound=Message)


def replay(
    connection: Connection, table: Table, request_id: str, request: Message, response_type: type[R]
) -> R | None:
    """Claim a request id, or return the answer given to it before.

    None means that the work is to be done, and its answer to be kept by `remember` in the same transaction;
    always so for an empty id. Raises InvalidArgument (REQUEST_ID_REUSED) when the id came with another
    content or caller before.
    """
    if not request_id:
        return None
    if len(request_id) > MAX_LENGTH:
        raise InvalidArgument.field(
            "request_id", f"has {len(request_id)} characters, at most {MAX_LENGTH} are allowed"
        )
    digest = _digest(request)
    kind = request.DESCRIPTOR.full_name
    claimed = connection.execute(
        pg.insert(table)
        .values(
            request_id=request_id,
            request_type=kind,
            request_hash=digest,
            response_type=response_type.DESCRIPTOR.full_name,
        )
        .on_conflict_do_nothing(index_elements=["request_id", "request_type"])
        .returning(table.c.request_id)
    ).first()
    if claimed is not None:
        return None
    row = connection.execute(
        sa.select(table.c.request_hash, table.c.response).where(
            table.c.request_id == request_id, table.c.request_type == kind
        )
    ).one()
    if bytes(row.request_hash) != digest:
        raise InvalidArgument.field(
            "request_id",
            "was used before with another content; make a new id for a new request",
            reason="REQUEST_ID_REUSED",
        )
    if row.response is None:
        raise InvalidArgument.field("request_id", "is used twice within one call", reason="REQUEST_ID_REUSED")
    return response_type.FromString(bytes(row.response))


def remember(
    connection: Connection, table: Table, request_id: str, request: Message, response: Message, now: datetime
) -> None:
    """Keep the answer to a request id claimed by `replay` in this transaction; nothing for an empty id.

    now: business time, from which the answer's retention counts.
    """
    if not request_id:
        return
    connection.execute(
        sa.update(table)
        .where(table.c.request_id == request_id, table.c.request_type == request.DESCRIPTOR.full_name)
        .values(response=response.SerializeToString(), create_time=now)
    )


def _digest(request: Message) -> bytes:
    # The caller is part of it: an answer is given again only to whom it was given.
    caller = context.principal().encode()
    return sha256(caller + b"\0" + request.SerializeToString(deterministic=True)).digest()
