"""The sender: takes planned messages in hand, lets them go, and writes down what became of them.

What makes a crash harmless is the order. A message is `claimed` while it is made ready: if the sender dies, nothing has
left, and it is planned again, to be made ready in smaller company, as it may be why. `sending` is committed before the
channel gets the message, for those it gets now: if the sender dies then, the message is unknown and nobody sends it
again by itself. `sending` batches are small, so few messages can be unknown. What became of a batch is written down
while the next one is made ready, and is known before that leaves.
"""

from __future__ import annotations

import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime
from uuid import UUID

from rapport_client.errors import RapportError as ClientError
from rapport_sdk import OutboundMessage, SendResult
from sqlalchemy import Connection

from services.campaign.domain.deaths import company
from services.campaign.domain.decisions import Stay
from services.campaign.domain.ledger import PLANNED
from services.campaign.domain.pace import CALL_SECONDS
from services.campaign.domain.render_pace import QUICK_SHARE, SLOW_SHARE, RenderPaces
from services.campaign.domain.template_bounds import MAX_SECONDS
from services.campaign.renderer.pool import UNAVAILABLE as RENDERER_UNAVAILABLE
from services.campaign.renderer.pool import Patience, Renderer
from services.campaign.store import claims as store
from services.campaign.store import coupons
from services.campaign.store.claims import Claim, Result, sender_lock
from services.campaign.usecases import channels, holding, metrics, upkeep
from services.campaign.usecases.outcomes import result_of
from services.campaign.usecases.preparing import Prepared, prepare
from services.campaign.usecases.rechecking import recheck
from services.campaign.usecases.recording import Recorder
from services.campaign.usecases.throttle import Throttle, certainly_not_sent, is_untried, was_tried
from services.campaign.usecases.tracing import handing_over, note_left, sending_batch
from services.kit import log
from services.kit.db import is_transient
from services.kit.errors import RapportError
from services.kit.locks import Locks
from services.kit.log import safe_text
from services.kit.names import new_id
from services.kit.plugins import OpenChannel, PluginError, PluginManager
from services.kit.runtime import Runtime

_log = log.get_logger("sender")

CLAIM = 500
HAND_OVER = 250
"""At most this many messages are made ready and put on the wire of one sender at a time.

So at most this many are unknown after its death, and what decided on them was asked right before they left.
"""

_UPKEEP_SECONDS = 2.0


class Sender:
    """Send what is due, batch by batch; used by one thread.

    beat: called whenever there was progress, for a watchdog. stopping: whether to take nothing new. only: the one
    channel it sends by, None for all; then a slow channel holds up the others. chores: whether it recovers the
    messages of dead senders too, which one sender of a process does. call_seconds: how long one call of a channel
    should take. renderer: its own, which it closes; None for that of the process. paces: what the senders of a process
    know of their templates. slow: whether it sends the lanes that are slow to render, or the others; None for all.
    """

    def __init__(
        self,
        runtime: Runtime,
        manager: PluginManager,
        locks: Locks,
        *,
        beat: Callable[[], None] = lambda: None,
        stopping: Callable[[], bool] = lambda: False,
        only: str | None = None,
        chores: bool = True,
        call_seconds: float = CALL_SECONDS,
        renderer: Renderer | None = None,
        paces: RenderPaces | None = None,
        slow: bool | None = None,
    ) -> None:
        self._runtime = runtime
        self._manager = manager
        self._locks = locks
        self._beat = beat
        self._stopping = stopping
        self._only = only
        self._chores = chores
        self._id: UUID | None = None
        self._open: dict[str, OpenChannel] = {}
        self._next_upkeep = 0.0
        self._saved = False
        self._patience = call_seconds * 1.25
        self.throttle = Throttle(runtime, call_seconds=call_seconds)
        self._recorder = Recorder(runtime, beat)
        self._failed = False
        self._suspects = True
        self._renderer = renderer
        self._paces = paces or RenderPaces()
        self._slow = slow
        self._share_seconds = QUICK_SHARE if slow is False else SLOW_SHARE
        one = self._paces.one_seconds if slow is False else MAX_SECONDS
        self._rendering = Patience(one, self._share_seconds, self._paces.took)

    def run_once(self) -> int:
        """Send one batch and return how many messages it had; 0 when nothing is due, or may go now.

        Raises database errors; nothing is lost by them.
        """
        self._beat()
        if self._slow and not self._paces.any_slow:
            if self._id is not None:
                # It tells on how it finds the channels that it used.
                self._keep_up(self._live())
            return 0
        if self._failed or self._id is None or not self._locks.held(sender_lock(self._id)):
            self._recorder.make_sure()
        self._failed = True
        count = self._send_batch()
        self._failed = False
        return count

    def _send_batch(self) -> int:
        sender = self._live()
        self._keep_up(sender)
        now = self._runtime.clock.now()
        with self._runtime.db.read() as connection:
            lanes = [lane for lane in store.lanes(connection, now) if self._wanted(*lane)]
            if not lanes:
                return 0
            self.throttle.load(connection)
        places, wanted = self._share(lanes)
        claimed: Sequence[Claim] = []
        groups: dict[tuple[str, str], list[Claim]] = defaultdict(list)
        tried: Counter[str] = Counter()
        try:
            if wanted:
                with self._runtime.db.transaction() as connection:
                    # Claims that are lost leave messages planned, and what is not claimed is not handed over.
                    store.do_not_wait_for_disk(connection)
                    claimed = self._take(connection, sender, wanted, now)
            for claim in claimed:
                groups[claim.channel, claim.topic].append(claim)
            for (channel, topic), several in groups.items():
                with sending_batch(channel, len(several)):
                    tried[channel] += self._send_group(sender, channel, topic, several)
        finally:
            # Whatever went wrong before they were handed over: nothing of these has left.
            self._recorder.release(sender, claimed)
            for channel, count in places.items():
                self.throttle.give_back(channel, count - tried[channel])
        return len(claimed)

    def _take(
        self, connection: Connection, sender: UUID, wanted: Sequence[tuple[str, str, int]], now: datetime
    ) -> Sequence[Claim]:
        """Claim due messages that may be in hand together; those that ended senders take turns with the others."""
        claimed = store.take(connection, sender, wanted, now)
        together = company(claimed, suspects=self._suspects)
        if together is not claimed:
            self._suspects = not self._suspects
            kept = {claim.id for claim in together}
            store.let_go(connection, sender, [claim.id for claim in claimed if claim.id not in kept])
        return together

    def wait_seconds(self, longest: float) -> float:
        """Return after how many seconds another batch may be possible when `run_once` found none; at most `longest`."""
        return self.throttle.wait(longest)

    def close(self) -> None:
        """Close the channels."""
        self._recorder.close()
        for channel in self._open.values():
            channel.close()
        self._open.clear()
        if self._renderer is not None:
            self._renderer.close()

    def _share(self, lanes: Sequence[tuple[str, str]]) -> tuple[dict[str, int], list[tuple[str, str, int]]]:
        """Return the places taken in the limits of each channel, and how many messages of each lane are wanted.

        Lanes have equal shares, also of the places of a channel and of what a slow one sends in half a second; where
        there are fewer than lanes, chance decides, so that each gets its turn. Of a lane whose messages take long to
        render no more are taken than there is time for.
        """
        quota = max(1, CLAIM // len(lanes))
        by_channel: dict[str, list[str]] = defaultdict(list)
        for channel, lane in lanes:
            by_channel[channel].append(lane)
        places: dict[str, int] = {}
        wanted: list[tuple[str, str, int]] = []
        for channel, several in by_channel.items():
            asked = self.throttle.at_once(channel, quota * len(several))
            places[channel] = count = self.throttle.take_places(channel, asked)
            random.shuffle(several)
            share, more = divmod(count, len(several))
            wanted += [
                (channel, lane, min(number, self._paces.at_once(lane, self._share_seconds)))
                for index, lane in enumerate(several)
                if (number := share + (index < more))
            ]
        return places, wanted

    def _live(self) -> UUID:
        """Return this sender's id, whose lock says that it lives; a new one when the lock was lost."""
        if self._id is None or not self._locks.held(sender_lock(self._id)):
            fresh = new_id()
            if not self._locks.acquire(sender_lock(fresh)):
                raise RuntimeError(f"somebody holds the lock of the new sender {fresh}")
            self._id = fresh
        return self._id

    def _keep_up(self, sender: UUID) -> None:
        """Recover what dead senders held, and tell how the channels are, every few seconds."""
        if time.monotonic() < self._next_upkeep:
            return
        self._next_upkeep = time.monotonic() + _UPKEEP_SECONDS
        channels.tell_circuits(self._runtime, sender, self.throttle)
        if not self._chores:
            return
        upkeep.recover_messages(self._runtime)
        if not self._saved:
            channels.save_channels(self._runtime, self._manager)
            self._saved = True
        channels.explain_missing(self._runtime, self._manager)

    def _wanted(self, channel: str, lane: str) -> bool:
        return self._slow in (None, self._paces.is_slow(lane)) and self._usable(channel)

    def _usable(self, channel: str) -> bool:
        if self._only not in (None, channel) or channel not in self._manager.catalog.channels:
            return False
        return self.throttle.usable(channel)

    def _send_group(self, sender: UUID, name: str, topic: str, several: Sequence[Claim]) -> int:
        """Send messages of one channel and topic; returns how many the channel tried."""
        try:
            channel = self._open.get(name) or self._manager.open_channel(name)
            self._open[name] = channel
        except PluginError as error:
            reason = f"CHANNEL_UNAVAILABLE: {error.message}"
            self.throttle.trip(name, reason)
            self._hold(sender, several, reason)
            return 0
        try:
            return self._send_slices(sender, channel, topic, several)
        finally:
            self._recorder.settle()

    def _send_slices(self, sender: UUID, channel: OpenChannel, topic: str, several: Sequence[Claim]) -> int:
        name = channel.channel.name
        start = tried = 0
        while start < len(several) and not self._stopping() and self._usable(name):
            size = self.throttle.at_once(name, HAND_OVER)
            # Consents, suppressions, hours and vetoes are asked anew for each slice: a refusal between two counts.
            try:
                prepared = prepare(
                    self._runtime,
                    self._manager,
                    several[start : start + size],
                    channel.capabilities.address_kind,
                    topic,
                    self.throttle,
                    self._beat,
                    self._renderer,
                    self._rendering,
                )
            except (ClientError, RapportError) as error:
                if error.reason == RENDERER_UNAVAILABLE:
                    self._hold(sender, several[start:], f"{RENDERER_UNAVAILABLE}: {error.message}")
                    break
                self._miss_contacts(sender, several[start:], error)
                break
            except Exception as error:
                if not is_transient(error):
                    upkeep.put_aside(self._runtime, sender, several[start : start + size], error)
                raise
            self.throttle.contacts.succeeded()
            start += size
            self._beat()
            self._decide(sender, name, prepared.decided)
            if prepared.ready:
                claims = [item.hand_over.claim for item in prepared.ready]
                try:
                    with metrics.HAND_OVER.labels(name).time(), handing_over(self._runtime, name, claims):
                        tried += self._hand_over(sender, channel, topic, prepared)
                except ClientError as error:
                    self._miss_contacts(sender, several[start - size :], error)
                    break
            self._beat()
        return tried

    def _miss_contacts(
        self, sender: UUID, several: Sequence[Claim], error: ClientError | RapportError
    ) -> None:
        reason = f"CONTACTS_UNAVAILABLE: {error.message}"
        self.throttle.miss_contacts(reason)
        self._hold(sender, several, reason)

    def _decide(self, sender: UUID, channel: str, results: Sequence[Result]) -> None:
        """Write down what becomes of messages that don't leave now."""
        self._recorder.record(sender, results)
        for result in results:
            if result.state == PLANNED:
                metrics.note_deferred(channel, result.reason)

    def _hold(self, sender: UUID, several: Sequence[Claim], reason: str) -> None:
        with self._runtime.db.transaction() as connection:
            store.let_go(connection, sender, [claim.id for claim in several], safe_text(reason)[:500])

    def _hand_over(self, sender: UUID, channel: OpenChannel, topic: str, prepared: Prepared) -> int:
        """Give the channel what may leave and write down what became of it; returns how many it tried."""
        used: set[int] = set()
        try:
            # Before more leaves it is known of all before it what became of them: so few can be unknown.
            self._recorder.settle()
            if not self._locks.held(sender_lock(sender)):
                return 0  # taken for dead: others have these messages now
            kind = channel.capabilities.address_kind
            ready, refused = recheck(self._runtime, prepared, kind, topic)
            self._decide(sender, channel.channel.name, refused)
            if self.throttle.probing(channel.channel.name):
                ready = ready[:1]
            now = self._runtime.clock.now()
            with self._runtime.db.transaction() as connection:
                claims = [item.hand_over.claim for item in ready]
                capped = holding.reserve(
                    connection, prepared.policies, claims, channel.channel.name, topic, now
                )
                going = [item for item in ready if item.hand_over.claim.id not in capped.stay]
                free, denied = store.hand_over(
                    connection,
                    sender,
                    [item.hand_over for item in going],
                    kind,
                    topic,
                    prepared.ask_time,
                    now,
                )
                leaving = [item for item in going if item.hand_over.claim.id in free]
                holding.leave(connection, capped, free, now)
                coupons.issue(connection, [item.coupon for item in leaving if item.coupon])
            self._recorder.unsure.clear()
            by_id = {item.hand_over.claim.id: item.hand_over.claim for item in going if denied}
            refused = [holding.held(by_id[key], Stay(reason), now) for key, reason in denied.items()]
            self._decide(sender, channel.channel.name, [*capped.held, *refused])
            if not leaving:
                return 0
            note_left(item.hand_over.claim for item in leaving)
            outcomes = self._transmit(channel, [item.outbound for item in leaving])
            used |= {
                item.position for item, outcome in zip(leaving, outcomes, strict=True) if was_tried(outcome)
            }
            self._recorder.begin(
                sender,
                [
                    result_of(channel, item, outcome, self._runtime.clock.now())
                    for item, outcome in zip(leaving, outcomes, strict=True)
                ],
                capped.unused(
                    item.hand_over.claim.id
                    for item, outcome in zip(leaving, outcomes, strict=True)
                    if certainly_not_sent(outcome)
                ),
            )
            return len(used)
        finally:
            if prepared.admission is not None:
                prepared.admission.give_back(
                    item.position for item in prepared.ready if item.position not in used
                )

    def _transmit(self, channel: OpenChannel, batch: Sequence[OutboundMessage]) -> list[SendResult | None]:
        """Give messages to the channel, in calls that its pace makes short, and return what became of each.

        None for those that stayed, as the channel took too long or the sender is to stop: what they depend on may have
        changed meanwhile. They are not on the wire, though the ledger would say so if the sender died now.
        """
        name = channel.channel.name
        pace = self.throttle.channels[name].pace
        outcomes: list[SendResult | None] = []
        begun = time.monotonic()
        while len(outcomes) < len(batch):
            part = batch[len(outcomes) : len(outcomes) + pace.at_once]
            start = time.monotonic()
            results = channel.send(part, now=self._runtime.clock.now())
            end = time.monotonic()
            outcomes += results
            self._beat()
            if not self.throttle.judge(name, [item.to for item in part], results):
                lost = next((result for result in results if is_untried(result)), None)
                return outcomes + [lost] * (len(batch) - len(outcomes))
            pace.took(len(part), end - start)
            if end - begun > self._patience or self._stopping():
                break
        return outcomes + [None] * (len(batch) - len(outcomes))
