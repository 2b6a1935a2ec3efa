"""The sending of a simulation: planned messages are decided on in the order in which senders would, in simulated time.

Each channel has a queue of what is due, as it has a thread in a sender; the one whose next message comes first is next.
What would wait is put back into its queue. Queues live in the database, so that memory does not grow with the audience.
"""

from __future__ import annotations

import heapq
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from services.campaign.domain.buckets import Backlog, Buckets
from services.campaign.domain.decisions import (
    Facts,
    HourRules,
    Place,
    Stay,
    coupon_problem,
    over,
    refusal,
    stay_capped,
)
from services.campaign.domain.experiments import HoldOut
from services.campaign.domain.ledger import normalise_address
from services.campaign.domain.policies import Policies
from services.campaign.domain.rates import RATE_LIMITED, Bucket, RateLimits, domain_of
from services.campaign.domain.simulations import (
    AT_END,
    OPEN,
    REFUSE,
    SEND,
    Item,
    Simulation,
)
from services.campaign.store import coupons, experiments, policies, rates, suppressions
from services.campaign.store import simulations as store
from services.campaign.usecases import audience
from services.campaign.usecases.simulated_past import Past
from services.kit.log import safe_text
from services.kit.operations import OperationContext
from services.kit.runtime import Runtime

PAGE = 2_000
_MICRO = timedelta(microseconds=1)


@dataclass(slots=True)
class _Rules:
    """Hold what all messages are decided by."""

    policies: Policies
    limits: RateLimits
    hold_out: HoldOut | None
    codes: dict[str, int]
    """How many uploaded codes are left, by pool; pools that make codes have no bound."""
    expiries: dict[str, datetime]
    """When the coupons of pools expire that do."""


@dataclass(slots=True)
class _Queue:
    """Hold the next messages of a channel, and from when on there may be others in the database (None: none)."""

    channel: str
    kind: str
    heap: list[tuple[datetime, int, Item]] = field(default_factory=list)
    beyond: tuple[datetime, int] | None = None
    over: bool = False


class SimulatedSender:
    """Decide on the open messages of a simulation."""

    def __init__(self, runtime: Runtime, op: OperationContext, simulation: Simulation, past: Past) -> None:
        """Read the rules that are in force."""
        self._runtime = runtime
        self._op = op
        self._simulation = simulation
        self._past = past
        self._now = simulation.create_time
        with runtime.db.read() as connection:
            pools = coupons.pools(connection, store.pools(connection, simulation.id))
            self._rules = _Rules(
                policies=policies.load(connection),
                limits=rates.load(connection),
                hold_out=experiments.get_hold_out(connection),
                codes={
                    pool.id: coupons.free_count(connection, pool.id)
                    for pool in pools.values()
                    if pool.imported
                },
                expiries={
                    pool.id: pool.expire_time for pool in pools.values() if pool.expire_time is not None
                },
            )
            channels = store.open_channels(connection, simulation.id)
        self._hours = HourRules(self._rules.policies, runtime.settings.time_zone)
        self._buckets = Buckets()
        self._backlog = Backlog()
        self._queues = [_Queue(name, simulation.kinds.get(name, "")) for name in channels]
        self._decided: list[tuple[Item, str, str, datetime | None]] = []
        self._places: dict[UUID, list[Place]] = {}
        self._count = 0

    def run(self) -> None:
        """Decide on all of them; what the simulation's end leaves open waits."""
        while (queue := self._next()) is not None:
            due, _, item = heapq.heappop(queue.heap)
            if item.problem:
                self._settle(item, REFUSE, self._held_out(item, due) or item.problem)
                continue
            at = self._ready(item, due)
            if at > due:
                item.rate_seconds += (at - due).total_seconds()
                item.mark(RATE_LIMITED)
                if self._simulation.end_time is not None and at >= self._simulation.end_time:
                    self._stay(queue, item, Stay(f"{RATE_LIMITED}: {item.channel}", at))
                    continue
            self._decide(queue, item, at)
        self._flush()
        with self._runtime.db.transaction() as connection:
            store.stop_at_end(connection, self._simulation.id, AT_END)

    def _next(self) -> _Queue | None:
        """Return the queue whose first message leaves, or is refused or put back, before those of the others."""
        best: tuple[datetime, _Queue] | None = None
        for queue in self._queues:
            if not queue.heap and not queue.over:
                self._fetch(queue)
            if not queue.heap:
                continue
            if len(self._queues) == 1:
                return queue
            due, _, item = queue.heap[0]
            at = self._ready(item, due)
            if best is None or at < best[0]:
                best = (at, queue)
        return None if best is None else best[1]

    def _ready(self, item: Item, due: datetime) -> datetime:
        """Return when the limits of the channel have a place for a message that is due."""
        buckets = self._rules.limits.of_channel(item.channel)
        if not buckets:
            return due
        seconds = self._seconds(due)
        return self._later(due, max(self._buckets.wait(bucket, seconds) for bucket in buckets))

    def _decide(self, queue: _Queue, item: Item, at: datetime) -> None:
        if problem := self._held_out(item, at):
            return self._settle(item, REFUSE, problem)
        if stay := self._hours.stay(item.channel, item.topic, item.contact_id, item.zone, at):
            return self._stay(queue, item, stay)
        domain = self._rules.limits.of_domain(item.channel, item.domain)
        seconds = self._seconds(at)
        if waits := [(bucket, wait) for bucket in domain if (wait := self._buckets.wait(bucket, seconds))]:
            longest = max(self._backlog.put(bucket, "", wait, seconds) for bucket, wait in waits)
            until = self._later(at, longest)
            item.rate_seconds += (until - at).total_seconds()
            return self._stay(queue, item, Stay(f"{RATE_LIMITED}: {item.domain}", until))
        pool, rules = item.coupon_pool_id, self._rules
        if problem := coupon_problem(pool, rules.expiries.get(pool), rules.codes.get(pool), at):
            return self._settle(item, REFUSE, problem)
        if stay := self._over(item, at):
            return self._stay(queue, item, stay)
        self._leave(item, at, domain)
        return None

    def _held_out(self, item: Item, at: datetime) -> str:
        # Nothing else spoke against it when it was asked about, or it would not be here.
        passing = Facts(item.contact_id, True, "granted", "there", blocked=False)
        return refusal(item.topic, passing, self._rules.hold_out, at)

    def _over(self, item: Item, at: datetime) -> Stay | None:
        rules = self._rules.policies
        caps = rules.caps(item.channel, item.topic)
        if not caps:
            return None
        found = over(caps, self._places.get(item.contact_id, ()), item.channel, item.topic, at)
        return None if found is None else stay_capped(*found, defer=rules.defers(item.channel, item.topic))

    def _leave(self, item: Item, at: datetime, domain: Sequence[Bucket]) -> None:
        seconds = self._seconds(at)
        for bucket in (*self._rules.limits.of_channel(item.channel), *domain):
            self._buckets.take(bucket, 1, seconds)
        if item.coupon_pool_id in self._rules.codes:
            self._rules.codes[item.coupon_pool_id] -= 1
        rules = self._rules.policies
        if rules.counts_sends and not rules.exempts(item.channel, item.topic):
            self._places.setdefault(item.contact_id, []).append(Place(at, item.channel, item.topic))
        self._settle(item, SEND, "", at)

    def _stay(self, queue: _Queue, item: Item, stay: Stay) -> None:
        if stay.until is None:
            return self._settle(item, REFUSE, stay.reason)
        item.defer(safe_text(stay.reason)[:500], stay.until)
        self._put_back(queue, item, stay.until)
        return None

    def _put_back(self, queue: _Queue, item: Item, until: datetime) -> None:
        item.due_time = until
        end = self._simulation.end_time
        stays = end is not None and until >= end
        if stays or (queue.beyond is not None and (until, item.number) > queue.beyond):
            self._decided.append((item, OPEN, "", None))
        else:
            heapq.heappush(queue.heap, (until, item.number, item))

    def _settle(self, item: Item, decision: str, reason: str, at: datetime | None = None) -> None:
        self._decided.append((item, decision, reason[:500], at))
        self._count += 1
        if len(self._decided) >= 2 * PAGE:
            self._flush()

    def _flush(self) -> None:
        self._op.raise_if_cancelled()
        with self._runtime.db.transaction() as connection:
            store.decide(connection, self._simulation.id, self._decided)
            self._op.checkpoint(connection, completed=self._count, stage="deciding")
        self._decided.clear()

    def _fetch(self, queue: _Queue) -> None:
        """Read the next messages of a channel, and what has to be known of them."""
        self._flush()
        with self._runtime.db.read() as connection:
            items = store.open_items(
                connection, self._simulation.id, queue.channel, self._simulation.end_time, PAGE
            )
        queue.over = not items
        if not items:
            return
        last = items[-1]
        queue.beyond = (last.due_time, last.number) if len(items) == PAGE else None
        queue.heap = [(item.due_time, item.number, item) for item in items]
        by_topic: dict[str, list[Item]] = defaultdict(list)
        for item in items:
            if not item.asked:
                by_topic[item.topic].append(item)
        for topic, some in by_topic.items():
            self._ask(queue.kind, topic, some)
        self._count_places(items)

    def _ask(self, kind: str, topic: str, items: list[Item]) -> None:
        """Ask for zones, addresses and consents, and find out who must not be written to at all."""
        people = audience.recipients(
            self._runtime, list(dict.fromkeys(item.contact_id for item in items)), kind, topic
        )
        addresses: dict[int, str] = {}
        for item in items:
            person = people.get(item.contact_id)
            # A webhook's goes to the URL of its step.
            addresses[item.number] = (person.address if person else "") if item.template_id else "webhook"
        compared = {number: (kind, normalise_address(kind, text)) for number, text in addresses.items()}
        with self._runtime.db.read() as connection:
            pairs = {pair for pair in compared.values() if pair[1]}
            blocked = suppressions.since(connection, pairs)
        then = self._consents_of_then(kind, topic, items)
        for item in items:
            person = people.get(item.contact_id)
            consent = audience.consent_of(person) if person is not None else ""
            listed = blocked.get(compared[item.number])
            facts = Facts(
                item.contact_id,
                person is not None,
                then.get(item.contact_id, consent),
                addresses[item.number],
                listed is not None and (item.due_time >= self._now or listed <= item.due_time),
            )
            item.asked = True
            item.zone = person.time_zone if person is not None else ""
            item.domain = domain_of(addresses[item.number])
            item.problem = refusal(topic, facts, None, item.due_time)

    def _consents_of_then(self, kind: str, topic: str, items: list[Item]) -> Mapping[UUID, str]:
        found: dict[UUID, str] = {}
        # Of several messages to a contact in one page the last one's consent counts for all.
        due = {item.contact_id: item.due_time for item in items}
        for at, contacts in self._past.groups(due.items()):
            if at is not None:
                found |= self._past.consents(contacts, kind, topic, at) or {}
        return found

    def _count_places(self, items: list[Item]) -> None:
        """Know what the contacts of all that is in hand got lately, or would have got."""
        rules = self._rules.policies
        if not rules.counts_sends:
            return
        first = min(item.due_time for item in items)
        present = first >= self._now
        with self._runtime.db.read() as connection:
            # Read anew for those of other queues too: all that was decided is stored by now.
            wanted = {item.contact_id for queue in self._queues for _, _, item in queue.heap}
            rows = store.places(
                connection,
                self._simulation.id,
                wanted,
                min(item.due_time for queue in self._queues for _, _, item in queue.heap)
                - rules.longest_period,
                None if present else self._simulation.origin or "-",
            )
        self._places = {}
        for contact, place in rows:
            if not rules.exempts(place.channel, place.topic):
                self._places.setdefault(contact, []).append(place)

    def _seconds(self, moment: datetime) -> float:
        return (moment - self._simulation.start_time).total_seconds()

    def _later(self, moment: datetime, seconds: float) -> datetime:
        # Up to the next microsecond, so that the place is there.
        return moment + math.ceil(seconds * 1e6) * _MICRO if seconds > 0 else moment
