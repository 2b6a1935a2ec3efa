"""A rule's text around a mistake, in pieces: names, texts, numbers and signs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

Place: TypeAlias = tuple[int, int]
"""Line and column, from 1."""

Meant: TypeAlias = tuple[str, Place]
"""What to say, and of which place."""

_PIECE = re.compile(
    r"(?P<space>\s+|//[^\n]*)"
    r"|(?P<text>[rR]?(?:\"\"\".*?\"\"\"|'''.*?'''|\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'))"
    r"|(?P<name>[^\W\d]\w*)"
    r"|(?P<number>\d[\w.]*)"
    r"|(?P<sign>===|!==|&&|\|\||[=!<>]=|=>|=<|<>|.)",
    re.DOTALL,
)
_MOST = 4000
"""So many characters are looked at; a mistake is close to where it shows."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Hold a piece of a rule and where it is, from 0."""

    kind: Literal["text", "name", "number", "sign"]
    text: str
    start: int

    @property
    def end(self) -> int:
        """Return where it ends."""
        return self.start + len(self.text)


class Source:
    """Hold a rule and the place that the checker names."""

    def __init__(self, text: str, line: int, column: int) -> None:
        self.text = text
        self.place: Place = (line, column)
        starts = [0]
        starts += (found.end() for found in re.finditer("\n", text))
        self._starts = starts
        self.offset = min(len(text), starts[line - 1] + column - 1) if 0 < line <= len(starts) else 0

    @cached_property
    def pieces(self) -> Sequence[Piece]:
        """Return the pieces around the place, without spaces and comments."""
        start = max(0, self.offset - _MOST)
        if start:
            start = self.text.rfind("\n", 0, start) + 1
        return [
            Piece(found.lastgroup, found[0], found.start())  # type: ignore[arg-type]
            for found in _PIECE.finditer(self.text, start, self.offset + _MOST)
            if found.lastgroup != "space"
        ]

    def at(self, offset: int) -> Place:
        """Return the place of an offset."""
        line = sum(start <= offset for start in self._starts)
        return line, offset - self._starts[line - 1] + 1

    def index(self) -> int:
        """Return which piece is at the place, or the first one after it."""
        found = (number for number, piece in enumerate(self.pieces) if piece.end > self.offset)
        return next(found, len(self.pieces))

    def piece(self, index: int) -> Piece | None:
        """Return a piece by its number, None beyond the ends."""
        return self.pieces[index] if 0 <= index < len(self.pieces) else None

    def is_sign(self, index: int, *signs: str) -> bool:
        """Say whether a piece is one of some signs or words."""
        piece = self.piece(index)
        return piece is not None and piece.kind in ("sign", "name") and piece.text in signs

    def left_of(self, index: int) -> str:
        """Return the operand that ends before a piece, as far as it is plain: a name with dots, a text or a number."""
        last = index - 1
        piece = self.piece(last)
        if piece is None or piece.kind == "sign":
            return ""
        first = last
        while piece.kind == "name" and self.is_sign(first - 1, ".") and self._is_name(first - 2):
            first -= 2
        return self.text[self.pieces[first].start : self.pieces[last].end]

    def right_of(self, index: int) -> str:
        """Return the operand that begins behind a piece, as far as it is plain."""
        first = last = index + 1
        piece = self.piece(first)
        if piece is None or piece.kind == "sign":
            return ""
        while piece.kind == "name" and self.is_sign(last + 1, ".") and self._is_name(last + 2):
            last += 2
        if self.is_sign(last + 1, "("):
            return ""
        return self.text[self.pieces[first].start : self.pieces[last].end]

    def _is_name(self, index: int) -> bool:
        piece = self.piece(index)
        return piece is not None and piece.kind == "name"


def quoted(text: str) -> str:
    """Write a text as rules do."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
