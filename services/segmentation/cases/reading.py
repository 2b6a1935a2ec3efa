"""A file of cases: what it declares, and its cases as far as they can be understood without the registry."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

from services.kit.errors import InvalidArgument
from services.segmentation.cases.nodes import Node, parse
from services.segmentation.cases.problems import FileError, Problems
from services.segmentation.cases.values import instant, mapping, sequence, text, texts
from services.segmentation.domain import SEGMENTS, check_id
from services.segmentation.rules import Attribute, EventType, RegistryError, Trait

Verdict = Literal["member", "not_member", "unknown", "invalid"]
VERDICTS: tuple[str, ...] = get_args(Verdict)
MAX_CASES = 1000
MAX_EVENTS = 20_000
_SECTIONS = ("attributes", "event_types", "traits", "cases")
_KEYS = ("name", "rule", "as_of", "contact", "events", "segments", "plugins", "expect", "next_change")
_NOWHERE = Node(None, 1)


@dataclass(frozen=True)
class RawCase:
    """One case as it stands in the file.

    as_of: None when it is not given; segments: names of those that the contact is in; plugins: answers by function, or
    by call; next_change: None when it is not given, else the instant, or None for never, in a tuple.
    """

    name: str
    line: int
    rule: str
    as_of: datetime | None
    contact: Node
    events: tuple[Node, ...]
    segments: frozenset[str]
    plugins: Node
    expect: Verdict
    next_change: tuple[datetime | None] | None


@dataclass(frozen=True)
class CaseFile:
    """Hold what a file declares, each with its line, and its cases."""

    attributes: Mapping[str, tuple[Attribute, int]]
    event_types: Mapping[str, tuple[EventType, int]]
    traits: Mapping[str, tuple[Trait, int]]
    cases: tuple[RawCase, ...]


def read(content: str, problems: Problems) -> CaseFile:
    """Read a file, gathering its mistakes; raises InvalidArgument (INVALID_CASES) when it cannot be read at all."""
    try:
        sections = mapping(parse(content), "the file", _SECTIONS)
        items = sequence(sections.get("cases", _NOWHERE), "cases")
        if not items:
            raise FileError(1, "there are no cases: write `cases:` with a list below it")
        if len(items) > MAX_CASES:
            raise FileError(
                items[MAX_CASES].line, f"there are {len(items)} cases: at most {MAX_CASES} are allowed"
            )
    except FileError as error:
        problems.add(error)
        problems.raise_if_any()
        raise
    return CaseFile(
        _declared(sections, "attributes", problems, lambda name, node: Attribute(name, _type(node))),
        _by_rule_name(_declared(sections, "event_types", problems, _event_type), problems),
        _declared(sections, "traits", problems, lambda name, node: Trait(name, _type(node))),
        tuple(_cases(items, problems)),
    )


def _declared(
    sections: Mapping[str, Node], section: str, problems: Problems, make: Callable[[str, Node], Any]
) -> dict[str, tuple[Any, int]]:
    found = {}
    node = sections.get(section, _NOWHERE)
    try:
        for name, item in mapping(node, section).items():
            try:
                found[name] = (make(name, item), node.keys[name])
            except RegistryError as error:
                problems.add(FileError(item.line, str(error)))
            except FileError as error:
                problems.add(error)
    except FileError as error:
        problems.add(error)
    return found


def _type(node: Node) -> Any:
    return text(node, "a type")


def _event_type(name: str, node: Node) -> EventType:
    fields = mapping(node, f"event type {name}")
    return EventType.parse(name, {key: text(item, f"the type of {key}") for key, item in fields.items()})


def _by_rule_name(
    declared: Mapping[str, tuple[EventType, int]], problems: Problems
) -> dict[str, tuple[EventType, int]]:
    found: dict[str, tuple[EventType, int]] = {}
    for name, (made, line) in declared.items():
        if made.cel_name in found:
            other = found[made.cel_name][0].name
            problems.add(FileError(line, f"event types {other} and {name} are both events.{made.cel_name}"))
        found[made.cel_name] = (made, line)
    return found


def _cases(items: Iterable[Node], problems: Problems) -> Iterable[RawCase]:
    events = 0
    for number, item in enumerate(items, start=1):
        problems.case = f"number {number}"
        try:
            case = _case(item, problems, number)
            events += len(case.events)
            if events > MAX_EVENTS:
                raise FileError(case.line, f"the cases have more than {MAX_EVENTS} events: split the file")
            yield case
        except FileError as error:
            problems.add(error)
            if events > MAX_EVENTS:
                break
    problems.case = ""


def _case(node: Node, problems: Problems, number: int) -> RawCase:
    if not isinstance(node.value, dict):
        raise FileError(node.line, f"a case must be a mapping, this is {node.kind}")
    if "name" in node.value:
        problems.case = node.value["name"].text[:100] or f"number {number}"
    parts = mapping(node, "a case", _KEYS)
    for key in ("name", "rule", "expect"):
        if key not in parts or parts[key].value is None:
            raise FileError(node.line, f"{key} is missing")
        if isinstance(parts[key].value, list | dict):
            raise FileError(parts[key].line, f"{key} must be a text, this is {parts[key].kind}")
    expect = parts["expect"].text
    if expect not in VERDICTS:
        raise FileError(
            parts["expect"].line, f"expect must be one of {', '.join(VERDICTS)}, got {expect[:100]!r}"
        )
    as_of = instant(parts["as_of"], "as_of") if parts.get("as_of", _NOWHERE).value is not None else None
    change = parts.get("next_change")
    if change is not None and expect == "invalid":
        raise FileError(change.line, "next_change says nothing of an invalid rule: leave it out")
    return RawCase(
        parts["name"].text,
        node.line,
        # Whatever YAML takes it for: `true` and `1 < 2` are rules too.
        parts["rule"].text,
        as_of,
        parts.get("contact", Node(None, node.line)),
        tuple(sequence(parts.get("events", _NOWHERE), "events")),
        frozenset(segment_names(parts.get("segments", _NOWHERE))),
        parts.get("plugins", Node(None, node.line)),
        expect,  # type: ignore[arg-type]
        None if change is None else (None if change.value is None else instant(change, "next_change"),),
    )


def segment_names(node: Node) -> list[str]:
    """Return the resource names of segments that are given by id or by name."""
    found = []
    for given in texts(node, "segments"):
        id_ = given.removeprefix(f"{SEGMENTS}/")
        try:
            found.append(f"{SEGMENTS}/{check_id(id_)}")
        except InvalidArgument as error:
            raise FileError(node.line, f"segments: {error.message}") from error
    return found
