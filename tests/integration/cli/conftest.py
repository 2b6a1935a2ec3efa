"""Services over real ports with a real worker, for the command line to talk to."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.kit.auth import add_tokens, new_token
from services.kit.supervise.probes import http_ok
from tests.support.cli import Ran, run_cli
from tests.support.postgres import DatabaseFactory
from tests.support.processes import WORKER, start_process
from tests.support.stack import Served, serve
from tests.support.toy import free_base_port
from tests.support.waiting import until

SECRET = "a secret of the tests only"


@dataclass
class Office:
    """A served service, its database, and the command line pointed at it."""

    served: Served
    url: str
    token: str

    def rapport(self, *arguments: str, token: str | None = None) -> Ran:
        """Run a command against the service, with the owner's token or another."""
        ports = self.served.ports
        return run_cli(
            *arguments,
            environment={
                "RAPPORT_ADDRESS": f"127.0.0.1:{ports.api}",
                "RAPPORT_EVENTS_ADDRESS": f"127.0.0.1:{ports.events}",
                "RAPPORT_TOKEN": self.token if token is None else token,
            },
        )


@contextmanager
def office(service: str, url: str, settings: Mapping[str, object]) -> Iterator[Office]:
    """Serve a service, with its worker in a process of its own."""
    token = new_token()
    with serve(
        service, url, tokens=[("cli", ("*",), token)], settings={"secret_key": SECRET, **settings}
    ) as served:
        with _worker(served, url):
            yield Office(served, url, token)


@contextmanager
def _worker(served: Served, url: str) -> Iterator[None]:
    base, token = free_base_port(), new_token()
    add_tokens(served.folder / "tokens.json", [("worker", ("*",), token)])
    environment = {key: value for key, value in os.environ.items() if not key.startswith("RAPPORT_")}
    environment |= {
        "RAPPORT_DATA_DIR": str(served.folder),
        "RAPPORT_BASE_PORT": str(base),
        f"RAPPORT_{served.service.upper()}_DATABASE_URL": url,
        "RAPPORT_CLOCK": f"fixed:{served.clock.instant.isoformat()}",
        "RAPPORT_SECRET_KEY": SECRET,
        "RAPPORT_TOKEN": token,
        "RAPPORT_PLUGINS_ALLOW": "rfm,loyalty",
    }
    port = served.runtime.settings.model_copy(update={"base_port": base}).metrics_port(
        served.service, "worker"
    )
    ready = http_ok("127.0.0.1", port, "/healthz")
    with tempfile.TemporaryFile() as log:
        process = start_process(WORKER, served.service, env=environment, log=log)

        def said() -> str:
            log.seek(0)
            return log.read().decode(errors="replace")[-3000:]

        try:

            def is_ready() -> bool:
                assert process.poll() is None, said()
                return ready()

            until(is_ready, f"the worker of {served.service} is ready")
            yield
        finally:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def contacts(make_module_database: DatabaseFactory) -> Iterator[Office]:
    """Contacts with its worker."""
    with office("contacts", make_module_database.with_tables("contacts"), {"default_region": "VN"}) as made:
        yield made


@pytest.fixture(scope="module")
def segmentation(make_module_database: DatabaseFactory) -> Iterator[Office]:
    """Segmentation with its worker."""
    url = make_module_database.with_tables("segmentation")
    with office("segmentation", url, {"plugins_allow": ("rfm", "loyalty")}) as made:
        yield made


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
