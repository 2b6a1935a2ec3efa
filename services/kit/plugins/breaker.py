"""A circuit breaker: stop asking what keeps failing, and try again after a while."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class _Circuit:
    failures: int = 0
    opened_at: float | None = None
    trying: bool = False
    last_problem: str = ""


class Breakers:
    """Keep one circuit per key, such as the name of a plugin's object.

    After `threshold` failures in a row a circuit opens for `cooldown` seconds; then one caller may try, and
    its luck decides. Safe to use from several threads. monotonic: seconds, for tests.
    """

    def __init__(
        self, threshold: int = 3, cooldown: float = 30.0, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._threshold = threshold
        self._cooldown = cooldown
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._circuits: dict[str, _Circuit] = {}

    def refusal(self, key: str) -> str | None:
        """Say why the key must not be asked now, or None; None obliges the caller to report how it went."""
        with self._lock:
            circuit = self._circuits.get(key)
            if circuit is None or circuit.opened_at is None:
                return None
            left = circuit.opened_at + self._cooldown - self._monotonic()
            if left <= 0 and not circuit.trying:
                circuit.trying = True
                return None
            wait = f"it is tried again in {left:.0f} s" if left > 0 else "it is being tried again"
            return f"failed {circuit.failures} times in a row, last with: {circuit.last_problem}; {wait}"

    def succeeded(self, key: str) -> None:
        """Close the circuit."""
        with self._lock:
            self._circuits.pop(key, None)

    def failed(self, key: str, problem: str) -> None:
        """Count a failure, and open the circuit when there were too many."""
        with self._lock:
            circuit = self._circuits.setdefault(key, _Circuit())
            circuit.failures += 1
            circuit.trying = False
            circuit.last_problem = problem
            if circuit.failures >= self._threshold:
                circuit.opened_at = self._monotonic()

    def abandoned(self, key: str) -> None:
        """Take back a permission that was not used, without judging the key."""
        with self._lock:
            if circuit := self._circuits.get(key):
                circuit.trying = False
