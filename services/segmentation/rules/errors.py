"""Errors of the rule engine: each says what is wrong, where in the text, and what to write instead."""

from __future__ import annotations


class RuleError(ValueError):
    """Report a rule that cannot be accepted.

    ``line`` and ``column`` count from 1 (characters, not bytes); ``text`` is the rule. ``str()`` gives the
    message, the line and a caret under the place.
    """

    def __init__(self, message: str, *, text: str = "", line: int = 1, column: int = 1) -> None:
        self.message = message
        self.text = text
        self.line = line
        self.column = column
        super().__init__(self._render())

    @classmethod
    def at(cls, message: str, text: str, offset: int) -> RuleError:
        """Build the error for a character offset (from 0) into the text."""
        offset = max(0, min(offset, len(text)))
        line = text.count("\n", 0, offset) + 1
        column = offset - (text.rfind("\n", 0, offset) + 1) + 1
        return cls(message, text=text, line=line, column=column)

    @property
    def snippet(self) -> str:
        """Return the offending line (at most 120 characters around the place) with a caret below it."""
        lines = self.text.split("\n")
        source = lines[self.line - 1] if 0 < self.line <= len(lines) else ""
        start = max(0, self.column - 61)
        shown = source[start : start + 120]
        return f"{shown}\n{' ' * (self.column - 1 - start)}^"

    def _render(self) -> str:
        place = f"line {self.line}, column {self.column}: {self.message}"
        return f"{place}\n{self.snippet}" if self.text.strip() else place


class RuleTooLargeError(RuleError):
    """Report a rule that is longer, deeper or has more parts than the limits allow."""


class RegistryError(ValueError):
    """Report an attribute, event type, trait or rule function that cannot be registered."""


class ProfileError(ValueError):
    """Report a profile or event value that does not fit the type the registry gives it."""
