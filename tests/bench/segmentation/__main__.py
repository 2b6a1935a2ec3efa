"""`make bench-segmentation`: measure, print, and write .rapport/bench/segmentation.json."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.bench.report import Figure, finish
from tests.bench.segmentation import delay, expiry, growth, increment, rebuild, snapshots
from tests.bench.segmentation.database import filled

PARTS = ("rebuild", "snapshots", "pass", "increment", "expiry", "delay", "growth")


def say(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)


def main() -> int:
    """Measure the parts that are asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.segmentation", description=main.__doc__)
    parser.add_argument("--contacts", type=int, default=1_000_000)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--segments", type=int, default=200, help="in one pass and in increments")
    parser.add_argument("--windows", type=int, default=100_000, help="that lapse")
    parser.add_argument("--window-seconds", type=int, default=60, help="within which they lapse")
    parser.add_argument("--rate", type=int, default=2_000, help="orders a second, for the delay")
    parser.add_argument("--rate-seconds", type=int, default=10)
    parser.add_argument(
        "--growth", default="100000,1000000,4000000", help="numbers of contacts, with ten events each"
    )
    parser.add_argument("--parts", default=",".join(PARTS), help="of " + ", ".join(PARTS))
    parser.add_argument("--output", type=Path, default=Path(".rapport/bench/segmentation.json"))
    options = parser.parse_args()
    parts = options.parts.split(",")
    if unknown := set(parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    figures: list[Figure] = []
    if {"rebuild", "snapshots", "pass", "increment", "expiry"} & set(parts):
        with filled(options.contacts, options.events, say) as (seg, postmaster):
            if "rebuild" in parts:
                figures += rebuild.measure(seg, postmaster, say)
            if "snapshots" in parts:
                figures += snapshots.measure(seg, postmaster, say)
            if {"pass", "increment"} & set(parts):
                many = rebuild.put_in_force(seg, rebuild.rules(options.segments))
                if "pass" in parts:
                    figures += rebuild.measure_pass(seg, many, postmaster, say)
                if "increment" in parts:
                    figures += increment.measure(seg, options.segments, postmaster, say)
            if "expiry" in parts:
                windows = min(options.windows, options.contacts)
                figures += expiry.measure(seg, windows, options.window_seconds, say)
    if "delay" in parts:
        figures += delay.measure(options.rate, options.rate_seconds, say)
    if "growth" in parts:
        figures += growth.measure([int(size) for size in options.growth.split(",")], say)
    return finish(figures, options.output)


if __name__ == "__main__":
    sys.exit(main())
