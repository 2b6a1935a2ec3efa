"""What every benchmark of the project leaves: a table on the screen, and the same as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Figure:
    """Hold a measured figure beside its ceiling.

    ours, ceiling: time, CPU or memory of the same work, in `unit`, so smaller is better; an absolute limit is a ceiling
    with a budget of 1. budget: the largest ratio allowed.
    """

    name: str
    ours: float
    ceiling: float
    unit: str
    budget: float

    @property
    def ratio(self) -> float:
        """Return ours in terms of the ceiling."""
        return self.ours / self.ceiling

    @property
    def ok(self) -> bool:
        """Tell whether the ratio is within the budget."""
        return self.ratio <= self.budget


def finish(figures: Sequence[Figure], path: Path) -> int:
    """Print the figures, write them to a file, and return the exit status: 1 when one is above its budget."""
    table = Table("figure", "ours", "ceiling", "unit", "ratio", "budget", "")
    for item in figures:
        numbers = (
            f"{item.ours:,.4g}",
            f"{item.ceiling:,.4g}",
            item.unit,
            f"{item.ratio:.2f}",
            f"{item.budget:g}",
        )
        table.add_row(item.name, *numbers, "ok" if item.ok else "ABOVE ITS BUDGET")
    Console(emoji=False).print(table)
    path.parent.mkdir(parents=True, exist_ok=True)
    listed = [
        {
            "name": item.name,
            "ours": item.ours,
            "ceiling": item.ceiling,
            "unit": item.unit,
            "ratio": item.ratio,
            "budget": item.budget,
        }
        for item in figures
    ]
    path.write_text(json.dumps(listed, indent=2) + "\n", encoding="utf-8")
    Console(emoji=False).print(f"the same as JSON: {path}", markup=False)
    return 0 if all(item.ok for item in figures) else 1
