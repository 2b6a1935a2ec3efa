"""The steps of journeys: what each does and where it leads, and their form in storage.

A journey is a graph. Each step has an id and leads to the id of another step, or to END; a branch, a split and a wait
for an event have further exits. Where nothing is said, the next step of the list follows, the end after the last one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import time, timedelta
from typing import Any

from services.campaign.domain.ids import RuleError

END = "end"
_ID = re.compile(r"[a-z][a-z0-9_-]{0,39}")
_MICRO = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait so long."""

    duration: timedelta


@dataclass(frozen=True, slots=True)
class WaitUntil:
    """Wait until the clock shows a time, on one of some weekdays (1 is Monday, none: any); zone "": the contact's."""

    time: time
    weekdays: tuple[int, ...] = ()
    zone: str = ""


@dataclass(frozen=True, slots=True)
class Match:
    """Say which events count: a type, for memberships a segment, and a condition in CEL on `event`, or ""."""

    event_type: str
    segment: str = ""
    condition: str = ""


@dataclass(frozen=True, slots=True)
class WaitEvent:
    """Wait for an event, at most so long, after which it goes on at `timeout_next`."""

    match: Match
    timeout: timedelta
    timeout_next: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """Lead somewhere those for whom a rule is TRUE."""

    rule: str
    next: str = ""


@dataclass(frozen=True, slots=True)
class Branch:
    """Go where the first rule that is TRUE leads, or on when none is."""

    cases: tuple[Case, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """Lead a share of the contacts somewhere; percent: above 0, at most 100."""

    percent: float
    next: str = ""


@dataclass(frozen=True, slots=True)
class Split:
    """Divide contacts by chance, each always alike; who is in no part goes on.

    planned: how many contacts of each part are compared with those of the first, once all have as many; 0: not planned.
    """

    parts: tuple[Part, ...]
    planned: int = 0


@dataclass(frozen=True, slots=True)
class Send:
    """Send a message; coupon_pool_id is empty for none."""

    template_id: str
    channel: str
    topic: str
    coupon_pool_id: str = ""


@dataclass(frozen=True, slots=True)
class SetAttribute:
    """Set a custom attribute of the contact; value: a text, number, bool, or ISO time with kind "timestamp"."""

    attribute: str
    kind: str
    value: str | float | bool | int


@dataclass(frozen=True, slots=True)
class ModifyTags:
    """Add and remove tags of the contact."""

    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OpenCase:
    """Open a care case; queue and priority as care names them, empty for its defaults."""

    subject: str
    text: str = ""
    queue: str = ""
    priority: str = ""


@dataclass(frozen=True, slots=True)
class OpenTask:
    """Make a task in care; queue, assignee and priority as care names them, empty for its defaults.

    due_after: so long after the step is taken it is due, None for no due time.
    """

    title: str
    text: str = ""
    queue: str = ""
    assignee: str = ""
    priority: str = ""
    due_after: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Webhook:
    """Call a URL through a webhook channel of the ledger."""

    url: str
    channel: str


Action = (
    Wait
    | WaitUntil
    | WaitEvent
    | Branch
    | Split
    | Send
    | SetAttribute
    | ModifyTags
    | OpenCase
    | OpenTask
    | Webhook
)
WAITS = (Wait, WaitUntil, WaitEvent)
OUTWARD = (SetAttribute, ModifyTags, OpenCase, OpenTask)
EFFECTS = (Send, Webhook, *OUTWARD)
_KINDS: dict[str, type[Any]] = {
    "wait": Wait,
    "wait_until": WaitUntil,
    "wait_event": WaitEvent,
    "branch": Branch,
    "split": Split,
    "send": Send,
    "set_attribute": SetAttribute,
    "modify_tags": ModifyTags,
    "open_case": OpenCase,
    "open_task": OpenTask,
    "webhook": Webhook,
}
KIND_OF = {kind: name for name, kind in _KINDS.items()}


@dataclass(frozen=True, slots=True)
class Node:
    """Place an action in a graph. next: the id of what follows, END, or "" for the next step of the list."""

    id: str
    action: Action
    next: str = ""

    @property
    def kind(self) -> str:
        """Return the name of what it does, as in the API."""
        return KIND_OF[type(self.action)]

    def exits(self) -> Iterator[tuple[str, str]]:
        """Yield each way out as (edge, id of the step that follows); the edge of the plain way is ""."""
        match self.action:
            case WaitEvent(timeout_next=late):
                yield "event", self.next
                yield "timeout", late
            case Branch(cases=cases):
                for index, case in enumerate(cases):
                    yield f"case:{index}", case.next
                yield "", self.next
            case Split(parts=parts):
                for index, part in enumerate(parts):
                    yield f"part:{index}", part.next
                # Nobody is left over when the parts make up the whole.
                if sum(part.percent for part in parts) < 100:
                    yield "", self.next
            case _:
                yield "", self.next

    def follow(self, edge: str) -> str:
        """Return the id of the step behind a way out."""
        return dict(self.exits()).get(edge, self.next) if edge else self.next


Step = Node | Action
"""A step as callers give it: with its place, or an action alone, which takes the place that its position says."""


def numbered(steps: Iterable[Step]) -> tuple[Node, ...]:
    """Return the steps with all ids and ways out filled in: `step<position>` and the next step of the list."""
    nodes = [step if isinstance(step, Node) else Node("", step) for step in steps]
    ids = [node.id or f"step{index + 1}" for index, node in enumerate(nodes)]
    made = []
    for index, node in enumerate(nodes):
        after = ids[index + 1] if index + 1 < len(ids) else END
        action = node.action
        match action:
            case WaitEvent():
                action = replace(action, timeout_next=action.timeout_next or after)
            case Branch(cases=cases):
                action = Branch(tuple(replace(case, next=case.next or after) for case in cases))
            case Split(parts=parts):
                action = replace(
                    action, parts=tuple(replace(part, next=part.next or after) for part in parts)
                )
            case _:
                pass
        made.append(Node(ids[index], action, node.next or after))
    return tuple(made)


def check_step_id(text: str) -> None:
    """Raise RuleError for the id of a step that is malformed; an empty one stands for the position."""
    if text == END or (text and not _ID.fullmatch(text)):
        raise RuleError(
            f"{text[:50]!r} is no id of a step: write 1 to 40 lower-case letters, digits, '-' and '_', with a letter "
            f"first, and not {END!r}, which is the end of the journey"
        )


def steps_to_json(steps: Sequence[Step]) -> list[dict[str, Any]]:
    """Return the steps as stored; durations in microseconds."""
    return [
        {"id": node.id, "next": node.next, KIND_OF[type(node.action)]: _to_json(node.action)}
        for node in (step if isinstance(step, Node) else Node("", step) for step in steps)
    ]


def steps_from_json(stored: Sequence[Mapping[str, Any]]) -> tuple[Node, ...]:
    """Return the steps from what steps_to_json made, or from the lists of actions of earlier releases."""
    made = []
    for item in stored:
        kind = next(name for name in _KINDS if name in item)
        made.append(Node(item.get("id", ""), _action(kind, item[kind]), item.get("next", "")))
    return numbered(made)


def match_to_json(match: Match) -> dict[str, str]:
    """Return a match as stored."""
    return {"event_type": match.event_type, "segment": match.segment, "condition": match.condition}


def _to_json(action: Action) -> Any:
    match action:
        case Wait(duration=duration):
            return duration // _MICRO
        case Send():
            return {
                "template": action.template_id,
                "channel": action.channel,
                "topic": action.topic,
                "coupon_pool": action.coupon_pool_id,
            }
        case WaitUntil():
            return {
                "time": action.time.isoformat(),
                "weekdays": list(action.weekdays),
                "zone": action.zone,
            }
        case WaitEvent():
            return {
                "match": match_to_json(action.match),
                "timeout": action.timeout // _MICRO,
                "timeout_next": action.timeout_next,
            }
        case Branch(cases=cases):
            return [{"rule": case.rule, "next": case.next} for case in cases]
        case Split(parts=parts, planned=planned):
            listed = [{"percent": part.percent, "next": part.next} for part in parts]
            return {"parts": listed, "planned": planned} if planned else listed
        case ModifyTags():
            return {"add": list(action.add), "remove": list(action.remove)}
        case OpenTask(due_after=after):
            return {
                "title": action.title,
                "text": action.text,
                "queue": action.queue,
                "assignee": action.assignee,
                "priority": action.priority,
                "due_after": None if after is None else after // _MICRO,
            }
    return {field.name: getattr(action, field.name) for field in fields(action)}


def _action(kind: str, value: Any) -> Action:
    match kind:
        case "wait":
            return Wait(timedelta(microseconds=value))
        case "send":
            return Send(value["template"], value["channel"], value["topic"], value["coupon_pool"])
        case "wait_until":
            return WaitUntil(time.fromisoformat(value["time"]), tuple(value["weekdays"]), value["zone"])
        case "wait_event":
            return WaitEvent(
                Match(**value["match"]), timedelta(microseconds=value["timeout"]), value["timeout_next"]
            )
        case "branch":
            return Branch(tuple(Case(**item) for item in value))
        case "split":
            parts, planned = (value["parts"], value["planned"]) if isinstance(value, dict) else (value, 0)
            return Split(tuple(Part(**item) for item in parts), planned)
        case "modify_tags":
            return ModifyTags(tuple(value["add"]), tuple(value["remove"]))
        case "open_task":
            after = value["due_after"]
            return OpenTask(
                **{**value, "due_after": None if after is None else timedelta(microseconds=after)}
            )
    made: Action = _KINDS[kind](**value)
    return made
