"""What a chaos run must show in the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Check:
    """Hold a number that was expected beside what was seen."""

    name: str
    expected: str
    seen: int
    ok: bool


def exactly(name: str, expected: int, seen: int) -> Check:
    """Return a check of a number that must be what was expected."""
    return Check(name, f"= {expected}", seen, seen == expected)


def at_least(name: str, least: int, seen: int) -> Check:
    """Return a check of a number that must not be smaller: what nothing was done for holds by itself."""
    return Check(name, f">= {least}", seen, seen >= least)


def differences(found: Iterable[Hashable], expected: Iterable[Hashable]) -> tuple[int, int, str]:
    """Return how many are missing, how many too much (doubled ones too), and an example of each for a message."""
    had, wanted = Counter(found), Counter(expected)
    missing, surplus = list((wanted - had).elements()), list((had - wanted).elements())
    return (
        len(missing),
        len(surplus),
        "; ".join(
            f"{what}: {some[0]}" for what, some in (("missing", missing), ("too much", surplus)) if some
        ),
    )


def show(checks: Sequence[Check]) -> bool:
    """Print checks as a table, and return whether all hold."""
    table = Table("check", "expected", "seen", "")
    for check in checks:
        table.add_row(check.name, check.expected, f"{check.seen:,}", "ok" if check.ok else "VIOLATED")
    Console(emoji=False).print(table)
    return all(check.ok for check in checks)
