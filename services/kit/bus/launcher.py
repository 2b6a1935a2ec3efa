"""Start a worker process: `python -m services.kit.bus.launcher contacts`.

This module imports nothing that could load sockets or threads before the process is patched.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence


def run_worker(service: str, package: str = "") -> int:
    """Run a service's worker until SIGTERM or SIGINT and return the exit status.

    package: the service's package, by default `services.<service>`; it has `worker.Worker` and `models.kit`.
    """
    _patch()
    from services.kit.bus.process import run

    return run(service, package or f"services.{service}")


def preload(modules: Sequence[str]) -> None:
    """Import what workers need, patched as they are: for a fork server."""
    _patch()
    from services.kit.preload import load

    load(["services.kit.bus.process", *modules])


def _patch() -> None:
    # eventlet's own resolver does not know all of /etc/hosts and nsswitch.conf.
    os.environ.setdefault("EVENTLET_NO_GREENDNS", "yes")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import eventlet

        # Threads stay real: gRPC, SQLAlchemy's pool and the handlers' bodies need them.
        eventlet.monkey_patch(thread=False)


def main() -> int:
    """Take the service, and `--package` for one outside of `services`, from the command line."""
    import argparse

    parser = argparse.ArgumentParser(
        prog="python -m services.kit.bus.launcher", description="Run a service's worker."
    )
    parser.add_argument("service", help="name of the service, such as contacts")
    parser.add_argument("--package", default="", help="package of the service; default: services.<service>")
    arguments = parser.parse_args()
    return run_worker(arguments.service, arguments.package)


if __name__ == "__main__":
    sys.exit(main())
