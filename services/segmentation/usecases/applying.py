"""Sets of segments, applied as a whole: made, changed and deleted in one transaction, with one rebuild."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from rapport.operations.v1 import operations_pb2
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from services.kit.errors import FailedPrecondition, FieldViolation, InvalidArgument, NotFound
from services.kit.names import format_name
from services.kit.plugins import PluginError
from services.segmentation.context import Service
from services.segmentation.domain import SEGMENTS, Kind, Segment, levels, refuse_cycle, with_dependents
from services.segmentation.rulebook import depends_of
from services.segmentation.rules import CompiledRule
from services.segmentation.store import locks, segments
from services.segmentation.usecases import defining, previewing
from services.segmentation.usecases.rebuilding import start_rebuild
from services.segmentation.vocabulary import load_names, make_registry

Action = Literal["created", "changed", "unchanged", "deleted"]
COUNTING_SECONDS = 8.0


@dataclass(frozen=True, slots=True)
class Wish:
    """Say how a segment shall be.

    etag: that was read, empty for any; create_only: it must not exist; field: where the caller said so.
    """

    id: str
    display_name: str
    kind: Kind
    rule: str
    etag: str
    create_only: bool
    field: str


@dataclass(frozen=True, slots=True)
class Removal:
    """Say that a segment shall not be."""

    id: str
    etag: str
    field: str


@dataclass(frozen=True)
class Applied:
    """Tell what was done to a segment, or would be.

    after: as stored, None when nothing is stored or it is gone; expected: for how many contacts its new rule is TRUE
    now, None when that is not known.
    """

    action: Action
    before: Segment | None
    after: Segment | None = None
    wish: Wish | None = None
    expected: int | None = None


@dataclass
class _Set:
    """Hold a set that was checked: what there is, what each wish means, the new rules, who names whom then."""

    known: Mapping[str, Segment]
    actions: Mapping[str, Action]
    wishes: Mapping[str, Wish]
    removals: Mapping[str, Removal]
    compiled: dict[str, CompiledRule] = field(default_factory=dict)
    edges: dict[str, Collection[str]] = field(default_factory=dict)

    def wished(self) -> list[str]:
        """Return the ids of the wishes, each after those that it names."""
        edges = {id_: self.edges.get(id_, ()) for id_ in self.wishes}
        return [id_ for level in levels(edges) for id_ in level]

    def removed(self) -> list[str]:
        """Return the ids of the removals, each before those that it names."""
        edges = {id_: self.edges.get(id_, ()) for id_ in self.removals}
        return [id_ for level in reversed(levels(edges)) for id_ in level]


def apply_set(
    service: Service, connection: Connection, wishes: Sequence[Wish], removals: Sequence[Removal]
) -> tuple[list[Applied], operations_pb2.Operation | None]:
    """Apply a set in the caller's transaction; returns what was done and the rebuild, if any."""
    if removals:
        locks.own_membership(connection)
    else:
        locks.share_membership(connection)
    segments.lock_definitions(connection)
    given = _begin(connection, wishes, removals, lock=True)
    now = service.clock.now()
    numbers: dict[str, int] = {}
    for id_, wish in given.wishes.items():
        if given.actions[id_] == "created":
            # Before any rule is compiled, so that rules may name segments that come later.
            numbers[id_] = segments.insert(connection, id_, wish.display_name, now, wish.kind)
    _compile(service, connection, given, {})
    _check_edges(connection, given, in_force=True)
    rebuilt = []
    for id_ in given.wished():
        wish, before = given.wishes[id_], given.known.get(id_)
        compiled = given.compiled.get(id_)
        if before is None and wish.kind == "list":
            defining.put_list(service, connection, numbers[id_])
        if compiled is not None:
            number, version = (before.number, before.version + 1) if before else (numbers[id_], 1)
            defining.add_version(service, connection, number, version, wish.rule, compiled)
            rebuilt.append(id_)
        if before is not None and given.actions[id_] == "changed":
            segments.change(
                connection,
                before.number,
                display_name=wish.display_name,
                revision=before.revision + 1,
                update_time=now,
            )
    operation = start_rebuild(service, connection, rebuilt) if rebuilt else None
    for id_ in given.removed():
        defining.drop(service, connection, given.known[id_])
    if removals:
        segments.bump(connection, rules=True)
    after = segments.find_all(connection, given.wishes)
    done = [
        Applied(given.actions[id_], given.known.get(id_), after[id_], given.wishes[id_])
        for id_ in given.wished()
    ]
    return done + [Applied("deleted", given.known[id_]) for id_ in given.removed()], operation


def check_set(
    service: Service, connection: Connection, wishes: Sequence[Wish], removals: Sequence[Removal]
) -> list[Applied]:
    """Check a set and count whom new rules would take in, on a connection of `previewing.snapshot`."""
    given = _begin(connection, wishes, removals, lock=False)
    # Names that no member has: a new list is empty, and rules that name other new segments are not counted.
    made = [id_ for id_, action in given.actions.items() if action == "created"]
    _compile(service, connection, given, {id_: -1 - at for at, id_ in enumerate(made)})
    _check_edges(connection, given, in_force=False)
    expected = _count(service, connection, given)
    done = [
        Applied(given.actions[id_], given.known.get(id_), None, given.wishes[id_], expected.get(id_))
        for id_ in given.wished()
    ]
    return done + [Applied("deleted", given.known[id_]) for id_ in given.removed()]


def _begin(
    connection: Connection, wishes: Sequence[Wish], removals: Sequence[Removal], *, lock: bool
) -> _Set:
    wished: dict[str, Wish] = {}
    removed: dict[str, Removal] = {}
    for wish in wishes:
        _once(wish.id, wish.field, wished)
        wished[wish.id] = wish
    for removal in removals:
        _once(removal.id, removal.field, wished | removed)
        removed[removal.id] = removal
    known = segments.find_all(connection, [*wished, *removed], lock=lock)
    for removal in removals:
        if removal.id not in known:
            raise NotFound.resource(format_name(SEGMENTS, removal.id))
        defining.check_etag(known[removal.id], removal.etag)
    actions = {wish.id: _action(wish, known.get(wish.id)) for wish in wishes}
    return _Set(known, actions, wished, removed)


def _once(id_: str, where: str, seen: Collection[str]) -> None:
    if id_ in seen:
        raise InvalidArgument.field(
            where, f"{format_name(SEGMENTS, id_)} comes twice: say once what becomes of it"
        )


def _action(wish: Wish, found: Segment | None) -> Action:
    if found is None:
        if wish.etag:
            raise NotFound.resource(format_name(SEGMENTS, wish.id))
        return "created"
    if wish.create_only:
        raise defining.taken(wish.id)
    defining.check_etag(found, wish.etag)
    if wish.kind != found.kind:
        raise FailedPrecondition(
            f"{found.name} is a segment of kind {found.kind.upper()} and cannot become one of kind "
            f"{wish.kind.upper()}: delete it first, or take another id",
            reason="SEGMENT_KIND",
            metadata={"resource": found.name},
        )
    same = wish.rule == found.rule and wish.display_name == found.display_name
    return "unchanged" if same else "changed"


def _compile(service: Service, connection: Connection, given: _Set, numbers: Mapping[str, int]) -> None:
    """Compile all rules that are new; numbers: of segments that are not stored. Raises one error for all of them."""
    names = load_names(connection)
    names = dataclasses.replace(names, numbers={**names.numbers, **numbers})
    registry = make_registry(names, service.catalog(), service.time_zone)
    wrong: list[FieldViolation] = []
    metadata: dict[str, str] = {}
    for id_, wish in given.wishes.items():
        before = given.known.get(id_)
        if wish.kind == "list" or (before is not None and before.rule == wish.rule):
            continue
        where = f"{wish.field}.segment.rule"
        try:
            given.compiled[id_] = defining.compile_with(service, connection, registry, wish.rule, where)
        except InvalidArgument as error:
            wrong.extend(error.violations)
            metadata.update({f"{wish.field}.{key}": value for key, value in error.metadata.items()})
    if wrong:
        raise InvalidArgument(
            "; ".join(f"{item.field}: {item.description}" for item in wrong),
            reason="INVALID_RULE",
            metadata=metadata,
            violations=wrong,
        )


def _check_edges(connection: Connection, given: _Set, *, in_force: bool) -> None:
    """Refuse circles, and rules that name what is deleted.

    in_force: whether rules that hold until their segment is rebuilt count for the latter; for circles they always do.
    """
    new = {id_: depends_of(rule) for id_, rule in given.compiled.items()}
    given.edges = {**segments.newest_edges(connection), **new}
    for id_ in sorted(new):
        refuse_cycle(id_, new[id_], given.edges)
    _refuse_use(given, given.edges)
    held = {rule.id: rule.depends for rule in segments.active_rules(connection)}
    both = {id_: {*given.edges.get(id_, ()), *held.get(id_, ())} for id_ in {*given.edges, *held}}
    for id_ in sorted(new):
        try:
            refuse_cycle(id_, new[id_], both)
        except FailedPrecondition as error:
            raise FailedPrecondition(
                f"{error.message}; the rules alone make none, but one of them holds until its segment is rebuilt: "
                "apply the change that takes it out first, then the other",
                reason=error.reason,
                metadata=error.metadata,
            ) from error
    if in_force:
        _refuse_use(given, both)


def _refuse_use(given: _Set, edges: Mapping[str, Collection[str]]) -> None:
    for id_ in given.removals:
        users = sorted(name for name, below in edges.items() if id_ in below and name not in given.removals)
        if users:
            raise defining.in_use(format_name(SEGMENTS, id_), users)


def _count(service: Service, connection: Connection, given: _Set) -> dict[str, int]:
    """Count for how many contacts new rules are TRUE, those that do not rest on other new rules, while time allows."""
    unsure = _resting_on(given.compiled, given.edges)
    until = time.monotonic() + COUNTING_SECONDS
    found: dict[str, int] = {}
    for id_ in sorted(given.compiled):
        left = until - time.monotonic()
        if id_ in unsure or left <= 0:
            continue
        try:
            with connection.begin_nested():
                connection.exec_driver_sql(f"SET LOCAL statement_timeout = {max(1, round(left * 1000))}")
                found[id_] = previewing.count(service, connection, given.compiled[id_], None, 0).members
        except PluginError:
            continue
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) != "57014":
                raise
    return found


def _resting_on(new: Iterable[str], edges: Mapping[str, Collection[str]]) -> set[str]:
    """Return the segments whose rules name one with a new rule, directly or not."""
    found: set[str] = set()
    for id_ in new:
        found.update(name for name in with_dependents([id_], edges) if name != id_)
    return found
