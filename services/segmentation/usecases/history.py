"""Questions about earlier times, and how far back they may go."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection
from sqlalchemy.sql.selectable import FromClause

from services.kit.errors import FailedPrecondition, InvalidArgument, NotFound
from services.kit.names import format_name
from services.segmentation.context import Service
from services.segmentation.domain import SEGMENTS
from services.segmentation.models import ORDER_SUMS
from services.segmentation.rules import CompiledRule
from services.segmentation.store import kept, past, past_members, past_segments
from services.segmentation.store.kept import Subject
from services.segmentation.store.past_members import Change

BATCH = 5_000
RUN_SECONDS = 30.0


def past_relations(
    service: Service,
    connection: Connection,
    compiled: CompiledRule,
    at: datetime,
    *,
    among: Sequence[UUID] | None = None,
) -> tuple[FromClause, FromClause]:
    """Return the profiles and memberships that a rule is evaluated over for a past time; among: of some contacts alone.

    Raises FailedPrecondition (BEFORE_RETENTION) when the rule asks what is not kept that long.
    """
    if compiled.segments:
        check_kept(service, connection, "memberships", at)
    members = past_members.seen_at(at)
    # Plugins are shown whole profiles.
    if compiled.attributes <= set(ORDER_SUMS) and not compiled.plugin_calls:
        return past.present_at(at, among), members
    check_kept(service, connection, "profiles", at)
    return past.relation_at(at, among), members


def earliest(service: Service, connection: Connection, subject: Subject) -> datetime:
    """Return the earliest time about which history can be asked."""
    keep = service.retention.profiles if subject == "profiles" else service.retention.memberships
    known = kept.kept_from(connection, subject)
    bound = service.clock.now() - keep
    return bound if known is None else max(known, bound)


def check_kept(service: Service, connection: Connection, subject: Subject, at: datetime) -> None:
    """Raise FailedPrecondition (BEFORE_RETENTION) when a time lies before what is kept."""
    bound = earliest(service, connection, subject)
    if at < bound:
        what = "attributes, tags, consents and traits" if subject == "profiles" else "memberships"
        shown = _shown(bound)
        raise FailedPrecondition(
            f"{what} are known back to {shown}, not at {_shown(at)}: ask about a later time",
            reason="BEFORE_RETENTION",
            metadata={"earliest_time": shown},
        )


def _shown(instant: datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")


@dataclass(frozen=True)
class Members:
    """Hold a page of members, and the version of the rule that they followed; 0 when there was none."""

    contacts: list[UUID]
    version: int


def members_at(
    service: Service, connection: Connection, id_: str, at: datetime, *, after: UUID | None, limit: int
) -> Members:
    """Return who was a member of a segment at a time; of one that was not there then, nobody was.

    Raises NotFound for a segment that neither is nor was, FailedPrecondition (BEFORE_RETENTION), and InvalidArgument
    for a time that is not there yet.
    """
    if at > service.clock.now():
        raise InvalidArgument.field("as_of_time", f"lies in the future: {_shown(at)}; leave it out for now")
    lives = _lives(connection, id_)
    check_kept(service, connection, "memberships", at)
    for life in lives:
        if life.contains(at):
            contacts = past_members.list_at(connection, life.number, at, after=after, limit=limit)
            return Members(contacts, past_segments.version_at(connection, life.number, at))
    return Members([], 0)


def _lives(connection: Connection, id_: str) -> list[past_segments.Lifetime]:
    found = past_segments.lifetimes(connection, id_)
    if not found:
        raise NotFound.resource(format_name(SEGMENTS, id_))
    return found


def changes(
    service: Service,
    connection: Connection,
    *,
    contact_id: UUID | None,
    segment: str | None,
    start: datetime | None,
    end: datetime | None,
    after: tuple[datetime, int, UUID, int] | None,
    limit: int,
) -> list[Change]:
    """Return entries and exits, newest first, from start on and before end; start: None for all that is kept.

    Raises NotFound for a segment that neither is nor was, FailedPrecondition (BEFORE_RETENTION), InvalidArgument.
    """
    if start is not None and end is not None and start >= end:
        raise InvalidArgument.field("end_time", f"must lie after start_time, {_shown(start)}")
    numbers = [life.number for life in _lives(connection, segment)] if segment is not None else None
    if start is not None:
        check_kept(service, connection, "memberships", start)
    return past_members.changes(
        connection,
        contact_id=contact_id,
        numbers=numbers,
        start=start or earliest(service, connection, "memberships"),
        end=end,
        after=after,
        limit=limit,
    )


def remove_old(service: Service, *, batch: int = BATCH, run_seconds: float = RUN_SECONDS) -> int:
    """Remove history that is older than it is kept, in bounded batches; returns how many rows.

    Goes on until nothing is left or the run has lasted long enough; the next run takes the rest.
    """
    until = time.monotonic() + run_seconds
    removed = _remove_old(service, "profiles", service.retention.profiles, batch, until)
    removed += _remove_old(service, "memberships", service.retention.memberships, batch, until)
    with service.db.transaction() as connection:
        kept.remove_segments(connection, service.clock.now() - service.retention.memberships)
    return removed


def _remove_old(service: Service, subject: Subject, keep: timedelta, batch: int, until: float) -> int:
    before = service.clock.now() - keep
    with service.db.transaction() as connection:
        if not kept.any_older(connection, subject, before):
            return 0
        # Told first and for good: a longer retention, set later, brings nothing back.
        kept.give_up(connection, subject, before)
    removed = 0
    while True:
        with service.db.transaction() as connection:
            count = kept.remove_older(connection, subject, before, batch)
        removed += count
        if count < batch or time.monotonic() >= until:
            return removed
