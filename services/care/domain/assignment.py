"""Who gets a case: round robin over the agents of a queue, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Candidate:
    """Hold an agent of a queue: whether it takes cases, how many it has, and how many at the most (0: no limit)."""

    id: str
    available: bool
    open_cases: int
    capacity: int

    def obstacle(self) -> str:
        """Say why the agent cannot take a case; empty when it can."""
        if not self.available:
            return "not available"
        if self.capacity and self.open_cases >= self.capacity:
            return f"at its capacity of {self.capacity}"
        return ""


@dataclass(frozen=True, slots=True)
class Choice:
    """Hold the agent that was chosen, None when nobody can, and the reason."""

    agent: str | None
    reason: str


def round_robin(candidates: Sequence[Candidate], last: str | None) -> Choice:
    """Choose the next agent after the last one, in the queue's order, skipping those who cannot take a case.

    last: who was chosen before; when it left the queue, or there was none, the order starts at its beginning.
    """
    if not candidates:
        return Choice(None, "the queue has no agents")
    ids = [candidate.id for candidate in candidates]
    start = ids.index(last) + 1 if last in ids else 0
    skipped: list[str] = []
    for candidate in (*candidates[start:], *candidates[:start]):
        obstacle = candidate.obstacle()
        if not obstacle:
            after = (
                f"round robin: next after agents/{last}" if last in ids else "round robin: first of the queue"
            )
            return Choice(candidate.id, "; ".join([after, *skipped]))
        skipped.append(f"agents/{candidate.id} skipped: {obstacle}")
    return Choice(None, "; ".join(["nobody can take it", *skipped]))
