"""One chaos run: what is killed when, and what must hold afterwards."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from services.campaign.domain.ledger import FINAL, LONGEST_DELAY
from services.campaign.usecases.sending import HAND_OVER
from tests.chaos.campaign.receiver import received
from tests.chaos.campaign.stack import Stack, names_of, open_stack
from tests.chaos.checks import Check, exactly

_LOOK_SECONDS = 0.005
_FIRST, _LAST = 0.01, 0.95
"""Kills fall between these shares of the messages."""


@dataclass(frozen=True, slots=True)
class Kill:
    """Say what is killed once so many messages have arrived, how long after that, and for how long it stays away."""

    at: int
    victim: str
    after_seconds: float
    away_seconds: float


@dataclass(frozen=True, slots=True)
class Tally:
    """Hold what the ledger and the mail server say of a run.

    lost: sent by the ledger but not received, or neither final nor unknown. doubled: received more than once. denied:
    received, while the ledger holds it for failed, suppressed or cancelled. in_flight: how many messages were at most
    on the wire when something was killed.
    """

    planned: int
    sent: int
    unknown: int
    lost: int
    doubled: int
    denied: int
    in_flight: int

    def line(self) -> str:
        """Return the tally as one line."""
        names = ("planned", "sent", "unknown", "lost", "doubled")
        return ", ".join(f"{name} {getattr(self, name):,}" for name in names)

    def checks(self, messages: int) -> list[Check]:
        """Compare with what must hold."""
        return [
            exactly("planned", messages, self.planned),
            Check(
                "sent", f">= {messages - self.in_flight}", self.sent, self.sent >= messages - self.in_flight
            ),
            Check("unknown", f"<= {self.in_flight}", self.unknown, self.unknown <= self.in_flight),
            exactly("lost", 0, self.lost),
            exactly("doubled", 0, self.doubled),
            exactly("received but denied", 0, self.denied),
        ]


def draw_kills(seed: int, messages: int, senders: int, count: int) -> list[Kill]:
    """Draw what is killed when; as long as there are enough kills, each kind is among the victims."""
    draw = random.Random(seed)
    victims = list(names_of(senders))
    kinds = [draw.choice(victims[:senders]), *victims[senders:]]
    chosen = kinds[:count] + [draw.choice(victims) for _ in range(count - len(kinds))]
    draw.shuffle(chosen)
    places = sorted(draw.sample(range(int(messages * _FIRST), int(messages * _LAST)), count))
    return [
        Kill(at, victim, draw.uniform(0, 0.05), draw.uniform(0, 0.5))
        for at, victim in zip(places, chosen, strict=True)
    ]


def run(
    folder: Path,
    *,
    messages: int,
    kills: Sequence[Kill],
    senders: int,
    seconds: float,
    say: Callable[[str], None] = lambda text: None,
) -> Tally:
    """Send a campaign while things are killed and return the tally; after `seconds` of real time it is made anyway."""
    deadline = time.monotonic() + seconds
    with open_stack(folder, messages, senders) as stack:
        for kill in kills:
            if not _reached(stack, kill.at, deadline):
                say(f"only {stack.received():,} messages arrived, as more are unknown or the time is over")
                break
            threading.Event().wait(kill.after_seconds)
            say(f"{stack.received():>7,} received: {kill.victim} is killed")
            _strike(stack, kill)
        _finish(stack, deadline)
        in_flight = sum(_most_in_flight(kill.victim, senders) for kill in kills)
        return tally(stack.states(), received(stack.receiver.journal), in_flight)


def _strike(stack: Stack, kill: Kill) -> None:
    away = threading.Event()
    match kill.victim.split():
        case ["sender", number]:
            stack.kill_sender(int(number) - 1)
            away.wait(kill.away_seconds)
            stack.start_sender(int(number) - 1)
        case ["PostgreSQL"]:
            stack.kill_database()
            away.wait(kill.away_seconds)
            stack.server.start()
        case _:
            stack.receiver.kill()
            away.wait(kill.away_seconds)
            stack.receiver.start()


def _most_in_flight(victim: str, senders: int) -> int:
    """Return how many messages may be on the wire when a victim dies.

    With a sender go those that it handed over. With the database all senders may lose what they handed over: whether
    the commit came to pass is not known to them. With the mail server each connection loses the message whose
    confirmation was to come.
    """
    if victim.startswith("sender"):
        return HAND_OVER
    return senders * (HAND_OVER if victim == "PostgreSQL" else 1)


def _finish(stack: Stack, deadline: float) -> None:
    """Wait until every message is accounted for; what waits for its next attempt is reached by moving the clock."""
    while stack.open() and time.monotonic() < deadline:
        if stack.waiting():
            stack.pass_time(LONGEST_DELAY + timedelta(hours=1))
        threading.Event().wait(_LOOK_SECONDS * 10)


def _reached(stack: Stack, count: int, deadline: float) -> bool:
    """Wait until so many messages have arrived; False when no more will, or the time is over."""
    pause = threading.Event()
    next_look = time.monotonic() + _LOOK_SECONDS * 100
    while stack.received() < count:
        now = time.monotonic()
        if now >= deadline:
            return False
        if now >= next_look:
            if not stack.open():
                return stack.received() >= count
            if stack.waiting():
                stack.pass_time(LONGEST_DELAY + timedelta(hours=1))
            next_look = now + _LOOK_SECONDS * 100
        pause.wait(_LOOK_SECONDS)
    return True


def tally(states: dict[str, str], taken: dict[str, int], in_flight: int) -> Tally:
    """Compare the ledger with what the receiving server holds."""
    sent = {key for key, state in states.items() if state == "sent"}
    unknown = {key for key, state in states.items() if state == "unknown"}
    unfinished = {key for key, state in states.items() if state not in (*FINAL, "unknown")}
    return Tally(
        planned=len(states),
        sent=len(sent),
        unknown=len(unknown),
        lost=len(sent - taken.keys()) + len(unfinished),
        doubled=sum(1 for times in taken.values() if times > 1),
        denied=len(taken.keys() - sent - unknown),
        in_flight=in_flight,
    )
