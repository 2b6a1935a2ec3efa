"""A steady load, as careful clients make it: what was not acknowledged is sent again, just the same, until it is.

A contact is known again by its identity, an order by its source and number: so a repetition has no effect of its own.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import count

from rapport_client import Rapport
from rapport_client.errors import NotFound, RapportError
from rapport_client.retry import RetryPolicy

TIMEOUT_SECONDS = 10.0
"""Of one call with the retries that the client's policy makes."""

SOURCE = "chaos"
PRODUCT, PRICE = "cup", 3
REGIONS = ("VN", "US", "DE")
UPDATES = 0.4
"""Share of upserts that change a contact that is there."""


@dataclass(frozen=True, slots=True)
class Call:
    """Say how a call went: when it began, how long it took, with which attempt it succeeded, 0 for none."""

    kind: str
    service: str
    began: float
    seconds: float
    attempts: int


class _Counted(RetryPolicy):
    """The client's policy, which also counts the attempts of one call."""

    __slots__ = ("failed",)

    def __init__(self) -> None:
        super().__init__()
        object.__setattr__(self, "failed", 0)

    def delay(self, attempt: int, error: RapportError) -> float:
        object.__setattr__(self, "failed", attempt)
        return super().delay(attempt, error)


@dataclass
class Acknowledged:
    """Hold all that the services said they have: what it must be in the end, and how often it was written.

    contacts: (display name, region) by resource name; people: resource name by external id; orders: (contact, quantity)
    by external id; order_names: resource names, the same way; updates: of contacts that were there.
    """

    contacts: dict[str, tuple[str, str]] = field(default_factory=dict)
    people: dict[str, str] = field(default_factory=dict)
    orders: dict[str, tuple[str, int]] = field(default_factory=dict)
    order_names: dict[str, str] = field(default_factory=dict)
    updates: int = 0


class Load:
    """Threads that write and read at a rate (calls a second in all) until `stop`."""

    def __init__(
        self, rapport: Rapport, seed: int, rate: float, *, writers: int = 4, readers: int = 4
    ) -> None:
        self.acknowledged = Acknowledged()
        self.calls: list[Call] = []
        self.repeated = 0
        self.problems: list[str] = []
        self._rapport = rapport
        self._pause = (writers + readers) / rate
        self._names: list[str] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._give_up = threading.Event()
        self._began = 0.0
        draws = [random.Random(f"{seed} {number}") for number in range(writers + readers)]
        self._threads = [
            threading.Thread(target=self._run, args=(self._writer(number, draw), draw), daemon=True)
            for number, draw in enumerate(draws[:writers])
        ] + [
            threading.Thread(target=self._run, args=(self._reader(draw), draw), daemon=True)
            for draw in draws[writers:]
        ]

    def start(self) -> None:
        """Begin."""
        self._began = time.monotonic()
        for thread in self._threads:
            thread.start()

    def stop(self, patience: float) -> bool:
        """Begin nothing new, and wait until all that was begun is acknowledged; False when it is not in time."""
        self._stop.set()
        until = time.monotonic() + patience
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        alive = any(thread.is_alive() for thread in self._threads)
        self._give_up.set()
        return not alive

    def _run(self, act: Callable[[], None], draw: random.Random) -> None:
        try:
            while not self._stop.wait(draw.uniform(0.5, 1.5) * self._pause):
                act()
        except Exception as error:  # told in the end, as a check that fails
            self.problems.append(f"{type(error).__name__}: {error}"[:500])

    def _call(self, kind: str, service: str, function: Callable[..., object]) -> object | None:
        """Make a call once as a client does, and note how it went; None when it failed in the end."""
        policy = _Counted()
        began = time.monotonic()
        answer, attempts = None, 0
        try:
            answer = function(_retry=policy, _timeout=TIMEOUT_SECONDS)
            attempts = policy.failed + 1  # type: ignore[attr-defined]
        except NotFound:
            # A read model has not heard of it yet: an answer like any other.
            answer, attempts = NotFound, policy.failed + 1  # type: ignore[attr-defined]
        except RapportError as error:
            if error.code.name in (
                "INVALID_ARGUMENT",
                "PERMISSION_DENIED",
                "UNAUTHENTICATED",
                "ALREADY_EXISTS",
            ):
                raise  # no fault may bring these about
        with self._lock:
            took = time.monotonic() - began
            self.calls.append(Call(kind, service, began - self._began, took, attempts))
        return answer

    def _insist(self, service: str, function: Callable[..., object]) -> object:
        """Make a write until it is acknowledged, always the same."""
        while True:
            answer = self._call("write", service, function)
            if answer is NotFound:
                raise LookupError("a write met something that is not there any more")
            if answer is not None:
                return answer
            self.repeated += 1
            if self._give_up.wait(self._pause):
                raise TimeoutError("a write was never acknowledged")

    def _writer(self, number: int, draw: random.Random) -> Callable[[], None]:
        ids = count()
        mine: list[str] = []

        def upsert() -> None:
            again = bool(mine) and draw.random() < UPDATES
            key = draw.choice(mine) if again else f"{number}-{next(ids)}"
            write, region = f"{number}-{next(ids)}", draw.choice(REGIONS)
            identity = {"type": "TYPE_EXTERNAL", "source": SOURCE, "value": key}
            contact = {
                "display_name": f"Person {write}",
                "address": {"region_code": region},
                "identities": [identity],
            }
            answer = self._insist(
                "contacts",
                lambda **options: self._rapport.contacts.upsert_contact(contact=contact, **options),
            )
            name = str(answer.contact.name)  # type: ignore[attr-defined]
            with self._lock:
                held = self.acknowledged
                if held.people.setdefault(key, name) != name:
                    self.problems.append(f"{key} is {name}, and was {held.people[key]}")
                held.contacts[name] = (f"Person {write}", region)
                held.updates += again
                self._names.append(name)
            if not again:
                mine.append(key)

        def order() -> None:
            with self._lock:
                contact = draw.choice(self._names)
            key, quantity = f"{number}-{next(ids)}", draw.randrange(1, 5)
            price = {"currency_code": "EUR", "units": PRICE}
            line = {"product_code": PRODUCT, "quantity": str(quantity), "unit_price": price}
            placed = {
                "contact": contact,
                "source": SOURCE,
                "external_id": key,
                "order_time": datetime.now(UTC),
                "lines": [line],
            }
            answer = self._insist(
                "sales", lambda **options: self._rapport.sales.place_order(order=placed, **options)
            )
            with self._lock:
                self.acknowledged.orders[key] = (contact, quantity)
                self.acknowledged.order_names[key] = str(answer.order.name)  # type: ignore[attr-defined]

        def act() -> None:
            (order if self._names and draw.random() < 0.5 else upsert)()

        return act

    def _reader(self, draw: random.Random) -> Callable[[], None]:
        rapport = self._rapport
        asks: list[tuple[str, Callable[..., object]]] = [
            ("contacts", lambda name, **options: rapport.contacts.get_contact(name=name, **options)),
            (
                "segmentation",
                lambda name, **options: rapport.segmentation.get_profile(contact=name, **options),
            ),
            (
                "segmentation",
                lambda name, **options: rapport.segmentation.list_contact_segments(contact=name, **options),
            ),
            (
                "sales",
                lambda name, **options: rapport.sales.list_orders(contact=name, page_size=10, **options),
            ),
            ("care", lambda name, **options: rapport.care.list_cases(contact=name, page_size=10, **options)),
            (
                "campaign",
                lambda name, **options: rapport.campaign.list_messages(contact=name, page_size=10, **options),
            ),
        ]

        def act() -> None:
            with self._lock:
                name = draw.choice(self._names) if self._names else ""
            if name:
                service, ask = draw.choice(asks)
                self._call("read", service, partial(ask, name))

        return act
