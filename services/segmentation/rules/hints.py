"""In plain words, what would have to be otherwise for a leaf to become TRUE or FALSE; derived from its shape."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from services.segmentation.rules import ir
from services.segmentation.rules.facts import MISSING, EventsFact, Fact, Facts, conditions_of
from services.segmentation.rules.registry import EventType

_NEGATED = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "!=": "=="}
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
_WORDS = {
    "<": "less than ",
    "<=": "at most ",
    ">": "more than ",
    ">=": "at least ",
    "==": "",
    "!=": "other than ",
}
_TIMES = {
    "<": "before ",
    "<=": "at or before ",
    ">": "after ",
    ">=": "at or after ",
    "==": "",
    "!=": "other than ",
}
_SPANS = (("day", timedelta(days=1)), ("hour", timedelta(hours=1)), ("minute", timedelta(minutes=1)))
_ZERO = timedelta(0)

ListNode = ir.Count | ir.Quantified | ir.Aggregate


def shown(value: Any) -> str:
    """Return a value as rules write it; times in ISO form, spans in words."""
    if value is MISSING:
        return "missing"
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, timedelta):
        return span(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(shown(item) for item in value)}]"
    if isinstance(value, bool | str) or value is None:
        return json.dumps(value, ensure_ascii=False)
    return str(value)


def span(length: timedelta) -> str:
    """Return a length of time in its largest whole unit: `30 days`."""
    for unit, size in _SPANS:
        if length and length % size == _ZERO:
            return _plural(length // size, unit)
    seconds = length / timedelta(seconds=1)
    return (
        _plural(int(seconds), "second")
        if seconds == int(seconds)
        else f"{seconds:f}".rstrip("0") + " seconds"
    )


def _plural(number: int, noun: str) -> str:
    return f"{number} {noun}" if number in (1, -1) else f"{number} {noun}s"


@dataclass(frozen=True)
class Hints:
    """Word hints about the leaves of one rule and profile; lists: names of the segments that are lists."""

    facts: Facts
    lists: Collection[str] = ()

    def of(self, leaf: ir.Node, to: bool, behind: tuple[Fact, ...]) -> str:
        """Return what would make a leaf TRUE or FALSE; behind: its facts."""
        return self._shaped(leaf, to, behind) or self._plain(leaf, to)

    def _plain(self, leaf: ir.Node, to: bool) -> str:
        return f"{self._text(leaf)} to be {'true' if to else 'false'}"

    def _text(self, node: ir.Node) -> str:
        place = self.facts.source.place(node)
        return self.facts.source.flat(place.start, place.end)

    def _shaped(self, leaf: ir.Node, to: bool, behind: tuple[Fact, ...]) -> str | None:
        if isinstance(leaf, ir.Quantified):
            return self._quantified(leaf, to, behind)
        if isinstance(leaf, ir.Compare | ir.Equal):
            return self._compared(leaf, to, behind)
        if isinstance(leaf, ir.NowCompare):
            return self._timed(leaf, to)
        if isinstance(leaf, ir.InValues):
            texts = self.facts.source.sides(leaf)
            values = [shown(value) for value in leaf.values]
            if texts is None:
                return None
            if len(values) == 1:
                return f"{texts[0]} to be {'' if to else 'other than '}{values[0]}{self._now(leaf.operand)}"
            return (
                f"{texts[0]} to be {'one' if to else 'none'} of {', '.join(values)}{self._now(leaf.operand)}"
            )
        if isinstance(leaf, ir.InTexts):
            texts = self.facts.source.sides(leaf)
            return None if texts is None else f"{texts[0]} {'to be' if to else 'not to be'} among {texts[1]}"
        if isinstance(leaf, ir.Has | ir.HasLocation):
            what = self._text(leaf).partition("(")[2].removesuffix(")").strip()
            return f"{what} to be {'known' if to else 'missing'}"
        if isinstance(leaf, ir.InSegment):
            if leaf.segment in self.lists:
                return f"to be {'put into' if to else 'taken out of'} the list {leaf.segment}"
            return f"{'to be' if to else 'not to be'} a member of {leaf.segment}"
        if isinstance(leaf, ir.PluginValue):
            return f"the plugin's {self._text(leaf)} to answer {'true' if to else 'false'}"
        if isinstance(leaf, ir.Attr):
            return f"{self._text(leaf)} to be {'true' if to else 'false'}{self._now(leaf)}"
        if isinstance(leaf, ir.TextTest):
            verb = {"startsWith": "start with", "endsWith": "end with", "contains": "contain"}[leaf.op]
            subject, part = self._text(leaf.operand), self._text(leaf.part)
            return f"{subject} {'to' if to else 'not to'} {verb} {part}{self._now(leaf.operand)}"
        return None

    def _now(self, node: ir.Node) -> str:
        value = self.facts.value(node)
        return "" if isinstance(node, ir.Const) else f" (now {shown(value)})"

    # -- comparisons
    # ------------------------------------------------------------------------------------------------

    def _compared(self, leaf: ir.Compare | ir.Equal, to: bool, behind: tuple[Fact, ...]) -> str | None:
        op: str = leaf.op if isinstance(leaf, ir.Compare) else "!=" if leaf.negated else "=="
        left, right = leaf.left, leaf.right
        texts = self.facts.source.sides(leaf)
        if texts is None:
            # has(a list), written as a comparison.
            texts = self._text(leaf), shown(getattr(right, "value", None))
        subject, other = texts
        if isinstance(left, ir.Const) and not isinstance(right, ir.Const):
            left, right, subject, other, op = right, left, other, subject, _MIRRORED[op]
        op = op if to else _NEGATED[op]
        if isinstance(right, ir.Const) and isinstance(left, ir.Count) and isinstance(right.value, int):
            hint = self._counted(left, op, right.value, behind)
            if hint is not None:
                return hint
        events = isinstance(left, ir.Aggregate) and isinstance(left.items.source, EventType)
        if events and isinstance(left, ir.Aggregate) and left.role == "sum":
            element = left.items.element
            what = (
                self.facts.source.without_variable(element, left.items.var)
                if isinstance(element, ir.EventField)
                else "values"
            )
            subject = f"the sum of {what} over {self.described(left, plural=True)}"
        if isinstance(left, ir.PluginValue):
            return f"the plugin's {self._text(left)} to answer {_WORDS[op]}{other}{self._now(left)}"
        if isinstance(right, ir.Const) and right.kind == "null":
            return f"{subject} to be {'missing' if op == '==' else 'known'}{self._now(left)}"
        words = _TIMES if left.kind == "time" else _WORDS
        return f"{subject} to be {words[op]}{other}{self._now(left)}"

    def _counted(self, count: ir.Count, op: str, bound: int, behind: tuple[Fact, ...]) -> str | None:
        fact = self._fact_of(count, behind)
        if fact is None:
            return None
        known = self.facts.value(count)
        number = known if isinstance(known, int) else fact.counted
        if known is MISSING:
            return self._values_known(count, fact)
        wanted = {">=": bound, ">": bound + 1, "<=": bound, "<": bound - 1, "==": bound}.get(op, number)
        if op == "!=" and number == bound:
            wanted = number + 1
        if wanted > number and op not in ("<", "<="):
            return self._more(count, wanted - number)
        if 0 <= wanted < number and op not in (">", ">="):
            return self._fewer(count, number - wanted, fact)
        return None

    def _more(self, node: ListNode, number: int) -> str:
        what = self.described(node, plural=number != 1)
        return f"{'one' if number == 1 else number} more {what}"

    def _fewer(self, node: ListNode, number: int, fact: EventsFact) -> str:
        if number == 1 and fact.oldest is not None and self._window(node) is not None:
            day = fact.oldest.time.astimezone(UTC).date().isoformat()
            return f"the {fact.type} event of {day} to leave the window of {self._window(node)}"
        what = self.described(node, plural=number != 1)
        return f"{'one' if number == 1 else number} fewer {what}"

    def _values_known(self, node: ListNode, fact: EventsFact) -> str:
        return (
            f"the values that the rule asks for in {_plural(fact.unknown, f'{fact.type} event')} to be known "
            f"({self.described(node, plural=True)})"
        )

    def _fact_of(self, node: ListNode, behind: tuple[Fact, ...]) -> EventsFact | None:
        # The list of a leaf comes first among its events, lists inside of it after it.
        if not isinstance(node.items.source, EventType):
            return None
        name = node.items.source.cel_name
        return next((f for f in behind if isinstance(f, EventsFact) and f.type == name), None)

    def _quantified(self, leaf: ir.Quantified, to: bool, behind: tuple[Fact, ...]) -> str | None:
        fact = self._fact_of(leaf, behind)
        if fact is None:
            return None
        if leaf.role == "all":
            condition = self.facts.source.without_variable(leaf.predicate, leaf.items.var)
            what = self.described(leaf, plural=False)
            return (
                f"every {what} to meet {condition}"
                if to
                else f"one more {what} that does not meet {condition}"
            )
        if leaf.role == "exists_one":
            if to and fact.counted > 1:
                return self._fewer(leaf, fact.counted - 1, fact)
            return self._more(leaf, 1) if to or fact.counted == 1 else None
        if to:
            return self._more(leaf, 1)
        if not fact.counted:
            return self._values_known(leaf, fact)
        return self._fewer(leaf, fact.counted, fact)

    # -- lists
    # ------------------------------------------------------------------------------------------------------

    def described(self, node: ListNode, *, plural: bool) -> str:
        """Return the events of a list in words: `order_placed events with category == "shoes" within 30 days`."""
        assert isinstance(node.items.source, EventType)
        withs, windows = [], []
        for test in conditions_of(node):
            window = self._window_of(test, node.items.var)
            if window is not None:
                windows.append(window)
            else:
                withs.append(self.facts.source.without_variable(test, node.items.var))
        parts = [f"{node.items.source.cel_name} {'events' if plural else 'event'}"]
        if withs:
            parts.append(f"with {' and '.join(withs)}")
        return " ".join((*parts, *windows))

    def _window(self, node: ListNode) -> str | None:
        for test in conditions_of(node):
            words = self._window_of(test, node.items.var)
            if words is not None and words.startswith("within "):
                return words.removeprefix("within ")
        return None

    def _window_of(self, test: ir.Node, var: int) -> str | None:
        own = isinstance(test, ir.NowCompare) and isinstance(test.time, ir.EventTime) and test.time.var == var
        if not own or not isinstance(test, ir.NowCompare) or test.shift <= _ZERO:
            return None
        words = {"<=": "within", "<": "within", ">": "more than", ">=": "at least"}.get(test.op)
        if words is None:
            return None
        return f"{words} {span(test.shift)}{'' if words == 'within' else ' ago'}"

    # -- times
    # ------------------------------------------------------------------------------------------------------

    def _timed(self, leaf: ir.NowCompare, to: bool) -> str | None:
        op = leaf.op if to else _NEGATED[leaf.op]
        time, known = self._text(leaf.time), self.facts.value(leaf.time)
        state = f" (it is {shown(known)})"
        if leaf.shift > _ZERO and op in ("<", "<=", ">", ">="):
            words = {"<": "less than", "<=": "at most", ">": "more than", ">=": "at least"}[op]
            return f"{time} to be {words} {span(leaf.shift)} ago{state}"
        if leaf.shift == _ZERO and op in ("<", "<=", ">", ">="):
            return f"{time} to be {'past' if op in ('>', '>=') else 'yet to come'}{state}"
        return None
