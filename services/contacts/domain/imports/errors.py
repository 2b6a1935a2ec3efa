"""What is wrong with a file or one of its rows."""

from __future__ import annotations

from dataclasses import dataclass

LONGEST_ROW = 10_000
LONGEST_REASON = 2_000


@dataclass(frozen=True, slots=True)
class RowError:
    """Tell of a refused row: the line where it starts (the header is line 1), the column, why, and the row."""

    line: int
    column: str
    reason: str
    row: str


class HeaderRefused(ValueError):
    """Report columns that are missing, unknown or given twice; the text names the first of them, and begins with
    what helps."""


class FileRefused(ValueError):
    """Report a file that cannot be read on, such as one whose compression is damaged."""
