"""Mistakes in a file of cases, gathered so that all are told at once."""

from __future__ import annotations

from dataclasses import dataclass, field

from services.kit.errors import FieldViolation, InvalidArgument

MOST = 20


class FileError(Exception):
    """Report one mistake: line counts from 1, where is the case it belongs to, if any."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.message = message


@dataclass
class Problems:
    """Gather mistakes of a file."""

    file: str
    found: list[str] = field(default_factory=list)
    case: str = ""

    def add(self, error: FileError) -> None:
        """Remember a mistake, with the case at hand."""
        case = f", case {self.case!r}" if self.case else ""
        self.found.append(f"{self.file}, line {error.line}{case}: {error.message}")

    def raise_if_any(self) -> None:
        """Raise InvalidArgument (INVALID_CASES) with each mistake, at most 20, as a violation."""
        if not self.found:
            return
        told = self.found[:MOST]
        if len(self.found) > MOST:
            told.append(f"{self.file}: {len(self.found) - MOST} more mistakes")
        raise InvalidArgument(
            "\n".join(told),
            reason="INVALID_CASES",
            violations=[FieldViolation("cases", item) for item in told],
        )
