"""Writing down what became of messages: beside the making of the next ones, and again after a crash of the database."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from uuid import UUID

from services.campaign.domain.delivery import BOUNCED, SUPPRESS_REASON
from services.campaign.store import caps, suppressions
from services.campaign.store import claims as store
from services.campaign.store.claims import Claim, Result
from services.campaign.store.suppressions import Suppressed
from services.campaign.usecases import metrics
from services.campaign.usecases.events import tell_finished
from services.kit import log
from services.kit.db import is_transient
from services.kit.runtime import Runtime

_log = log.get_logger("sender")
MOST_UNSURE = 4
"""So many recordings may wait for the next hand-over, which does not come when nobody is to be written to."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 5.0
Recording = tuple[UUID, Sequence[Result], Sequence[tuple[UUID, UUID]]]


class Recorder:
    """Write down for one sender what became of its messages, with the events; used by one thread.

    Tried until it works, for nobody else knows. beat: called at each attempt that failed, for a watchdog.
    """

    def __init__(self, runtime: Runtime, beat: Callable[[], None]) -> None:
        self._runtime = runtime
        self._beat = beat
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="recorder")
        self._under_way: tuple[Future[None], Recording, bool] | None = None
        self.unsure: list[Recording] = []
        """What was recorded since the last commit that waited for the disk: a crash of the database may undo it."""
        self.decided: set[UUID] = set()
        """The messages of this batch of which it is written down what became of them: none is in hand any more."""

    def record(
        self, sender: UUID, results: Sequence[Result], unused: Sequence[tuple[UUID, UUID]] = ()
    ) -> None:
        """Write down what became of messages.

        unused: the places under frequency caps, as (contact, message), that are free again.
        """
        if results:
            self.begin(sender, results, unused)
            self.settle()

    def begin(self, sender: UUID, results: Sequence[Result], unused: Sequence[tuple[UUID, UUID]]) -> None:
        """Begin to write down what became of messages; `settle` waits until it is written."""
        self.settle()
        wait = len(self.unsure) >= MOST_UNSURE
        action = partial(self._once, sender, results, unused, wait=wait)
        # The events go on in the trace at hand, which the other thread does not know by itself.
        under_way = self._thread.submit(copy_context().run, self.insist, action)
        self._under_way = under_way, (sender, results, unused), wait

    def settle(self) -> None:
        """Wait until it is written down what became of messages so far; raises what kept it from being written."""
        if self._under_way is None:
            return
        (future, recording, waited), self._under_way = self._under_way, None
        future.result()
        self.decided.update(result.claim.id for result in recording[1])
        if waited:
            self.unsure.clear()
        else:
            self.unsure.append(recording)

    def make_sure(self) -> None:
        """Record again what a crash of the database may have undone; what it has not undone is left as it is."""
        for sender, results, unused in self.unsure:
            self.insist(partial(self._once, sender, results, unused))
        self.unsure.clear()

    def release(self, sender: UUID, claimed: Sequence[Claim]) -> None:
        """Give back those of a batch that are still claimed, such as the messages of a campaign that was paused."""
        keys = [claim.id for claim in claimed if claim.id not in self.decided]
        self.decided.clear()
        if not keys:
            return

        def release() -> None:
            with self._runtime.db.transaction() as connection:
                store.do_not_wait_for_disk(connection)
                store.let_go(connection, sender, keys)

        self.insist(release)

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown()

    def insist(self, action: Callable[[], None]) -> None:
        """Try until the database does it."""
        pause = _FIRST_PAUSE
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
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _once(
        self,
        sender: UUID,
        results: Sequence[Result],
        unused: Sequence[tuple[UUID, UUID]],
        *,
        wait: bool = True,
    ) -> None:
        with self._runtime.db.transaction() as connection:
            if not wait:
                # The next hand-over waits for both; until then this sender remembers them.
                store.do_not_wait_for_disk(connection)
            mine = store.record(connection, sender, results)
            caps.give_back(connection, unused)
            if bad := {item.bad_address for item in results if item.bad_address and item.claim.id in mine}:
                now = self._runtime.clock.now()
                suppressions.add(
                    connection, [Suppressed(*pair, SUPPRESS_REASON[BOUNCED], now) for pair in bad]
                )
            finished = [
                (result.claim, result.state, result.reason) for result in results if result.claim.id in mine
            ]
            tell_finished(connection, finished, self._runtime.clock.now())
        metrics.note_results([result for result in results if result.claim.id in mine])
