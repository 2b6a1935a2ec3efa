"""See why a contact is in a segment, or is not."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any

import typer
from google.protobuf.json_format import MessageToDict, MessageToJson
from rapport.segmentation.v1 import segmentation_pb2 as pb
from rich.text import Text
from rich.tree import Tree

from services.cli.connection import connect_here
from services.cli.console import console
from services.cli.identities import FORMS, meant
from services.cli.segments.names import segment_name
from services.cli.segments.times import instant
from services.kit.errors import InvalidArgument

app = typer.Typer()

_MARKS = {
    pb.TRUTH_TRUE: ("✔", "green", "TRUE"),
    pb.TRUTH_FALSE: ("✘", "red", "FALSE"),
    pb.TRUTH_UNKNOWN: ("?", "yellow", "unknown"),
}
_JOINED = {
    pb.RulePart.KIND_AND: "all of",
    pb.RulePart.KIND_OR: "any of",
    pb.RulePart.KIND_NOT: "not",
    pb.RulePart.KIND_CHOOSE: "if, then, otherwise",
}


@app.command("explain")
def explain(
    subjects: Annotated[
        list[str],
        typer.Argument(
            metavar="[SEGMENT] CONTACT", help=f"id or name of a segment; and of a contact {FORMS}"
        ),
    ],
    rule: Annotated[str, typer.Option("--rule", help="explain this rule in place of a segment's")] = "",
    as_of: Annotated[
        str, typer.Option("--as-of", help="ISO time, such as 2026-03-01T00:00:00Z; default now")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="print the whole answer as JSON")] = False,
) -> None:
    """Show why a contact is in a segment or is not, what would turn that, and when it turns by itself.

    Of several ways to turn it that take as few changes, the one that stands first in the rule is shown.
    """
    if len(subjects) != (1 if rule else 2):
        raise InvalidArgument(
            "give a segment and a contact, or --rule and a contact", reason="WRONG_ARGUMENTS"
        )
    request = pb.ExplainMembershipRequest(as_of_time=instant(as_of, "--as-of"))
    if rule:
        request.rule = rule
    else:
        request.segment = segment_name(subjects[0])
    with connect_here() as rapport:
        request.contact = meant(rapport, subjects[-1])
        answer = rapport.segmentation.explain_membership(request)
    if as_json:
        typer.echo(MessageToJson(answer, preserving_proto_field_name=True, ensure_ascii=False))
        return
    _show(answer, request.contact, request.segment)


def _show(answer: Any, contact: str, segment: str) -> None:
    title = _marked(answer.outcome, f"{contact} {_verdict(answer, segment)}")
    tree = Tree(title)
    _add(tree, answer.tree, answer.leaves)
    console.print(tree)
    if answer.event_count > answer.read_event_count:
        _say(f"only the newest {answer.read_event_count} of {answer.event_count} events are shown")
    if answer.changes:
        _say(
            "it would turn if there were:"
            if len(answer.changes) == 1
            else "it would turn if there were all of:"
        )
        for change in answer.changes:
            _say(f"  • {change.hint}")
        if not answer.changes_are_fewest:
            _say(
                "fewer changes may do as well: the rule has too many parts that stand more than once to try all"
            )
    else:
        _say("no change of its parts would turn it")
    _say(_outlook(answer))


def _say(text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _verdict(answer: Any, segment: str) -> str:
    member = answer.outcome == pb.TRUTH_TRUE
    at = answer.as_of_time.ToJsonString()
    if not segment:
        return f"{'meets' if member else 'does not meet'} the rule as of {at}"
    said = (
        f"{'belongs to' if member else 'does not belong to'} {segment} (version {answer.version}) as of {at}"
    )
    if answer.member:
        return f"{said}; member since {answer.enter_time.ToJsonString()}"
    return f"{said}; it is not stored as a member yet" if member else said


def _marked(truth: Any, text: str) -> Text:
    mark, style, _ = _MARKS[truth]
    return Text.assemble((mark, style), " ", text)


def _add(tree: Tree, part: Any, leaves: Any) -> None:
    if part.kind != pb.RulePart.KIND_LEAF:
        branch = tree.add(_marked(part.value, _JOINED[part.kind]))
        for below in part.parts:
            _add(branch, below, leaves)
        return
    leaf = leaves[part.leaf]
    branch = tree.add(_marked(leaf.value, " ".join(leaf.text.split())))
    for fact in _facts(leaf):
        branch.add(Text(fact, style="dim"))


def _facts(leaf: Any) -> list[str]:
    named = {fact.name for fact in leaf.attributes}
    facts = [f"{fact.name} = {_shown(fact, 'value')}" for fact in leaf.attributes]
    asked = {item.function for item in leaf.plugins}
    sides = [
        side
        for side in leaf.sides
        if side.text not in named and side.HasField("value") and _call(side.text) not in asked
    ]
    # What is written out in the rule explains nothing.
    facts += [f"{side.text} = {_shown(side, 'value')}" for side in sides if not _is_literal(side)]
    for events in leaf.events:
        facts += _events(events)
    for item in leaf.segments:
        since = f" since {item.enter_time.ToJsonString()}" if item.member else ""
        facts.append(f"{'a member' if item.member else 'not a member'} of {item.segment}{since}")
    for item in leaf.plugins:
        given = "".join(f", {_plain(MessageToDict(value))}" for value in item.parameters)
        facts.append(f"{item.function}(contact{given}) = {_shown(item, 'answer')}")
    return facts


def _call(text: str) -> str:
    """Return the function that a side calls and does nothing else, "" for another side; its answer is a fact itself."""
    called = re.fullmatch(r"([\w.]+)\s*\([^()]*\)", text.strip())
    return called[1] if called else ""


def _is_literal(side: Any) -> bool:
    return not any(word in side.text for word in ("contact", "events", "now")) and "(" not in side.text


def _shown(message: Any, field: str) -> str:
    if not message.HasField(field):
        return "missing"
    return _plain(MessageToDict(getattr(message, field)))


def _plain(value: Any) -> str:
    """Return a value as JSON; protobuf's numbers are all doubles, so whole ones are shown as such."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, dict):
        return f"{{{', '.join(f'{name}: {_plain(item)}' for name, item in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(_plain(item) for item in value)}]"
    return json.dumps(value, ensure_ascii=False)


def _events(events: Any) -> list[str]:
    outer = (
        f", as of the event of {events.outer_time.ToJsonString()}" if events.HasField("outer_time") else ""
    )
    unknown = f", {events.unknown_count} cannot be decided" if events.unknown_count else ""
    counted = (
        f"{events.count} of {events.seen_count} {events.type} events count{unknown} ({events.asks}{outer})"
    )
    facts = [counted, *(f"  {_event(event)}" for event in events.newest)]
    if events.count > len(events.newest):
        facts.append(f"  … and {events.count - len(events.newest)} older")
    if events.HasField("nearest"):
        facts.append(f"  nearest that does not: {_event(events.nearest)}: not {events.nearest.reason}")
    return facts


def _event(event: Any) -> str:
    return f"{event.time.ToJsonString()} {_plain(MessageToDict(event.payload))} {event.event}"


def _outlook(answer: Any) -> str:
    if answer.HasField("next_change_time"):
        _, _, outcome = _MARKS[answer.next_outcome]
        return f"by itself it turns to {outcome} at {answer.next_change_time.ToJsonString()}"
    if answer.HasField("known_until_time"):
        return (
            f"by itself it does not turn before {answer.known_until_time.ToJsonString()}; later is not known"
        )
    return "by itself it never turns"
