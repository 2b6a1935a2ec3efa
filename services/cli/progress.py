"""Draws the start and the end of a stack while they happen."""

from __future__ import annotations

import threading
from types import TracebackType

from rich.live import Live
from rich.table import Table
from rich.text import Text

from services.cli.console import console
from services.kit.supervise.events import Event, EventKind

_STYLE = {
    EventKind.READY: "green",
    EventKind.EXITED: "red",
    EventKind.FAILED: "red",
    EventKind.RESTARTING: "yellow",
    EventKind.HELD: "yellow",
    EventKind.LOG_LOST: "red",
}
_QUIET = {EventKind.STARTING, EventKind.READY, EventKind.STOPPING, EventKind.STOPPED}


class StartView:
    """Show one line for each process: on a terminal as a table that changes, elsewhere as lines of text.

    The table is drawn within the `with` block, that is during the start. What goes wrong afterwards, and that
    the stack stops, is told in lines.
    """

    def __init__(self) -> None:
        self._lines: dict[str, Event] = {}
        self._lock = threading.Lock()
        self._live: Live | None = None
        self._stopping = False
        self._troubled: set[str] = set()

    def __enter__(self) -> StartView:
        if console.is_terminal:
            self._live = Live(console=console, refresh_per_second=8, transient=True)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            live, self._live = self._live, None
        if live is not None:
            live.stop()

    def tell(self, event: Event) -> None:
        """Take an event of the supervisor."""
        with self._lock:
            self._lines[event.name] = event
            if event.kind is EventKind.STOPPING and not self._stopping:
                self._stopping = True
                self._say("stopping …")
            if self._live is not None and not self._stopping:
                self._live.update(self._table())
            elif event.kind not in _QUIET:
                self._troubled.add(event.name)
                # These details are sentences of their own.
                own = event.kind in (EventKind.EXITED, EventKind.RESTARTING) and event.detail
                self._say(f"{event.name}: {own or f'{event.kind.value} {event.detail}'}".rstrip())
            elif event.kind is EventKind.READY and event.name in self._troubled:
                # Whoever read that it died wants to read that it is back.
                self._troubled.discard(event.name)
                self._say(f"{event.name}: ready again")

    def _say(self, text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        for name, event in self._lines.items():
            seconds = f"{event.seconds:.1f} s" if event.kind is EventKind.READY and event.seconds else ""
            state = Text(event.kind.value, style=_STYLE.get(event.kind, "dim"))
            table.add_row(name, state, Text(seconds or event.detail))
        return table
