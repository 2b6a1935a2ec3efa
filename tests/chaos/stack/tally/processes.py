"""The tally's processes: workers like those of the services, on a database of their own."""

from __future__ import annotations

import sys
from pathlib import Path

from services.cli.processes import Grants, process_name
from services.kit.config import Settings
from services.kit.db import make_engine
from services.kit.supervise import probes
from services.kit.supervise.spec import ProcessSpec
from tests.chaos.stack.tally.models import metadata

NAME = "tally"
_ROOT = Path(__file__).parents[4]


def create_tables(url: str) -> None:
    """Create the tables of the tally."""
    engine = make_engine(url)
    metadata.create_all(engine)
    engine.dispose()


def specs(settings: Settings, grants: Grants, url: str, replicas: int, first: int) -> list[ProcessSpec]:
    """Return so many workers of the tally.

    url: of its database; first: the number of the first replica whose ports nobody uses.
    """
    found = []
    for number in range(replicas):
        own = settings.model_copy(update={"replica": first + number})
        port = own.metrics_port("contacts", "worker")
        found.append(
            ProcessSpec(
                process_name(NAME, "worker", number),
                [
                    *(sys.executable, "-m", "services.kit.bus.launcher"),
                    *("contacts", "--package", "tests.chaos.stack.tally"),
                ],
                env={
                    **grants.environment("contacts"),
                    "RAPPORT_CONTACTS_DATABASE_URL": url,
                    "RAPPORT_REPLICA": str(own.replica),
                },
                ready=probes.http_ok(settings.host, port, "/healthz"),
                alive=probes.http_answers(settings.host, port, "/healthz"),
                stop_grace=settings.shutdown_grace_seconds + 5,
                cwd=_ROOT,
            )
        )
    return found
