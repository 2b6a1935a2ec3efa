"""Which trace an effect belongs to, when one handler takes events of many traces at once."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping


class Causes:
    """Lead from a contact to the trace of the event that told of it.

    What is done for a contact continues the trace of its event, below a span that is recorded only when something
    was done.
    """

    def __init__(self, traces: Mapping[str, str]) -> None:
        """traces: W3C trace contexts that are recorded, by the UUID of the contact in its usual form."""
        self._traces = traces
        self._made: dict[str, str] = {}
        self._used: set[str] = set()

    def trace(self, contact: str) -> str:
        """Return the trace context for an effect on a contact, or the empty string when no event told of it."""
        made = self._make(contact)
        if made:
            self._used.add(contact)
        return made

    def traces(self) -> dict[str, str]:
        """Return the trace context that effects would have, by contact; tell by `note` for whom there were some."""
        return {contact: self._make(contact) for contact in self._traces}

    def note(self, contacts: Iterable[str]) -> None:
        """Note that there were effects on contacts."""
        self._used.update(contact for contact in contacts if contact in self._traces)

    def effects(self) -> Iterator[tuple[str, str, str]]:
        """Yield the contact, the trace context of its event and that of the effects on it, where there were some."""
        for contact in sorted(self._used):
            yield contact, self._traces[contact], self._make(contact)

    def _make(self, contact: str) -> str:
        made = self._made.get(contact)
        if made is None:
            cause = self._traces.get(contact)
            if cause is None:
                return ""
            made = self._made[contact] = f"{cause[:36]}{os.urandom(8).hex()}{cause[52:]}"
        return made
