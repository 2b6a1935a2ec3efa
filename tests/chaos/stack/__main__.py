"""`make chaos`: run, print, and write .rapport/bench/chaos.json."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import tempfile
import warnings
from dataclasses import asdict
from pathlib import Path

from tests.chaos import checks
from tests.chaos.stack import report
from tests.chaos.stack.faults import draw_faults, kills

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message="\\s*Eventlet is deprecated")
    from tests.chaos.stack.run import run


def say(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)


def main() -> int:
    """Kill, pause and cut off parts of a stack under load, and account for everything that it acknowledged."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.stack", description=main.__doc__)
    parser.add_argument("--seed", type=int, default=1, help="what happens when follows from it")
    parser.add_argument("--seconds", type=float, default=120, help="how long faults strike")
    parser.add_argument("--rate", type=float, default=40, help="calls a second")
    parser.add_argument("--replicas", type=int, default=2, help="of each process")
    parser.add_argument(
        "--keep", type=Path, help="folder for the logs of all processes; default: they are deleted"
    )
    parser.add_argument("--output", type=Path, default=Path(".rapport/bench/chaos.json"))
    options = parser.parse_args()
    # The environment of whoever starts this must not choose another stack, broker or clock.
    for name in [name for name in os.environ if name.startswith("RAPPORT_")]:
        del os.environ[name]
    logging.getLogger("grpc").setLevel(logging.CRITICAL)
    faults = draw_faults(options.seed, options.seconds, options.replicas)
    say(f"seed {options.seed}: {len(faults)} faults in {options.seconds:g} s, {options.replicas} replicas")
    with tempfile.TemporaryDirectory(prefix="rapport-chaos-") as temporary:
        folder = (options.keep or Path(temporary)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        found = run(
            folder,
            faults,
            seed=options.seed,
            seconds=options.seconds,
            rate=options.rate,
            replicas=options.replicas,
            say=say,
        )
    ok = checks.show(found.checks)
    report.show(found.available, found.recovered)
    for note in found.notes:
        say(f"! {note}")
    content = {
        "seed": options.seed,
        "seconds": options.seconds,
        "replicas": options.replicas,
        "kills": kills(found.struck),
        "faults": [{**asdict(fault), "struck": fault in found.struck} for fault in faults],
        "checks": [asdict(check) for check in found.checks],
        "availability": [asdict(item) for item in found.available],
        "recovery": [asdict(item) for item in found.recovered],
        "settled_seconds": found.settled_seconds,
        "notes": found.notes,
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    say(f"the same as JSON: {options.output}")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
