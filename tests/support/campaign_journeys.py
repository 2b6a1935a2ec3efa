"""Journeys in tests: graphs drawn at random, and an interpreter that says where people on them go.

The interpreter knows all events and walks from the start each time it is asked, so it has no state that could be wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from hashlib import md5
from uuid import UUID
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from services.campaign.domain.stepping import Signal
from services.campaign.domain.steps import (
    END,
    Branch,
    Case,
    Match,
    Node,
    Part,
    Send,
    Split,
    Wait,
    WaitEvent,
    WaitUntil,
)

SEND = Send("hello", "email.smtp", "marketing")
EVENTS = ("payment.received", "order.returned")
RULES = ("rule-a", "rule-b")
ZONES = ("America/New_York", "Asia/Ho_Chi_Minh", "Australia/Lord_Howe")


@dataclass(frozen=True)
class Step:
    """A step that the interpreter took."""

    step_id: str
    edge: str
    arrive: datetime
    leave: datetime


def holds(rule: str, contact: UUID) -> bool:
    """Say for whom the rules of drawn branches are TRUE."""
    return md5(f"{rule}{contact}".encode(), usedforsecurity=False).digest()[0] < 128


@st.composite
def graphs(draw: st.DrawFn) -> list[Node]:
    """Draw a graph whose ways lead on, or back behind a wait; steps that no way leads to are left out."""
    count = draw(st.integers(1, 7))
    ids = [f"s{index}" for index in range(count)]
    hours = st.integers(1, 60).map(lambda number: timedelta(hours=number))
    nodes = []
    for index, key in enumerate(ids):
        ahead = st.sampled_from([*ids[index + 1 :], END])
        anywhere = st.sampled_from([*ids, END])
        kind = draw(st.sampled_from(["wait", "until", "event", "branch", "split", "send"]))
        match kind:
            case "wait":
                nodes.append(Node(key, Wait(draw(hours)), draw(ahead)))
            case "until":
                days = tuple(sorted(draw(st.sets(st.integers(1, 7), max_size=3))))
                at = time(draw(st.integers(0, 23)), draw(st.sampled_from([0, 30])))
                nodes.append(Node(key, WaitUntil(at, days, draw(st.sampled_from(ZONES))), draw(ahead)))
            case "event":
                match = Match(draw(st.sampled_from(EVENTS)))
                nodes.append(Node(key, WaitEvent(match, draw(hours), draw(anywhere)), draw(ahead)))
            case "branch":
                cases = tuple(Case(rule, draw(ahead)) for rule in RULES)
                nodes.append(Node(key, Branch(cases), draw(ahead)))
            case "split":
                parts = (Part(30, draw(ahead)), Part(50, draw(ahead)))
                nodes.append(Node(key, Split(parts), draw(ahead)))
            case _:
                nodes.append(Node(key, SEND, draw(ahead)))
    nodes.append(Node("last", SEND, END))
    # The last step before the end makes sure that there is one that sends.
    nodes = [_to_last(node) for node in nodes]
    ways = {node.id: [after for _, after in node.exits()] for node in nodes}
    reached, todo = {ids[0]}, [ids[0]]
    while todo:
        for after in ways[todo.pop()]:
            if after != END and after not in reached:
                reached.add(after)
                todo.append(after)
    return [node for node in nodes if node.id in reached]


def _to_last(node: Node) -> Node:
    return Node(node.id, node.action, "last") if node.id != "last" and node.next == END else node


def walk(
    nodes: Sequence[Node],
    start: datetime,
    signals: Sequence[Signal],
    until: datetime,
    journey: str,
    contact: UUID,
    most: int = 1000,
) -> list[Step]:
    """Say which steps a contact has taken by a time."""
    table: Mapping[str, Node] = {node.id: node for node in nodes}
    path: list[Step] = []
    used: set[UUID] = set()
    at, arrive = nodes[0].id, start
    while at != END and len(path) < most:
        node = table[at]
        edge, leave = "", arrive
        match node.action:
            case Wait(duration=duration):
                leave = arrive + duration
            case WaitUntil() as until_step:
                leave = brute_force_next(arrive, until_step)
            case WaitEvent(match=match, timeout=timeout):
                edge, leave = "timeout", arrive + timeout
                heard = [
                    signal
                    for signal in sorted(signals, key=lambda item: (item.time, item.event_id))
                    if match.event_type in signal.types
                    and signal.event_id not in used
                    and arrive <= signal.time <= min(leave, until)
                ]
                if heard:
                    used.add(heard[0].event_id)
                    edge, leave = "event", heard[0].time
            case Branch(cases=cases):
                true = [index for index, case in enumerate(cases) if holds(case.rule, contact)]
                edge = f"case:{true[0]}" if true else ""
            case Split(parts=parts):
                edge = part(parts, journey, node.id, contact)
            case _:
                pass
        if leave > until:
            break
        path.append(Step(at, edge, arrive, leave))
        at, arrive = dict(node.exits())[edge], leave
    return path


def part(parts: Sequence[Part], journey: str, step_id: str, contact: UUID) -> str:
    """Say into which part a contact falls, by the definition: SHA-256 of the names as a fraction of 2^64."""
    from hashlib import sha256

    place = int(sha256(f"{journey}/{step_id}/{contact}".encode()).hexdigest()[:16], 16) / 2**64
    below = 0.0
    for index, item in enumerate(parts):
        below += item.percent / 100
        if place < below:
            return f"part:{index}"
    return ""


def brute_force_next(after: datetime, step: WaitUntil) -> datetime:
    """Find the next moment by looking at each minute of the time line and at what the clocks show then.

    A time that the clocks skip is looked for as it would be with the offset of before.
    """
    zone = ZoneInfo(step.zone)
    moment = after.replace(second=0, microsecond=0)
    day = timedelta(days=1)
    local = moment.astimezone(zone).date() - day
    while True:
        first = datetime.combine(local, time(0), tzinfo=zone)
        begin = (first - timedelta(hours=3)).astimezone(UTC)
        seen = [
            begin + timedelta(minutes=minute)
            for minute in range(0, 33 * 60, 30)
            if _shows(begin + timedelta(minutes=minute), zone, datetime.combine(local, step.time))
        ]
        if not seen:
            before = (datetime.combine(local, time(0), tzinfo=zone)).utcoffset()
            assert before is not None
            seen = [datetime.combine(local, step.time, tzinfo=UTC) - before]
        if seen[0] > after and (not step.weekdays or local.isoweekday() in step.weekdays):
            return seen[0]
        local += day


def _shows(moment: datetime, zone: ZoneInfo, wanted: datetime) -> bool:
    return moment.astimezone(zone).replace(tzinfo=None) == wanted
