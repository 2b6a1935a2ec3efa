"""`make bench-campaign`: measure, print, and write .rapport/bench/campaign.json."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.bench.campaign import journeys, limits, planning, sending, signing
from tests.bench.campaign.stack import open_stack
from tests.bench.report import Figure, finish

PARTS = ("send", "plan", "limits", "journey", "sign")


def say(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)


def main() -> int:
    """Measure the parts that are asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.campaign", description=main.__doc__)
    parser.add_argument("--messages", type=int, default=100_000, help="of the campaign that is sent")
    parser.add_argument(
        "--rounds", type=int, default=10, help="in which it is sent, by turns with the bare loop"
    )
    parser.add_argument("--senders", type=int, default=2, help="processes, as many as cores")
    parser.add_argument("--recipients", type=int, default=1_000_000, help="that are planned")
    parser.add_argument("--people", type=int, default=100_000, help="on the journey of five steps")
    parser.add_argument("--rate", type=int, default=300, help="a second, of the limit that senders share")
    parser.add_argument("--rate-seconds", type=int, default=30)
    parser.add_argument("--parts", default=",".join(PARTS), help="of " + ", ".join(PARTS))
    parser.add_argument("--output", type=Path, default=Path(".rapport/bench/campaign.json"))
    options = parser.parse_args()
    parts = options.parts.split(",")
    if unknown := set(parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    figures: list[Figure] = []
    if "sign" in parts:
        figures += signing.measure(say)
    with open_stack(say) as stack:
        if {"send", "limits"} & set(parts):
            stack.fill(max(options.messages, options.rate * options.rate_seconds))
        if "send" in parts:
            figures += sending.measure(stack, options.messages, options.senders, options.rounds, say)
        if "limits" in parts:
            figures += limits.measure(stack, options.rate, options.rate_seconds, say)
        if "plan" in parts:
            figures += planning.measure(stack, options.recipients, say)
        if "journey" in parts:
            figures += journeys.measure(stack, options.people, say)
    return finish(figures, options.output)


if __name__ == "__main__":
    sys.exit(main())
