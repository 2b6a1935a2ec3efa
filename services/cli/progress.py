"""Draws the start of a stack while it happens."""

from __future__ import annotations

import threading
from types import TracebackType

from rich.live import Live
from rich.table import Table

from services.cli.console import console
from services.kit.supervise.events import Event, EventKind

_STYLE = {
    EventKind.READY: "green",
    EventKind.EXITED: "red",
    EventKind.FAILED: "red",
    EventKind.RESTARTING: "yellow",
    EventKind.LOG_LOST: "red",
}
_QUIET = {EventKind.STARTING, EventKind.READY, EventKind.STOPPING, EventKind.STOPPED}


class StartView:
    """Show one line for each process: on a terminal as a table that changes, elsewhere as lines of text."""

    def __init__(self) -> None:
        self._lines: dict[str, Event] = {}
        self._lock = threading.Lock()
        self._live = (
            Live(console=console, refresh_per_second=8, transient=True) if console.is_terminal else None
        )

    def __enter__(self) -> StartView:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def tell(self, event: Event) -> None:
        """Take an event of the supervisor."""
        with self._lock:
            self._lines[event.name] = event
            if self._live is not None:
                self._live.update(self._table())
            elif event.kind not in _QUIET:
                console.print(f"{event.name}: {event.kind.value} {event.detail}".rstrip(), markup=False)

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        for name, event in self._lines.items():
            seconds = f"{event.seconds:.1f} s" if event.kind is EventKind.READY and event.seconds else ""
            style = _STYLE.get(event.kind, "dim")
            table.add_row(name, f"[{style}]{event.kind.value}[/]", seconds or event.detail)
        return table
