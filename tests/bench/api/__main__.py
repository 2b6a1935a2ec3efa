"""`make bench-api`: measure, print, and write .rapport/bench/api.json."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.bench.api import calls, events, guard, imports, orders, replicas
from tests.bench.report import Figure, finish

PARTS = ("calls", "guard", "events", "import", "orders", "replicas")


def say(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)


def main() -> int:
    """Measure the parts that are asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.api", description=main.__doc__)
    parser.add_argument("--contacts", type=int, default=10_000, help="on which the calls are made")
    parser.add_argument("--calls", type=int, default=2_000, help="of each kind in a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--events", type=int, default=100_000, help="written at once")
    parser.add_argument("--rate", type=int, default=2_000, help="events a second, for the delays")
    parser.add_argument("--rate-seconds", type=int, default=20)
    parser.add_argument("--rows", type=int, default=1_000_000, help="that are imported")
    parser.add_argument("--batches", type=int, default=10, help="of 10,000 lines of orders that are ingested")
    parser.add_argument("--writes", type=int, default=6_000, help="with each number of replicas")
    parser.add_argument("--process", default="", help="of which there are replicas (the busiest)")
    parser.add_argument("--parts", default=",".join(PARTS), help="of " + ", ".join(PARTS))
    parser.add_argument("--output", type=Path, default=Path(".rapport/bench/api.json"))
    options = parser.parse_args()
    parts = options.parts.split(",")
    if unknown := set(parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    figures: list[Figure] = []
    if "calls" in parts:
        figures += calls.measure(say, contacts=options.contacts, calls=options.calls, rounds=options.rounds)
    if "guard" in parts:
        figures += guard.measure(say, calls=options.calls, rounds=options.rounds)
    if "events" in parts:
        figures += events.measure(say, events=options.events, rate=options.rate, seconds=options.rate_seconds)
    if "import" in parts:
        figures += imports.measure(say, rows=options.rows)
    if "orders" in parts:
        figures += orders.measure(say, batches=options.batches)
    if "replicas" in parts:
        figures += replicas.measure(say, writes=options.writes, process=options.process)
    return finish(figures, options.output)


if __name__ == "__main__":
    sys.exit(main())
