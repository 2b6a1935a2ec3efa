"""What makes a journey's graph sound, found before anybody enters it; each problem names its step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

from services.campaign.domain.conditions import compile_condition
from services.campaign.domain.ids import RuleError, check_topic
from services.campaign.domain.localtime import check_zone
from services.campaign.domain.steps import (
    EFFECTS,
    END,
    WAITS,
    Branch,
    Match,
    ModifyTags,
    Node,
    OpenCase,
    OpenTask,
    Send,
    SetAttribute,
    Split,
    Step,
    Wait,
    WaitEvent,
    WaitUntil,
    Webhook,
    check_step_id,
    numbered,
)
from services.campaign.domain.triggers import check_event

LONGEST_WAIT = timedelta(days=3660)
MOST_EXITS = 20


@dataclass(frozen=True, slots=True)
class Problem:
    """Say what is wrong. field: its path below the journey; step: the id of the step, "" for the whole."""

    field: str
    text: str
    step: str = ""


def check_graph(steps: Sequence[Step]) -> list[Problem]:
    """Return all that is wrong with steps taken by themselves and with how they hang together."""
    nodes = numbered(steps)
    found = [problem for index, node in enumerate(nodes) for problem in _check_node(index, node)]
    if not any(isinstance(node.action, EFFECTS) for node in nodes):
        found.append(Problem("steps", "at least one step must send or change something"))
    return found or _check_ways(nodes)


def _check_node(index: int, node: Node) -> Iterator[Problem]:
    path = f"steps[{index}]"
    try:
        check_step_id(node.id)
    except RuleError as error:
        yield Problem(f"{path}.id", str(error), node.id)
        return
    for field, check in _checks(node):
        try:
            check()
        except RuleError as error:
            where = f"{node.kind}.{field}{'.' + error.field if error.field else ''}"
            yield Problem(f"{path}.{where}", str(error), node.id)


def _checks(node: Node) -> Iterable[tuple[str, Callable[[], object]]]:
    match node.action:
        case Wait(duration=duration):
            yield "duration", lambda: _length(duration)
        case WaitUntil(weekdays=weekdays, zone=zone):
            yield "weekdays", lambda: _weekdays(weekdays)
            if zone:
                yield "time_zone", lambda: check_zone(zone)
        case WaitEvent(match=match, timeout=timeout):
            yield "event", lambda: check_match(match)
            yield "timeout", lambda: _length(timeout)
        case Branch(cases=cases):
            yield "cases", lambda: _several(len(cases))
            for place, case in enumerate(cases):
                yield f"cases[{place}].rule", lambda text=case.rule: _filled(text, 20_000)  # type: ignore[misc]
        case Split(parts=parts):
            yield "parts", lambda: _several(len(parts))
            for place, part in enumerate(parts):
                yield f"parts[{place}].percent", lambda value=part.percent: _percent(value)  # type: ignore[misc]
            yield "parts", lambda: _whole([part.percent for part in parts])
        case Send(topic=topic):
            yield "topic", lambda: check_topic(topic)
        case SetAttribute(attribute=attribute):
            yield "attribute", lambda: _filled(attribute, 63)
        case ModifyTags(add=add, remove=remove):
            yield "add_tags", lambda: _tags(add, remove)
        case OpenCase(subject=subject):
            yield "subject", lambda: _filled(subject, 1000)
        case OpenTask(title=title, due_after=after):
            yield "title", lambda: _filled(title, 300)
            if after is not None:
                yield "due_after", lambda: _not_past(after)
        case Webhook(url=url):
            yield "url", lambda: _url(url)


def check_match(match: Match) -> None:
    """Raise RuleError when a description of events makes no sense."""
    check_event(match.event_type, match.segment)
    if match.condition:
        try:
            compile_condition(match.condition)
        except RuleError as error:
            raise RuleError(str(error), "condition") from None


def _length(value: timedelta) -> None:
    if not timedelta(0) < value <= LONGEST_WAIT:
        raise RuleError("must be positive and at most 3,660 days")


def _not_past(value: timedelta) -> None:
    if not timedelta(0) <= value <= LONGEST_WAIT:
        raise RuleError("must not be negative, and at most 3,660 days")


def _weekdays(days: Sequence[int]) -> None:
    if any(not 1 <= day <= 7 for day in days) or len(set(days)) < len(days):
        raise RuleError("must be numbers from 1 (Monday) to 7 (Sunday), each once")


def _several(count: int) -> None:
    if not 1 <= count <= MOST_EXITS:
        raise RuleError(f"must be 1 to {MOST_EXITS}")


def _percent(value: float) -> None:
    if not (math.isfinite(value) and 0 < value <= 100):
        raise RuleError("must be above 0 and at most 100")


def _whole(shares: Sequence[float]) -> None:
    if sum(shares) > 100 + 1e-9:
        raise RuleError(f"make up {sum(shares):g} %, which is more than the whole")


def _filled(text: str, most: int) -> None:
    if not text.strip():
        raise RuleError("must not be empty")
    if len(text) > most:
        raise RuleError(f"must have at most {most} characters")


def _tags(add: Sequence[str], remove: Sequence[str]) -> None:
    if not add and not remove:
        raise RuleError("must name a tag, or remove_tags must")
    if any(not tag.strip() for tag in (*add, *remove)):
        raise RuleError("must not hold an empty tag")
    if both := set(add) & set(remove):
        raise RuleError(f"{min(both)!r} is to be added and removed")


def _url(text: str) -> None:
    try:
        parts = urlsplit(text)
        fine = parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.username
    except ValueError:
        fine = False
    if not fine or any(character.isspace() for character in text):
        raise RuleError("must be an http or https URL without credentials")


def _check_ways(nodes: Sequence[Node]) -> list[Problem]:
    place = {node.id: index for index, node in enumerate(nodes)}
    found = [
        Problem(f"steps[{index}].id", f"{node.id!r} is the id of steps[{place[node.id]}] too", node.id)
        for index, node in enumerate(nodes)
        if place[node.id] != index
    ]
    found += [
        Problem(f"steps[{index}]", f"leads to {after!r}, which is no step of this journey", node.id)
        for index, node in enumerate(nodes)
        for _, after in node.exits()
        if after != END and after not in place
    ]
    if found:
        return found
    ways = {node.id: [after for _, after in node.exits()] for node in nodes}
    reached = _closure([nodes[0].id], ways)
    back: dict[str, list[str]] = {END: []}
    for key, afters in ways.items():
        for after in afters:
            back.setdefault(after, []).append(key)
    ending = _closure([END], back)
    for index, node in enumerate(nodes):
        if node.id not in reached:
            found.append(Problem(f"steps[{index}]", f"no way leads to the step {node.id!r}", node.id))
        elif node.id not in ending:
            found.append(
                Problem(
                    f"steps[{index}]", f"is a dead end: no way leads from {node.id!r} to the end", node.id
                )
            )
    found += [
        Problem(
            f"steps[{place[key]}]",
            f"is on a circle without a wait: {' → '.join([*circle, circle[0]])}; people would run in it forever",
            key,
        )
        for circle in _instant_circles(nodes)
        for key in circle[:1]
    ]
    return sorted(found, key=lambda problem: problem.field)


def _closure(start: Iterable[str], ways: dict[str, list[str]]) -> set[str]:
    seen, todo = set(start), list(start)
    while todo:
        for after in ways.get(todo.pop(), ()):
            if after not in seen:
                seen.add(after)
                todo.append(after)
    return seen


def _instant_circles(nodes: Sequence[Node]) -> list[list[str]]:
    """Return circles of steps that take no time, one for each step that closes one."""
    ways = {
        node.id: [after for _, after in node.exits() if after != END]
        for node in nodes
        if not isinstance(node.action, WAITS)
    }
    done: set[str] = set()
    circles: list[list[str]] = []
    for start in ways:
        path: list[str] = []
        todo: list[tuple[str, bool]] = [(start, True)]
        while todo:
            key, opening = todo.pop()
            if not opening:
                done.add(path.pop())
            elif key in path:
                circles.append(path[path.index(key) :])
            elif key in ways and key not in done:
                path.append(key)
                todo.append((key, False))
                todo.extend((after, True) for after in ways[key])
    return circles
