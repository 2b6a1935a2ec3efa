"""A worker that does what tests need: effects, failures and waits on command of the events' text."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import sqlalchemy as sa
from google.protobuf.message import Message
from google.protobuf.wrappers_pb2 import Int64Value, StringValue
from sqlalchemy.exc import IntegrityError

from services.kit import context
from services.kit.bus import EventBatch, OperationContext, RuntimeProvider, operation, subscribe, timer
from services.kit.errors import Cancelled, FailedPrecondition
from services.kit.events import unpack
from services.kit.operations import OperationWaits
from services.kit.outbox import NewEvent, append
from tests.support.toyconsumer.models import effect, kit, ticking

GATES = Path(os.environ.get("TOY_GATES", "."))


def gate(name: str) -> None:
    """Tell that this point was reached, then wait until the test opens it."""
    (GATES / f"{name}.reached").write_text(str(os.getpid()))
    waiting = threading.Event()
    while not (GATES / f"{name}.open").exists():
        waiting.wait(0.01)


class Worker:
    """Handle greetings of sales, notes of its own, ticks and counting."""

    name = "contacts"
    runtime = RuntimeProvider()

    @subscribe("sales", "greeting.said", batch_size=50)
    def on_greeting(self, batch: EventBatch) -> None:
        """Record each greeting; `gate:<name>` waits in the transaction, `poison` fails while there is no antidote.

        `deadly` does so too, and ends the process while there is a file of the name.
        """
        with self.runtime.db.transaction() as connection:
            for event in batch.claim(connection, kit):
                text = unpack(event).value
                if text == "deadly" and (GATES / "deadly").exists():
                    os._exit(9)
                if text == "poison:gate" and (GATES / "gated").exists():
                    gate("poison")
                    raise ValueError("a greeting that nobody can bear")
                if text in ("poison", "poison:gate", "deadly") and not (GATES / "antidote").exists():
                    raise ValueError("a greeting that nobody can bear")
                self._effect(connection, "on_greeting", text)
                if text.startswith("gate:"):
                    gate(text.removeprefix("gate:"))

    @subscribe("sales")
    def on_anything(self, batch: EventBatch) -> None:
        """Record the type of every event, with the trace that its handler runs in."""
        with self.runtime.db.transaction() as connection:
            for event in batch.claim(connection, kit):
                self._effect(connection, "on_anything", f"{event.type} {context.traceparent()[3:35]}")

    @subscribe("contacts", "note.made")
    def on_own_note(self, batch: EventBatch) -> None:
        """Record events of the service's own stream."""
        with self.runtime.db.transaction() as connection:
            for event in batch.claim(connection, kit):
                self._effect(connection, "on_own_note", unpack(event).value)

    @timer(seconds=0.05)
    def tick(self) -> None:
        """Record a tick, and `overlap` if another one runs meanwhile."""
        try:
            with self.runtime.db.transaction() as connection:
                connection.execute(sa.insert(ticking).values(id=1))
        except IntegrityError:
            with self.runtime.db.transaction() as connection:
                self._effect(connection, "tick", "overlap")
            return
        threading.Event().wait(0.03)
        with self.runtime.db.transaction() as connection:
            self._effect(connection, "tick", "tick")
            connection.execute(sa.delete(ticking))

    @operation("count")
    def count(self, operation: OperationContext) -> Message:
        """Count to the number asked for, a checkpoint each; waits at the gate `count` before the third."""
        wanted = operation.request.value
        if wanted < 0:
            raise FailedPrecondition(f"cannot count to {wanted}", reason="NEGATIVE")
        if wanted == 666:
            raise RuntimeError("unexpected")
        for number in range(operation.state.get("next", 0), wanted):
            try:
                operation.raise_if_cancelled()
            except Cancelled:
                with self.runtime.db.transaction() as connection:
                    self._effect(connection, "count cancelled", operation.name)
                raise
            if number == 2:
                gate("count")
            with self.runtime.db.transaction() as connection:
                self._effect(connection, "count", str(number))
                operation.checkpoint(connection, {"next": number + 1}, number + 1, wanted, "counting")
        size = sum(len(chunk) for chunk in operation.chunks())
        with self.runtime.db.transaction() as connection:
            note = NewEvent(
                type="note.made",
                subject=operation.name,
                contact=None,
                revision=1,
                occur_time=self.runtime.clock.now(),
                data=StringValue(value=f"counted to {wanted}"),
            )
            append(connection, kit.outbox, [note], record_time=self.runtime.clock.now())
        return Int64Value(value=size)

    @operation("rest", concurrency=1)
    def rest(self, operation: OperationContext) -> Message:
        """Wait in short rests, at the gate `rest` when it has to be opened, and answer with what was asked for."""
        if operation.request.value > 0:
            with self.runtime.db.transaction() as connection:
                operation.checkpoint(connection, {"rested": operation.state.get("rested", 0) + 1})
            if not (GATES / "rest.open").exists():
                raise OperationWaits(0.01)
        return Int64Value(value=operation.state.get("rested", 0))

    def _effect(self, connection: sa.Connection, handler: str, value: str) -> None:
        connection.execute(sa.insert(effect).values(handler=handler, value=value, worker=os.getpid()))
