"""How long work tells how far it is."""

from __future__ import annotations

from typing import Any, Protocol

from sqlalchemy import Connection


class Progress(Protocol):
    """Be the operation that work belongs to; services.kit.bus.OperationContext is one."""

    state: dict[str, Any]

    def checkpoint(
        self,
        connection: Connection,
        state: dict[str, Any] | None = None,
        completed: int | None = None,
        total: int | None = None,
        stage: str | None = None,
    ) -> None:
        """Store how far the work is."""
        ...

    def raise_if_cancelled(self) -> None:
        """Raise when a stop was asked for."""
        ...
