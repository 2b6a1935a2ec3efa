"""`make chaos-campaign`: run, print, and write .rapport/bench/chaos-campaign.json."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from tests.chaos.campaign.run import draw_kills, run
from tests.chaos.checks import show


def say(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)


def main() -> int:
    """Kill senders, PostgreSQL and the SMTP server while a campaign goes out, and account for every message."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.campaign", description=main.__doc__)
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--senders", type=int, default=3)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1, help="what is killed when follows from it")
    parser.add_argument("--seconds", type=float, default=900, help="after which the run is cut short")
    parser.add_argument("--output", type=Path, default=Path(".rapport/bench/chaos-campaign.json"))
    options = parser.parse_args()
    kills = draw_kills(options.seed, options.messages, options.senders, options.kills)
    say(f"seed {options.seed}: {options.messages:,} messages, {options.senders} senders, {len(kills)} kills")
    with tempfile.TemporaryDirectory() as folder:
        found = run(
            Path(folder),
            messages=options.messages,
            kills=kills,
            senders=options.senders,
            seconds=options.seconds,
            say=say,
        )
    say(found.line())
    checks = found.checks(options.messages)
    ok = show(checks)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps([asdict(check) for check in checks], indent=2) + "\n", "utf-8")
    say(f"the same as JSON: {options.output}")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
