"""The customer's answer to how it was."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from rapport.care.v1 import events_pb2
from sqlalchemy import Connection

from services.care.domain.cases import Case
from services.care.models import kit
from services.care.store import cases, figures
from services.kit import context, outbox
from services.kit.access.scope import EVERYTHING
from services.kit.errors import InvalidArgument, NotFound
from services.kit.names import format_name
from services.kit.outbox import NewEvent
from services.kit.runtime import Runtime
from services.kit.signing import SURVEY


def record_answer(runtime: Runtime, token: str, score: int, comment: str) -> None:
    """Keep an answer that the token proves; a second one replaces the first.

    score: 1 to 5. Raises InvalidArgument (INVALID_TOKEN), NotFound.
    """
    kind, raw = runtime.signer.verify(token)
    if kind != SURVEY:
        raise InvalidArgument("the token is not one of a survey", reason="INVALID_TOKEN")
    key = UUID(bytes=raw)
    with runtime.db.transaction() as connection:
        if keep_answer(connection, key, score, comment, runtime.clock.now()) is None:
            raise NotFound.resource(format_name("cases", key))


def keep_answer(connection: Connection, key: UUID, score: int, comment: str, now: datetime) -> Case | None:
    """Keep an answer in the caller's transaction and return its case; None when the case is gone."""
    item = cases.get(connection, key, EVERYTHING, lock=True)
    if item is None or not figures.record_score(connection, item, score, comment, now):
        return item
    changed = cases.get(connection, key, EVERYTHING)
    assert changed is not None
    event = NewEvent(
        type="csat.answered",
        subject=format_name("cases", key),
        contact=changed.contact_id,
        revision=changed.revision,
        occur_time=now,
        data=events_pb2.CsatAnswered(case=format_name("cases", key), score=score),
    )
    outbox.append(connection, kit.outbox, [event], record_time=now)
    return changed


def summary(runtime: Runtime) -> figures.Figures:
    """Return the figures of the cases within the caller's scope."""
    with runtime.db.read() as connection:
        return figures.summary(connection, context.scope())
