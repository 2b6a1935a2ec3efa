"""The sender: takes planned messages in hand, lets them go, and writes down what became of them.

What makes a crash harmless is the order. A message is `claimed` while it is made ready: if the sender dies, nothing has
left, and it is planned again. `sending` is committed before the channel gets the message, for those it gets now: if the
sender dies then, the message is unknown and nobody sends it again by itself. `sending` batches are small, so few
messages can be unknown.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from rapport_client.errors import RapportError as ClientError
from rapport_sdk import Outcome, SendResult

from services.campaign.domain.ledger import (
    FAILED,
    LONGEST_DELAY,
    MAX_ATTEMPTS,
    PLANNED,
    SENT,
    UNKNOWN,
    next_delay,
)
from services.campaign.store import claims as store
from services.campaign.store import coupons
from services.campaign.store.claims import Claim, Result, sender_lock
from services.campaign.usecases import upkeep
from services.campaign.usecases.events import tell_finished
from services.campaign.usecases.preparing import Ready, prepare
from services.kit import log
from services.kit.db import is_transient
from services.kit.errors import RapportError
from services.kit.locks import Locks
from services.kit.log import safe_text
from services.kit.names import new_id
from services.kit.plugins import OpenChannel, PluginError, PluginManager
from services.kit.runtime import Runtime

_log = log.get_logger("sender")
T = TypeVar("T")

CLAIM = 250
HAND_OVER = 50
"""At most this many messages are made ready and put on the wire of one sender at a time.

So at most this many are unknown after its death, and what decided on them was asked right before they left.
"""

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
_UPKEEP_SECONDS = 2.0
_NOT_TRIED = "not tried"
_MOST_UNSURE = 4
"""So many recordings may wait for the next hand-over, which does not come when nobody is to be written to."""


class Sender:
    """Send what is due, batch by batch; used by one thread.

    beat: called whenever there was progress, for a watchdog. stopping: whether to take nothing new.
    """

    def __init__(
        self,
        runtime: Runtime,
        manager: PluginManager,
        locks: Locks,
        *,
        beat: Callable[[], None] = lambda: None,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._runtime = runtime
        self._manager = manager
        self._locks = locks
        self._beat = beat
        self._stopping = stopping
        self._id: UUID | None = None
        self._open: dict[str, OpenChannel] = {}
        self._pauses: dict[str, tuple[float, float]] = {}
        self._gone: dict[str, str] = {}
        self._next_upkeep = 0.0
        self._saved = False
        self._unsure: list[tuple[UUID, Sequence[Result]]] = []
        """What was recorded since the last commit that waited for the disk: a crash of the database may undo it."""
        self._failed = False

    def run_once(self) -> int:
        """Send one batch and return how many messages it had; 0 when nothing is due.

        Raises database errors; nothing is lost by them.
        """
        self._beat()
        self._make_sure()
        self._failed = True
        count = self._send_batch()
        self._failed = False
        return count

    def _send_batch(self) -> int:
        sender = self._live()
        self._keep_up()
        now = self._runtime.clock.now()
        with self._runtime.db.read() as connection:
            lanes = [lane for lane in store.lanes(connection, now) if self._usable(lane[0])]
        if not lanes:
            return 0
        with self._runtime.db.transaction() as connection:
            # Claims that are lost leave messages planned, and what is not claimed is not handed over.
            store.do_not_wait_for_disk(connection)
            claimed = store.take(connection, sender, lanes, max(1, CLAIM // len(lanes)), now)
        groups: dict[tuple[str, str], list[Claim]] = defaultdict(list)
        for claim in claimed:
            groups[claim.channel, claim.topic].append(claim)
        try:
            for (channel, topic), several in groups.items():
                self._send_group(sender, channel, topic, several)
        finally:
            # Whatever went wrong before they were handed over: nothing of these has left.
            self._release(sender, claimed)
        return len(claimed)

    def _make_sure(self) -> None:
        """Record again what a crash of the database may have undone; what it has not undone is left as it is."""
        if self._unsure and (self._failed or self._id is None or not self._locks.held(sender_lock(self._id))):
            for sender, results in self._unsure:
                self._insist(partial(self._record_once, sender, results))
            self._unsure.clear()

    def close(self) -> None:
        """Close the channels."""
        for channel in self._open.values():
            channel.close()
        self._open.clear()

    def _live(self) -> UUID:
        """Return this sender's id, whose lock says that it lives; a new one when the lock was lost."""
        if self._id is None or not self._locks.held(sender_lock(self._id)):
            fresh = new_id()
            if not self._locks.acquire(sender_lock(fresh)):
                raise RuntimeError(f"somebody holds the lock of the new sender {fresh}")
            self._id = fresh
        return self._id

    def _keep_up(self) -> None:
        """Recover what dead senders held, and tell which channels there are, every few seconds."""
        if time.monotonic() < self._next_upkeep:
            return
        self._next_upkeep = time.monotonic() + _UPKEEP_SECONDS
        upkeep.recover_messages(self._runtime)
        catalog = self._manager.catalog
        if not self._saved:
            with self._runtime.db.transaction() as connection:
                store.save_channels(
                    connection,
                    [
                        {
                            "name": record.name,
                            "address_kind": record.address_kind,
                            "idempotent": record.idempotent,
                            "when_gone": record.when_gone,
                        }
                        for record in catalog.channels.values()
                    ],
                )
            self._saved = True
        with self._runtime.db.read() as connection:
            planned = store.planned_channels(connection)
        self._gone = {
            name: f"CHANNEL_UNAVAILABLE: {safe_text(catalog.why_gone(name))}"[:500]
            for name in planned
            if name not in catalog.channels
        }
        if self._gone:
            now = self._runtime.clock.now()
            with self._runtime.db.transaction() as connection:
                failed = store.explain_missing(connection, catalog.channels.keys(), self._gone)
                tell_finished(
                    connection, [(claim, FAILED, self._gone[claim.channel]) for claim in failed], now
                )

    def _usable(self, channel: str) -> bool:
        if channel not in self._manager.catalog.channels:
            return False
        until, _ = self._pauses.get(channel, (0.0, 0.0))
        return time.monotonic() >= until

    def _pause(self, channel: str, why: str) -> None:
        """Leave a channel alone for a while of real time: what fails now fails for all its messages."""
        _, last = self._pauses.get(channel, (0.0, 0.0))
        pause = min(max(FIRST_PAUSE, last * 2), LONGEST_PAUSE)
        self._pauses[channel] = (time.monotonic() + pause, pause)
        _log.warning("channel waits", channel=channel, seconds=pause, problem=safe_text(why))

    def _send_group(self, sender: UUID, name: str, topic: str, several: Sequence[Claim]) -> None:
        try:
            channel = self._open.get(name) or self._manager.open_channel(name)
            self._open[name] = channel
        except PluginError as error:
            self._hold(sender, name, several, f"CHANNEL_UNAVAILABLE: {error.message}")
            return
        for start in range(0, len(several), HAND_OVER):
            if self._stopping() or not self._usable(name):
                return
            # Consents, suppressions and vetoes are asked anew for each slice: a refusal between two of them counts.
            try:
                prepared = prepare(
                    self._runtime,
                    self._manager,
                    several[start : start + HAND_OVER],
                    channel.capabilities.address_kind,
                    topic,
                )
            except (ClientError, RapportError) as error:
                self._hold(sender, name, several[start:], f"CONTACTS_UNAVAILABLE: {error.message}")
                return
            self._beat()
            self._record(sender, prepared.decided)
            if prepared.ready:
                self._hand_over(sender, channel, prepared.ready)
            self._beat()

    def _hold(self, sender: UUID, channel: str, several: Sequence[Claim], reason: str) -> None:
        self._pause(channel, reason)
        with self._runtime.db.transaction() as connection:
            store.let_go(connection, sender, [claim.id for claim in several], safe_text(reason)[:500])

    def _hand_over(self, sender: UUID, channel: OpenChannel, several: Sequence[Ready]) -> None:
        if not self._locks.held(sender_lock(sender)):
            return  # taken for dead: others have these messages now
        with self._runtime.db.transaction() as connection:
            free = store.hand_over(connection, sender, [item.hand_over for item in several])
            leaving = [item for item in several if item.hand_over.claim.id in free]
            coupons.issue(connection, [item.coupon for item in leaving if item.coupon])
        self._unsure.clear()
        if not leaving:
            return
        outcomes = channel.send([item.outbound for item in leaving], now=self._runtime.clock.now())
        results = [
            self._result(channel, item.hand_over.claim, outcome)
            for item, outcome in zip(leaving, outcomes, strict=True)
        ]
        self._record(sender, results)
        refused = next((result.reason for result in results if not result.tried), "")
        if refused:
            self._pause(channel.channel.name, refused)
        elif any(result.state == SENT for result in results):
            self._pauses.pop(channel.channel.name, None)

    def _result(self, channel: OpenChannel, claim: Claim, outcome: SendResult) -> Result:
        now = self._runtime.clock.now()
        reason = safe_text(outcome.reason)[:500]
        attempts = claim.attempt_count + 1
        common: Mapping[str, Any] = {"claim": claim, "reason": reason, "due_time": now}
        match outcome.outcome:
            case Outcome.ACCEPTED:
                return Result(
                    claim=claim,
                    state=SENT,
                    due_time=now,
                    send_time=now,
                    provider_id=outcome.provider_id[:500],
                )
            case Outcome.PERMANENT:
                return Result(**common, state=FAILED)
            case Outcome.UNKNOWN if not channel.capabilities.idempotent:
                return Result(**common, state=UNKNOWN, provider_id=outcome.provider_id[:500])
            case Outcome.TEMPORARY if outcome.reason.startswith(_NOT_TRIED):
                return Result(**common, state=PLANNED, tried=False)
        if attempts >= MAX_ATTEMPTS:
            return Result(
                claim=claim,
                state=FAILED,
                reason=f"{reason} (given up after {attempts} attempts)",
                due_time=now,
            )
        delay = next_delay(attempts)
        if outcome.retry_after is not None:
            # What the provider asks for, as long as it is no more than the longest of our own.
            delay = min(max(outcome.retry_after, timedelta(0)), LONGEST_DELAY)
        return Result(claim=claim, state=PLANNED, reason=reason, due_time=now + delay)

    def _record(self, sender: UUID, results: Sequence[Result]) -> None:
        """Write down what became of messages, with the events; tried until it works, for nobody else knows."""
        if results:
            wait = len(self._unsure) >= _MOST_UNSURE
            self._insist(partial(self._record_once, sender, results, wait=wait))
            if wait:
                self._unsure.clear()
            else:
                self._unsure.append((sender, results))

    def _record_once(self, sender: UUID, results: Sequence[Result], *, wait: bool = True) -> None:
        with self._runtime.db.transaction() as connection:
            if not wait:
                # The next hand-over waits for both; until then this sender remembers them.
                store.do_not_wait_for_disk(connection)
            mine = store.record(connection, sender, results)
            finished = [
                (result.claim, result.state, result.reason) for result in results if result.claim.id in mine
            ]
            tell_finished(connection, finished, self._runtime.clock.now())

    def _release(self, sender: UUID, claimed: Sequence[Claim]) -> None:
        """Give back what is still claimed, such as the messages of a campaign that was paused."""

        def release() -> None:
            with self._runtime.db.transaction() as connection:
                store.do_not_wait_for_disk(connection)
                store.let_go(connection, sender, [claim.id for claim in claimed])

        self._insist(release)

    def _insist(self, action: Callable[[], None]) -> None:
        pause = FIRST_PAUSE
        waiting = threading.Event()
        while True:
            try:
                return action()
            except Exception as error:
                if not is_transient(error):
                    raise
                _log.warning("the ledger cannot be written, trying again", problem=log.safe_summary(error))
            self._beat()
            waiting.wait(pause)
            pause = min(pause * 2, LONGEST_PAUSE / 6)
