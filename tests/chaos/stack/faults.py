"""What happens to which part when: all of it follows from a seed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from services.cli.processes import process_name
from services.kit.config import SERVICES

KINDS = (
    "kill api",
    "kill worker",
    "kill relay",
    "kill RabbitMQ",
    "kill PostgreSQL",
    "pause api",
    "pause worker",
    "pause RabbitMQ",
    "pause PostgreSQL",
    "restart api",
    "restart worker",
    "cut api",
    "cut RabbitMQ",
    "cut PostgreSQL",
)
"""kill: SIGKILL (of a relay: the end of its database session, which makes it one); pause: SIGSTOP, later SIGCONT;
restart: SIGTERM; cut: between the part and whoever uses it."""

KILLS = ("kill", "restart")
GAP_SECONDS = (2.0, 6.0)
AWAY_SECONDS = (0.5, 5.0)
FIRST_SECONDS = 2.0
_TALLY_SHARE = 0.3
"""Of the faults of workers, that strike those whose effects show best what had one twice."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Say what happens: so many seconds after the begin, of which kind, to whom, for how long.

    victim: a process, `RabbitMQ`, `PostgreSQL`, or a service whose relay or database it is. broken: of a cut, whether
    connections end at once; else they are silent until it heals.
    """

    at: float
    kind: str
    victim: str
    seconds: float
    broken: bool = False

    @property
    def action(self) -> str:
        """Return what is done."""
        return self.kind.partition(" ")[0]

    @property
    def part(self) -> str:
        """Return to which kind of part."""
        return self.kind.partition(" ")[2]

    @property
    def service(self) -> str:
        """Return the service that it strikes, empty for what all of them use."""
        name = self.victim.partition("-")[0]
        return name if name in SERVICES else ""

    def line(self) -> str:
        """Return it as a line."""
        how = "" if self.action != "cut" else " (broken)" if self.broken else " (silent)"
        away = "" if self.part == "relay" or self.action == "restart" else f" for {self.seconds:.1f} s"
        victim = "" if self.victim == self.part else f" {self.victim}"
        return f"{self.at:6.1f} s  {self.action} {self.part}{victim}{away}{how}"


def draw_faults(seed: int, seconds: float, replicas: int) -> list[Fault]:
    """Draw what happens in so many seconds; each kind comes before any comes again, as far as there is time."""
    draw = random.Random(seed)
    found: list[Fault] = []
    at = FIRST_SECONDS
    kinds: list[str] = []
    while at < seconds:
        if not kinds:
            kinds = draw.sample(KINDS, len(KINDS))
        kind = kinds.pop()
        found.append(
            Fault(
                at,
                kind,
                _victim(draw, *kind.split(), replicas),
                draw.uniform(*AWAY_SECONDS),
                broken=kind.startswith("cut") and draw.random() < 0.5,
            )
        )
        at += draw.uniform(*GAP_SECONDS)
    return found


def _victim(draw: random.Random, action: str, part: str, replicas: int) -> str:
    # Those that the load makes work are hit more often.
    service = draw.choice((*SERVICES, "contacts", "sales", "segmentation"))
    if part == "worker" and draw.random() < _TALLY_SHARE:
        service = "tally"
    if part in ("api", "worker"):
        return process_name(service, part, draw.randrange(replicas))
    # Each service has a database and a way to it of its own, all in one server.
    return service if part == "relay" or (action, part) == ("cut", "PostgreSQL") else part


def kills(faults: Sequence[Fault]) -> int:
    """Return how many of these end something."""
    return sum(fault.action in KILLS for fault in faults)
