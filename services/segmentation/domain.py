"""Segments as the service thinks of them: ids, states, what depends on what."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from services.kit.errors import FailedPrecondition, InvalidArgument
from services.kit.names import format_name, parse_key

SEGMENTS = "segments"
State = Literal["building", "ready", "failed"]
Kind = Literal["rule", "list"]
_ID = re.compile(r"[a-z][a-z0-9_-]{0,62}")


@dataclass(frozen=True, slots=True)
class Origin:
    """Tell what a list that is a snapshot was made from.

    source: id of the segment, empty for a rule; version: of its rule, 0 for a rule; rule: that was evaluated, empty
    when members were taken as they stood; as_of: for which the members are right, None before they were taken.
    """

    source: str
    version: int
    rule: str
    as_of: datetime | None


@dataclass(frozen=True, slots=True)
class Segment:
    """Describe a segment.

    number: its short key in the membership table; version: of the newest rule; active_version: of the rule that
    membership follows, None before the first rebuild; revision: of the definition; stalled: why changes of contacts do
    not reach its membership now, empty when they do; gone: whether a plugin that its rule calls is missing.
    """

    number: int
    id: str
    display_name: str
    rule: str
    version: int
    active_version: int | None
    state: State
    state_message: str
    stalled: str
    gone: bool
    revision: int
    member_count: int
    create_time: datetime
    update_time: datetime
    rebuild_time: datetime | None
    kind: Kind = "rule"
    origin: Origin | None = None

    @property
    def name(self) -> str:
        """Return the resource name."""
        return format_name(SEGMENTS, self.id)

    @property
    def etag(self) -> str:
        """Return what changes with each change of the definition; a segment made anew has another one."""
        return f"{self.number}-{self.revision}"


@dataclass(frozen=True, slots=True)
class ActiveRule:
    """Hold the rule that a segment's membership follows.

    depends: ids of the segments that it names; functions: records of the plugin rules that it calls, by name, as they
    were when it was last saved or rebuilt.
    """

    number: int
    id: str
    version: int
    rule: str
    depends: tuple[str, ...]
    functions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Return the resource name of the segment."""
        return format_name(SEGMENTS, self.id)


@dataclass(frozen=True, slots=True)
class Retention:
    """Say how long the past of profiles and of memberships is kept."""

    profiles: timedelta = timedelta(days=400)
    memberships: timedelta = timedelta(days=800)


@dataclass(frozen=True, slots=True)
class Limits:
    """Say how many seconds statements of rules may take: for a batch of contacts, and for all contacts."""

    batch: float = 10.0
    rebuild: float = 60.0

    @property
    def unhurried(self) -> float:
        """Return the seconds for all contacts when nobody waits for it."""
        return 10 * self.rebuild


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """Tell what the rebuild of one segment did."""

    segment: str
    version: int
    entered: int
    left: int
    members: int

    @property
    def counts(self) -> tuple[int, int, int, int]:
        """Return version, entered, left and members."""
        return self.version, self.entered, self.left, self.members


def check_id(value: str, field_name: str = "segment_id") -> str:
    """Return a segment's id; raises InvalidArgument when it is none."""
    if not _ID.fullmatch(value):
        raise InvalidArgument.field(
            field_name,
            f"expected 1-63 lower-case letters, digits, '-' and '_', a letter first, got {value[:80]!r}",
            reason="INVALID_SEGMENT_ID",
        )
    return value


def parse_segment(name: str, field_name: str = "name") -> str:
    """Return the id in `segments/{id}`; raises InvalidArgument."""
    return check_id(parse_key(name, SEGMENTS, field_name), field_name)


def refuse_cycle(segment: str, depends: Iterable[str], edges: Mapping[str, Collection[str]]) -> None:
    """Refuse a rule of `segment` that names `depends`, when one of them leads back to it.

    edges: the segments that each other segment's rules name. Raises FailedPrecondition (SEGMENT_CYCLE) with the path.
    """
    came_from: dict[str, str] = {}
    waiting = []
    for first in sorted(set(depends)):
        came_from[first] = segment
        waiting.append(first)
    while waiting:
        at = waiting.pop()
        if at == segment:
            break
        for following in sorted(edges.get(at, ())):
            if following not in came_from:
                came_from[following] = at
                waiting.append(following)
    if segment not in came_from:
        return
    path = [segment]
    while True:
        path.append(came_from[path[-1]])
        if path[-1] == segment:
            break
    shown = " -> ".join(format_name(SEGMENTS, item) for item in reversed(path))
    raise FailedPrecondition(
        f"the rule would make a circle of segments: {shown}; take one in_segment() out",
        reason="SEGMENT_CYCLE",
        metadata={"cycle": shown},
    )


def levels(edges: Mapping[str, Collection[str]]) -> list[list[str]]:
    """Sort segments so that each comes in a later level than those that it names; names that are no keys do not count.

    Raises FailedPrecondition (SEGMENT_CYCLE) for a circle.
    """
    depth: dict[str, int] = {}
    open_: set[str] = set()

    def visit(start: str) -> None:
        stack = [start]
        while stack:
            at = stack[-1]
            if at in depth:
                stack.pop()
                continue
            open_.add(at)
            below = [name for name in edges[at] if name in edges]
            missing = [name for name in below if name not in depth]
            if any(name in open_ for name in missing):
                refuse_cycle(at, edges[at], edges)
            if missing:
                stack.extend(missing)
                continue
            depth[at] = 1 + max((depth[name] for name in below), default=-1)
            open_.discard(at)
            stack.pop()

    for name in edges:
        visit(name)
    result: list[list[str]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for name in sorted(depth):
        result[depth[name]].append(name)
    return result


def with_dependents(wanted: Iterable[str], edges: Mapping[str, Collection[str]]) -> list[str]:
    """Return segments and all whose rules name them, directly or not, each after those that it names."""
    dependents: dict[str, list[str]] = {}
    for name, below in edges.items():
        for item in below:
            dependents.setdefault(item, []).append(name)
    found: set[str] = set()
    waiting = [name for name in wanted if name in edges]
    while waiting:
        at = waiting.pop()
        if at not in found:
            found.add(at)
            waiting.extend(dependents.get(at, ()))
    return [name for level in levels(edges) for name in level if name in found]


def chunks(items: Sequence[Any], size: int) -> Iterable[Sequence[Any]]:
    """Cut a sequence into pieces of at most `size`."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
