"""Where the parts of a rule stand in its text: CEL tells one place for each part, its extent is derived here.

The place of an operation is that of its operator, of a call that of its parenthesis, of a macro too (macros arrive
expanded). So the text is read again as tokens, and an extent grows from its place until a looser operator, a comma or
an unmatched bracket ends it.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

from services.segmentation.rules import ir

_TOKEN = re.compile(
    r"""
    (?P<space>\s+|//[^\n]*)
  | (?P<raw>[bB]?[rR][bB]?(?:\"{3}.*?\"{3}|'{3}.*?'{3}|"[^"\n]*"|'[^'\n]*'))
  | (?P<text>[bB]?(?:\"{3}(?:\\.|[^\\])*?\"{3}|'{3}(?:\\.|[^\\])*?'{3}|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'))
  | (?P<number>0[xX][0-9a-fA-F]+[uU]?|(?:\d+\.\d+|\.\d+|\d+)(?:[eE][+-]?\d+)?[uU]?)
  | (?P<name>[A-Za-z_]\w*)
  | (?P<sign>&&|\|\||==|!=|<=|>=|.)
    """,
    re.VERBOSE | re.DOTALL,
)
_LEVELS = {
    **dict.fromkeys((",", "?", ":"), 0),
    "||": 1,
    "&&": 2,
    **dict.fromkeys(("==", "!=", "<", "<=", ">", ">=", "in"), 3),
    **dict.fromkeys(("+", "-"), 4),
    **dict.fromkeys(("*", "/", "%"), 5),
}
_UNARY = 6
_PRIMARY = 7
_PAIRS = {"(": ")", "[": "]", "{": "}"}


@dataclass(frozen=True, slots=True)
class Token:
    """Hold a token: its extent, its text, how tightly it binds, and for a bracket the number of its partner."""

    start: int
    end: int
    text: str
    level: int
    partner: int = -1


@dataclass(frozen=True, slots=True)
class Place:
    """Hold a part of a rule: offsets of characters, line and column from 1, and the text itself."""

    start: int
    end: int
    line: int
    column: int
    text: str


class Source:
    """Read the text of a rule that was accepted, and tell the extents of its parts."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = _tokens(text)
        self._starts = [token.start for token in self.tokens]

    def place(self, node: ir.Node) -> Place:
        """Return where a part stands, without parentheses around it."""
        start, end = self._extent(node)
        return self.between(start, end)

    def between(self, start: int, end: int) -> Place:
        """Return the place of an extent."""
        line = self.text.count("\n", 0, start) + 1
        column = start - (self.text.rfind("\n", 0, start) + 1) + 1
        return Place(start, end, line, column, self.text[start:end])

    def sides(self, node: ir.Node) -> tuple[str, str] | None:
        """Return the texts left and right of a part's operator; None when it has none."""
        at = self._at(node.offset)
        if self.tokens[at].level != 3:
            return None
        start, end = self._extent(node)
        token = self.tokens[at]
        return self.flat(start, token.start), self.flat(token.end, end)

    def flat(self, start: int, end: int, *, without: Iterable[int] = ()) -> str:
        """Return a text on one line, without comments; without: tokens left out, by their offsets."""
        left_out = set(without)
        shown = [t for t in self.tokens if start <= t.start and t.end <= end and t.start not in left_out]
        parts: list[str] = []
        for before, token in zip((None, *shown), shown, strict=False):
            if before is not None and any(c.isspace() for c in self.text[before.end : token.start]):
                parts.append(" ")
            parts.append(token.text)
        return "".join(parts)

    def without_variable(self, node: ir.Node, var: int) -> str:
        """Return a part's text with the fields of the item bound at a level named alone: `e.amount` is `amount`."""
        start, end = self._extent(node)
        dropped: list[int] = []
        for part in node.walk():
            if isinstance(part, ir.EventField | ir.EventTime) and part.var == var:
                at = self._at(part.offset)
                if start < part.offset < end and self.tokens[at].text == "." and at > 0:
                    dropped += [self.tokens[at - 1].start, self.tokens[at].start]
        return self.flat(start, end, without=dropped)

    def _extent(self, node: ir.Node) -> tuple[int, int]:
        if isinstance(node, ir.And | ir.Or | ir.Ternary):
            extents = [self._around(*self._extent(part)) for part in node.children()]
            return self._balanced(min(start for start, _ in extents), max(end for _, end in extents))
        if isinstance(node, ir.Not):
            start, end = self._around(*self._extent(node.operand))
            return min(start, node.offset), end
        return self._grown(self._at(node.offset))

    def _balanced(self, start: int, end: int) -> tuple[int, int]:
        """Take in the other halves of brackets, as of (b && c) in a && (b && c), which is one conjunction of three."""
        first, last = self._at(start), self._at(end - 1)
        partners = [token.partner for token in self.tokens[first : last + 1] if token.partner >= 0]
        first, last = min(first, *partners, first), max(last, *partners, last)
        return self.tokens[first].start, self.tokens[last].end

    def _at(self, offset: int) -> int:
        return max(0, bisect_right(self._starts, offset) - 1)

    def _around(self, start: int, end: int) -> tuple[int, int]:
        """Take in the parentheses that hold nothing else."""
        first, last = self._at(start), self._at(end - 1)
        while (
            first > 0
            and self.tokens[first - 1].text == "("
            and self.tokens[first - 1].partner == last + 1
            and not self._is_call(first - 1)
        ):
            first, last = first - 1, last + 1
        return self.tokens[first].start, self.tokens[last].end

    def _is_call(self, bracket: int) -> bool:
        before = self.tokens[bracket - 1] if bracket > 0 else None
        return (
            before is not None
            and before.level == _PRIMARY
            and (before.text[0].isalpha() or before.text[0] == "_")
        )

    def _grown(self, anchor: int) -> tuple[int, int]:
        level = self.tokens[anchor].level
        first = last = anchor
        if self.tokens[anchor].partner > anchor:
            last = self.tokens[anchor].partner
        elif self.tokens[anchor].text == "." and anchor + 1 < len(self.tokens):
            last = anchor + 1
        while first > 0:
            before = self.tokens[first - 1]
            if before.partner >= first or before.level < level:
                break
            first = before.partner if before.partner >= 0 else first - 1
        # What follows a field or a call is asked of it, and no part of it: contact.nick in contact.nick.size().
        while level != _PRIMARY and last + 1 < len(self.tokens):
            after = self.tokens[last + 1]
            if 0 <= after.partner <= last or (after.level < _UNARY and after.level <= level):
                break
            last = after.partner if after.partner > last else last + 1
        return self.tokens[first].start, self.tokens[last].end


def _tokens(text: str) -> list[Token]:
    found: list[Token] = []
    open_: list[int] = []
    for match in _TOKEN.finditer(text):
        if match.lastgroup == "space":
            continue
        value, partner = match.group(), -1
        level = _LEVELS.get(value, _PRIMARY)
        unary = value == "!" or (value == "-" and (not found or _awaits_operand(found[-1])))
        if value in _PAIRS and match.lastgroup == "sign":
            open_.append(len(found))
        elif value in _PAIRS.values() and match.lastgroup == "sign" and open_:
            partner = open_.pop()
            other = found[partner]
            found[partner] = Token(other.start, other.end, other.text, other.level, len(found))
        found.append(Token(match.start(), match.end(), value, _UNARY if unary else level, partner))
    return found


def _awaits_operand(token: Token) -> bool:
    return token.level <= _UNARY or token.text in _PAIRS
