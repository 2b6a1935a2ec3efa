"""Queries on the definitions of segments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql as pg

from services.kit.names import new_id
from services.segmentation.domain import ActiveRule, Kind, Origin, Segment, State
from services.segmentation.models import segment, segment_size, segment_version, snapshot_origin, vocabulary
from services.segmentation.store import past_segments

_SIZE = (
    sa.select(sa.func.coalesce(sa.func.sum(segment_size.c.delta), 0))
    .where(segment_size.c.segment_number == segment.c.number)
    .correlate(segment)
    .scalar_subquery()
)
_SEGMENTS = (
    sa.select(
        segment,
        segment_version.c.rule,
        sa.cast(_SIZE, sa.BigInteger).label("member_count"),
        snapshot_origin.c.source.label("origin_source"),
        snapshot_origin.c.version.label("origin_version"),
        snapshot_origin.c.rule.label("origin_rule"),
        snapshot_origin.c.as_of.label("origin_as_of"),
    )
    .join(
        segment_version,
        sa.and_(
            segment_version.c.segment_number == segment.c.number,
            segment_version.c.version == segment.c.version,
        ),
    )
    .outerjoin(snapshot_origin, snapshot_origin.c.segment_number == segment.c.number)
)


def _segment(row: Any) -> Segment:
    return Segment(
        number=row.number,
        id=row.id,
        display_name=row.display_name,
        rule=row.rule,
        version=row.version,
        active_version=row.active_version,
        state=row.state,
        state_message=row.state_message,
        stalled=row.stalled,
        gone=row.gone,
        revision=row.revision,
        member_count=row.member_count,
        create_time=row.create_time,
        update_time=row.update_time,
        rebuild_time=row.rebuild_time,
        kind=row.kind,
        origin=None
        if row.origin_source is None
        else Origin(row.origin_source, row.origin_version, row.origin_rule, row.origin_as_of),
    )


def find(connection: Connection, id_: str, *, lock: bool = False) -> Segment | None:
    """Return a segment by id, or None; lock: until the end of the transaction."""
    query = _SEGMENTS.where(segment.c.id == id_)
    if lock:
        query = query.with_for_update(of=segment)
    row = connection.execute(query).one_or_none()
    return _segment(row) if row is not None else None


def find_all(connection: Connection, ids: Iterable[str], *, lock: bool = False) -> dict[str, Segment]:
    """Return those of some segments that exist, by id; lock: until the end of the transaction."""
    query = _SEGMENTS.where(segment.c.id.in_(list(ids))).order_by(segment.c.number)
    if lock:
        query = query.with_for_update(of=segment)
    return {row.id: _segment(row) for row in connection.execute(query)}


def list_page(connection: Connection, *, after: str, limit: int) -> list[Segment]:
    """Return segments in the order of their ids, those after an id ("" for the first)."""
    query = _SEGMENTS.where(segment.c.id > after).order_by(segment.c.id).limit(limit)
    return [_segment(row) for row in connection.execute(query)]


def numbers(connection: Connection) -> dict[str, int]:
    """Return the numbers of all segments by id."""
    return {row.id: row.number for row in connection.execute(sa.select(segment.c.id, segment.c.number))}


def undisturbed(connection: Connection, ids: Iterable[str]) -> dict[str, int]:
    """Return the numbers of those segments that follow their newest rule and have no trouble, by id."""
    query = sa.select(segment.c.id, segment.c.number).where(
        segment.c.id.in_(list(ids)),
        segment.c.version == segment.c.active_version,
        segment.c.state != "failed",
        segment.c.stalled == "",
        sa.not_(segment.c.gone),
    )
    return {row.id: row.number for row in connection.execute(query)}


def unfinished(connection: Connection, ids: Iterable[str]) -> set[str]:
    """Return those of some segments that do not follow their newest rule, or are said to be rebuilt."""
    query = sa.select(segment.c.id).where(
        segment.c.id.in_(list(ids)),
        sa.or_(segment.c.version.is_distinct_from(segment.c.active_version), segment.c.state == "building"),
    )
    return set(connection.execute(query).scalars())


def settled(connection: Connection, numbers: Iterable[int], now: datetime) -> None:
    """Record that segments were rebuilt by the rules in force; one whose rule changed meanwhile stays as it is."""
    connection.execute(
        sa.update(segment)
        .where(segment.c.number.in_(list(numbers)), segment.c.version == segment.c.active_version)
        .values(state="ready", state_message="", rebuild_time=now, failing_since=None, retry_time=None)
    )


def newest_edges(connection: Connection) -> dict[str, set[str]]:
    """Return, by segment, the ids that its newest rule names."""
    query = sa.select(segment.c.id, segment_version.c.depends).join(
        segment_version,
        sa.and_(
            segment_version.c.segment_number == segment.c.number,
            segment_version.c.version == segment.c.version,
        ),
    )
    return {row.id: set(row.depends) for row in connection.execute(query)}


def edges(connection: Connection) -> dict[str, set[str]]:
    """Return, by segment, the ids that its newest rule and the one in force name."""
    query = sa.select(segment.c.id, segment_version.c.depends).join(
        segment_version,
        sa.and_(
            segment_version.c.segment_number == segment.c.number,
            sa.or_(
                segment_version.c.version == segment.c.version,
                segment_version.c.version == segment.c.active_version,
            ),
        ),
    )
    found: dict[str, set[str]] = {}
    for row in connection.execute(query):
        found.setdefault(row.id, set()).update(row.depends)
    return found


def lists(connection: Connection) -> dict[str, int]:
    """Return the numbers of the segments that are lists, by id."""
    query = sa.select(segment.c.id, segment.c.number).where(segment.c.kind == "list")
    return {row.id: row.number for row in connection.execute(query)}


def list_notices(connection: Connection) -> list[tuple[int, str, int]]:
    """Return number, id and version of the segments that are lists."""
    query = sa.select(segment.c.number, segment.c.id, segment.c.version).where(segment.c.kind == "list")
    return [(row.number, row.id, row.version) for row in connection.execute(query)]


def insert(connection: Connection, id_: str, display_name: str, now: datetime, kind: Kind = "rule") -> int:
    """Insert a segment without a rule yet and return its number; 0 when the id is taken."""
    statement = (
        pg.insert(segment)
        .values(
            id=id_,
            display_name=display_name,
            kind=kind,
            version=0,
            state="building",
            revision=1,
            create_time=now,
            update_time=now,
        )
        .on_conflict_do_nothing(index_elements=[segment.c.id])
        .returning(segment.c.number)
    )
    return connection.execute(statement).scalar_one_or_none() or 0


def add_version(
    connection: Connection,
    number: int,
    *,
    version: int,
    rule: str,
    depends: Sequence[str],
    functions: Mapping[str, Mapping[str, Any]],
    now: datetime,
) -> None:
    """Store a new newest rule; the segment is building until it was rebuilt by it."""
    row = {
        "segment_number": number,
        "version": version,
        "rule": rule,
        "depends": list(depends),
        "functions": dict(functions),
        "create_time": now,
    }
    connection.execute(sa.insert(segment_version).values(row))
    change(
        connection,
        number,
        version=version,
        state="building",
        state_message="",
        failing_since=None,
        retry_time=None,
    )


def change(connection: Connection, number: int, **values: Any) -> None:
    """Set columns of a segment."""
    connection.execute(sa.update(segment).where(segment.c.number == number).values(values))


def mark_building(connection: Connection, ids: Iterable[str]) -> None:
    """Record that segments wait for a rebuild."""
    connection.execute(
        sa.update(segment).where(segment.c.id.in_(list(ids))).values(state="building", state_message="")
    )


def fail(
    connection: Connection,
    id_: str,
    problem: str,
    *,
    failing_since: datetime | None = None,
    retry_time: datetime | None = None,
) -> None:
    """Record that a rebuild failed, and, if that was for a plugin, since when it does and when it is tried again."""
    connection.execute(
        sa.update(segment)
        .where(segment.c.id == id_)
        .values(state="failed", state_message=problem, failing_since=failing_since, retry_time=retry_time)
    )


def failing_since(connection: Connection, id_: str) -> datetime | None:
    """Return since when plugins let the rebuilds of a segment fail, or None."""
    query = sa.select(segment.c.failing_since).where(segment.c.id == id_)
    return connection.execute(query).scalar_one_or_none()


def to_retry(connection: Connection, until: datetime | None = None) -> list[ActiveRule]:
    """Return the newest rules of segments whose rebuild failed for a plugin. until: those alone that are due then."""
    query = _rules().where(
        segment_version.c.version == segment.c.version,
        segment.c.state == "failed",
        segment.c.retry_time.is_not(None) if until is None else segment.c.retry_time <= until,
    )
    return [_active(row) for row in connection.execute(query.order_by(segment.c.id))]


def set_functions(
    connection: Connection, number: int, version: int, functions: Mapping[str, Mapping[str, Any]]
) -> None:
    """Store the records of the plugin rules that a version was evaluated with."""
    connection.execute(
        sa.update(segment_version)
        .where(segment_version.c.segment_number == number, segment_version.c.version == version)
        .values(functions=dict(functions))
    )


def put_in_force(connection: Connection, number: int, version: int, now: datetime) -> None:
    """Record since when membership follows a version."""
    connection.execute(
        sa.update(segment_version)
        .where(
            segment_version.c.segment_number == number,
            segment_version.c.version == version,
            segment_version.c.active_from.is_(None),
        )
        .values(active_from=now)
    )


def delete(connection: Connection, number: int, now: datetime) -> None:
    """Delete a segment with its versions and size; its membership must be gone. What history needs of it is kept."""
    past_segments.retire(connection, number, now)
    connection.execute(sa.delete(segment_size).where(segment_size.c.segment_number == number))
    connection.execute(sa.delete(segment).where(segment.c.number == number))


def rule_of(connection: Connection, number: int, version: int) -> ActiveRule:
    """Return one version of a segment's rule."""
    query = _rules().where(segment.c.number == number, segment_version.c.version == version)
    return _active(connection.execute(query).one())


def active_rules(connection: Connection) -> list[ActiveRule]:
    """Return the rules that membership follows, by id of the segment."""
    query = (
        _rules()
        .where(segment_version.c.version == segment.c.active_version, segment.c.kind == "rule")
        .order_by(segment.c.id)
    )
    return [_active(row) for row in connection.execute(query)]


def _rules() -> sa.Select[Any]:
    return sa.select(
        segment.c.number,
        segment.c.id,
        segment_version.c.version,
        segment_version.c.rule,
        segment_version.c.depends,
        segment_version.c.functions,
    ).join(segment_version, segment_version.c.segment_number == segment.c.number)


def _active(row: Any) -> ActiveRule:
    return ActiveRule(row.number, row.id, row.version, row.rule, tuple(row.depends), row.functions)


def put_origin(connection: Connection, number: int, origin: Origin) -> None:
    """Store what a snapshot was made from, in place of what was stored."""
    row = {"source": origin.source, "version": origin.version, "rule": origin.rule, "as_of": origin.as_of}
    statement = pg.insert(snapshot_origin).values(segment_number=number, **row)
    connection.execute(statement.on_conflict_do_update(index_elements=["segment_number"], set_=row))


def states(connection: Connection) -> dict[int, tuple[State, str, bool]]:
    """Return state, why it stalls, and whether for a missing plugin, of all segments by number."""
    query = sa.select(segment.c.number, segment.c.state, segment.c.stalled, segment.c.gone)
    return {row.number: (row.state, row.stalled, row.gone) for row in connection.execute(query)}


def stall(connection: Connection, problems: Mapping[int, str], *, gone: bool) -> None:
    """Record why changes of contacts do not reach segments; writes only what is new."""
    for number, problem in sorted(problems.items()):
        connection.execute(
            sa.update(segment)
            .where(
                segment.c.number == number,
                sa.or_(segment.c.stalled != problem, segment.c.gone != gone),
                # A missing plugin stays the reason until it is back.
                sa.true() if gone else segment.c.gone.is_(False),
            )
            # Once the plugin is back it is rebuilt, whatever else it stalled for.
            .values(stalled=problem, gone=gone, slow=False)
        )


def set_aside(connection: Connection, problems: Mapping[int, str]) -> None:
    """Record of segments that their rules take too long, and why; no plan holds them until that is taken back."""
    for number, problem in sorted(problems.items()):
        connection.execute(
            sa.update(segment)
            .where(segment.c.number == number, segment.c.gone.is_(False))
            .values(stalled=problem, slow=True)
        )


def resume(connection: Connection) -> int:
    """Record that no segment stalls any more for a plugin that failed; returns how many did."""
    statement = (
        sa.update(segment)
        .where(segment.c.stalled != "", segment.c.gone.is_(False), segment.c.slow.is_(False))
        .values(stalled="")
    )
    return connection.execute(statement).rowcount


def lock_definitions(connection: Connection) -> None:
    """Let only one transaction at a time change definitions."""
    row = {"id": 1, "names": new_id(), "rules": new_id()}
    connection.execute(pg.insert(vocabulary).values(row).on_conflict_do_nothing(index_elements=["id"]))
    connection.execute(sa.select(vocabulary.c.id).with_for_update())


def bump(connection: Connection, *, names: bool = False, rules: bool = False) -> None:
    """Tell all processes that what rules may name, or the rules in force, changed.

    Random values, not counters: what a process compiled in a transaction that rolled back must not pass for another's.
    """
    lock_definitions(connection)
    changed = {name: new_id() for name, new in (("names", names), ("rules", rules)) if new}
    connection.execute(sa.update(vocabulary).values(changed))


@dataclass(frozen=True, slots=True)
class Revisions:
    """Hold what changes with what rules may name, with the rules in force, and with those that are set aside.

    slow: the numbers of the segments whose rules take too long.
    """

    names: UUID | None = None
    rules: UUID | None = None
    slow: tuple[int, ...] = ()


def revisions(connection: Connection) -> Revisions:
    """Return what a plan must be made of."""
    slow = sa.select(segment.c.number).where(segment.c.slow).order_by(segment.c.number)
    row = connection.execute(
        sa.select(vocabulary.c.names, vocabulary.c.rules, sa.func.array(slow.scalar_subquery()))
    ).one_or_none()
    return Revisions(row[0], row[1], tuple(row[2])) if row is not None else Revisions()
