"""What keeps a sender from sending at once: rate limits that all senders share, and circuits of its own.

Places of a channel are taken before its messages are, and places of a domain as soon as the addresses are known; those
that are not used go back. A message to a domain without a place is put back with the time at which its place should
come, so that each comes up about once, and others of its campaign go on.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from rapport_sdk import Outcome, SendResult
from sqlalchemy import Connection

from services.campaign.domain.buckets import LONGEST_WAIT, SHORTEST_WAIT, Backlog
from services.campaign.domain.circuit import CLOSED, Circuit
from services.campaign.domain.pace import CALL_SECONDS, Pace
from services.campaign.domain.rates import RATE_LIMITED, Bucket, RateLimits, domain_of
from services.campaign.store import rates as store
from services.campaign.store.circuits import CircuitRow
from services.campaign.usecases import metrics
from services.kit import log
from services.kit.log import safe_text
from services.kit.runtime import Runtime

_log = log.get_logger("sender")
DOMAIN_UNAVAILABLE = "DOMAIN_UNAVAILABLE"
NOT_TRIED = "not tried"
# So many places are used up soon by a channel whose pace is not known yet.
_MOST_PLACES = 100


@dataclass(frozen=True, slots=True)
class Put:
    """Say for how many seconds a message is put back, and why."""

    seconds: float
    reason: str


@dataclass(slots=True)
class ChannelState:
    """Hold what a sender knows of a channel."""

    pace: Pace
    circuit: Circuit = field(default_factory=Circuit)
    sent: int = 0
    rate_until: float = 0.0
    # Domains whose messages failed since the last one that worked, of any domain.
    failing: set[str] = field(default_factory=set)


class Throttle:
    """Let messages of one sender through; used by one thread.

    call_seconds: how long one call of a channel should take, so that what changes meanwhile is heeded soon.
    monotonic: real seconds, for tests.
    """

    def __init__(
        self,
        runtime: Runtime,
        *,
        call_seconds: float = CALL_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._runtime = runtime
        self._monotonic = monotonic
        self._limits = RateLimits(())
        self.channels: dict[str, ChannelState] = defaultdict(lambda: ChannelState(Pace(call_seconds)))
        self.domains: dict[tuple[str, str], Circuit] = {}
        self.contacts = Circuit()
        self._backlog = Backlog()

    def load(self, connection: Connection) -> None:
        """Read the limits that are in force."""
        self._limits = store.load(connection)

    def usable(self, channel: str) -> bool:
        """Say whether messages of a channel may be taken now, as far as is known."""
        state = self.channels[channel]
        now = self._monotonic()
        return now >= state.rate_until and state.circuit.wait(now) <= 0 and self.contacts.wait(now) <= 0

    def probing(self, channel: str) -> bool:
        """Say whether a single message is to show whether a channel works again."""
        return self.channels[channel].circuit.state(self._monotonic()) != CLOSED

    def at_once(self, channel: str, most: int) -> int:
        """Return how many messages of a channel leave within half a second, so many of it to have in hand."""
        pace = self.channels[channel].pace
        return min(most, pace.at_once) if pace.seconds_per_message else most

    def forget(self) -> None:
        """Forget pauses and pace, as a sender does that is started anew."""
        self.channels.clear()
        self.domains.clear()
        self.contacts = Circuit()

    def wait(self, longest: float) -> float:
        """Return for how many seconds nothing becomes possible by time alone, at most `longest`."""
        now = self._monotonic()
        waits = [longest, *self._backlog.waits(now)]
        if (left := self.contacts.wait(now)) > 0:
            waits.append(left)
        for state in self.channels.values():
            waits += [left for left in (state.rate_until - now, state.circuit.wait(now)) if left > 0]
        return max(SHORTEST_WAIT, min(waits))

    def take_places(self, channel: str, wanted: int) -> int:
        """Take up to so many places in the limits of a channel; without limits there are enough."""
        buckets = self._limits.of_channel(channel)
        if not buckets:
            return wanted
        # No transaction around it: the places are taken at once, whatever becomes of the messages.
        with self._runtime.db.read() as connection:
            known = self.channels[channel].pace.seconds_per_message
            most = self.at_once(channel, wanted if known else min(wanted, _MOST_PLACES))
            grants = store.take(connection, dict.fromkeys(buckets, most))
            places = min(grant.places for grant in grants.values())
            store.give_back(connection, {bucket: grant.places - places for bucket, grant in grants.items()})
        if not places:
            wait = max(grant.full for grant in grants.values())
            until = self._monotonic() + min(LONGEST_WAIT, max(SHORTEST_WAIT, wait))
            self.channels[channel].rate_until = until
        return places

    def give_back(self, channel: str, places: int) -> None:
        """Give places of a channel back that were not used."""
        buckets = self._limits.of_channel(channel)
        if places > 0 and buckets:
            with self._runtime.db.read() as connection:
                store.give_back(connection, dict.fromkeys(buckets, places))

    def admit(self, channel: str, wanted: Sequence[tuple[str, str]]) -> Admission:
        """Take a place for each message, given by lane and address, in the limits of its domain."""
        domains = [domain_of(address) for _, address in wanted]
        puts: list[Put | None] = [self._circuit_put(channel, domain) for domain in domains]
        if not self._limits.has_domains(channel):
            return Admission(self, puts, [()] * len(wanted))
        needs = [
            () if put else tuple(self._limits.of_domain(channel, domain))
            for put, domain in zip(puts, domains, strict=True)
        ]
        asked = store.buckets_of(needs)
        if not asked:
            return Admission(self, puts, needs)
        with self._runtime.db.read() as connection:
            grants = store.take(connection, asked)
            left = {bucket: grant.places for bucket, grant in grants.items()}
            for index, (buckets, (lane, _)) in enumerate(zip(needs, wanted, strict=True)):
                if missing := [bucket for bucket in buckets if not left[bucket]]:
                    now = self._monotonic()
                    seconds = max(
                        self._backlog.put(bucket, lane, grants[bucket].wait, now) for bucket in missing
                    )
                    puts[index] = Put(seconds, f"{RATE_LIMITED}: {domains[index]}")
                    needs[index] = ()
                for bucket in needs[index]:
                    left[bucket] -= 1
            store.give_back(connection, left)
        return Admission(self, puts, needs)

    def judge(self, channel: str, addresses: Iterable[str], outcomes: Sequence[SendResult]) -> bool:
        """Learn from what became of messages that a channel got; returns whether the channel may get more."""
        now = self._monotonic()
        state = self.channels[channel]
        state.sent += sum(item.outcome is Outcome.ACCEPTED for item in outcomes)
        lost = next((item.reason for item in outcomes if is_untried(item)), None)
        if lost is not None:
            self.trip(channel, lost)
            return False
        for address, outcome in zip(addresses, outcomes, strict=True):
            good = outcome.outcome in (Outcome.ACCEPTED, Outcome.PERMANENT)
            key = (channel, domain_of(address))
            if good:
                state.failing.clear()
                if state.circuit.succeeded():
                    _log.info("channel works again", channel=channel)
                if (known := self.domains.pop(key, None)) is not None and known.state(now) != CLOSED:
                    _log.info("domain takes messages again", channel=channel, domain=key[1])
                continue
            # What fails for one domain or two is of these; the channel is judged by its probe, or when more of them
            # fail.
            state.failing.add(key[1])
            general = state.circuit.state(now) != CLOSED or "" in state.failing or len(state.failing) > 2
            if general and state.circuit.failed(now, outcome.reason):
                self._tell(channel, state.circuit, now)
            if key[1] and outcome.outcome is Outcome.TEMPORARY:
                circuit = self.domains.setdefault(key, Circuit())
                if circuit.failed(now, outcome.reason):
                    _log.warning("domain waits", channel=channel, domain=key[1], seconds=circuit.wait(now))
        metrics.note_circuit(channel, state.circuit.state(now))
        return state.circuit.state(now) == CLOSED

    def report(self) -> list[CircuitRow]:
        """Return how the channels that were used are, and the domains that fail."""
        now = self._monotonic()
        rows = [
            CircuitRow(
                channel=name,
                domain="",
                state=state.circuit.state(now),
                failures=state.circuit.failures,
                retry_seconds=state.circuit.wait(now),
                problem=safe_text(state.circuit.problem)[:500],
                sent_count=state.sent,
                seconds_per_message=state.pace.seconds_per_message,
            )
            for name, state in self.channels.items()
        ]
        return rows + [
            CircuitRow(
                channel=name,
                domain=domain,
                state=circuit.state(now),
                failures=circuit.failures,
                retry_seconds=circuit.wait(now),
                problem=safe_text(circuit.problem)[:500],
            )
            for (name, domain), circuit in self.domains.items()
            if circuit.state(now) != CLOSED
        ]

    def trip(self, channel: str, problem: str) -> None:
        """Leave a channel alone for a while: what fails now fails for all its messages."""
        now = self._monotonic()
        circuit = self.channels[channel].circuit
        circuit.trip(now, safe_text(problem)[:500])
        self._tell(channel, circuit, now)

    def miss_contacts(self, problem: str) -> None:
        """Leave contacts, which all messages need, alone for a while."""
        wait = self.contacts.trip(self._monotonic(), problem)
        _log.warning("contacts does not answer", seconds=round(wait, 1), problem=safe_text(problem))

    def _tell(self, channel: str, circuit: Circuit, now: float) -> None:
        metrics.note_circuit(channel, circuit.state(now))
        _log.warning(
            "channel waits",
            channel=channel,
            seconds=round(circuit.wait(now), 1),
            problem=safe_text(circuit.problem),
        )

    def _circuit_put(self, channel: str, domain: str) -> Put | None:
        circuit = self.domains.get((channel, domain)) if domain else None
        if circuit is None:
            return None
        now = self._monotonic()
        if circuit.places(now, 1):
            if circuit.state(now) != CLOSED:
                # One probe at a time; the others come back after it has been judged.
                circuit.hold(now)
            return None
        return Put(circuit.wait(now), f"{DOMAIN_UNAVAILABLE}: {domain}: {safe_text(circuit.problem)[:200]}")


class Admission:
    """Tell for each message whether it has its places, and give those back that were not used."""

    def __init__(
        self, throttle: Throttle, puts: Sequence[Put | None], buckets: Sequence[tuple[Bucket, ...]]
    ) -> None:
        self._throttle = throttle
        self.puts = puts
        self._buckets = buckets

    def give_back(self, unused: Iterable[int]) -> None:
        """Give back the places of the messages at these positions."""
        counts = store.buckets_of([self._buckets[index] for index in unused])
        if counts:
            with self._throttle._runtime.db.read() as connection:
                store.give_back(connection, counts)


def is_untried(result: SendResult) -> bool:
    """Say whether a message was not even tried, for a reason that holds for all messages of the channel."""
    return result.outcome is Outcome.TEMPORARY and result.reason.startswith(NOT_TRIED)


def was_tried(result: SendResult | None) -> bool:
    """Say whether the channel tried a message, so that it has used its place."""
    return result is not None and not is_untried(result)


def certainly_not_sent(result: SendResult | None) -> bool:
    """Say whether a message did certainly not reach its recipient."""
    return result is None or result.outcome in (Outcome.TEMPORARY, Outcome.PERMANENT)
