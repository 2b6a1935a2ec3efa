"""Collecting all that is wrong with a request before refusing it."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from services.contacts.domain.errors import Refused
from services.kit.errors import FieldViolation, InvalidArgument

P = ParamSpec("P")
T = TypeVar("T")


class Problems:
    """Note what is wrong with which field."""

    def __init__(self) -> None:
        self.found: list[FieldViolation] = []

    def add(self, path: str, description: str) -> None:
        """Note a bad field."""
        self.found.append(FieldViolation(path, description))

    def check(self, path: str, read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """Return what a function of the domain makes of a value, or None after noting its refusal.

        A refusal that names a part of its own is noted under `path.part`.
        """
        try:
            return read(*args, **kwargs)
        except Refused as error:
            self.add(f"{path}.{error.field}" if error.field else path, str(error))
            return None

    def raise_any(self) -> None:
        """Raise InvalidArgument when anything was noted."""
        if self.found:
            first = self.found[0]
            more = f" (and {len(self.found) - 1} more)" if len(self.found) > 1 else ""
            raise InvalidArgument(f"{first.field}: {first.description}{more}", violations=self.found[:100])
