"""A whole segmentation service: stub publishers, its API, and its worker in a process of its own."""

from __future__ import annotations

import json
import os
import urllib.request
from datetime import datetime
from pathlib import Path
from typing import Any

from rapport.events.v1 import events_pb2
from rapport_client import Rapport

from services.kit.auth import create_tokens
from services.kit.clock import FileClock, write_clock
from services.kit.config import Settings
from services.kit.events.payload import unpack
from services.kit.names import parse_name
from services.kit.outbox import NewEvent, append
from services.kit.process import ApiProcess
from services.kit.runtime import make_runtime
from tests.support.postgres import DatabaseFactory
from tests.support.processes import WORKER, ServiceProcess, start_process
from tests.support.rabbit import clean_environment
from tests.support.segmentation import NOW
from tests.support.toy import ROOT, Source, eventually, free_base_port


class Stack:
    """Stub publishers, the API in this process, and the worker in one of its own."""

    def __init__(self, folder: Path, make_database: DatabaseFactory) -> None:
        """Start the publishers and the API."""
        self.folder = folder
        self.clock_file = folder / "clock"
        self.set_clock(NOW)
        tokens = create_tokens(folder / "tokens.json")
        self.url = url = make_database.with_tables("segmentation")
        base = free_base_port()
        self.settings = Settings(
            data_dir=folder,
            base_port=base,
            segmentation_database_url=url,
            clock=f"file:{self.clock_file}",
            secret_key="a secret of the tests only",
            token=tokens["segmentation"],
            plugins_allow=("loyalty", "rfm"),
        )
        self.environment = {
            **clean_environment(),
            "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'protos'}{os.pathsep}{ROOT / 'protos' / 'gen'}",
            "RAPPORT_DATA_DIR": str(folder),
            "RAPPORT_BASE_PORT": str(base),
            "RAPPORT_SEGMENTATION_DATABASE_URL": url,
            "RAPPORT_CLOCK": f"file:{self.clock_file}",
            "RAPPORT_SECRET_KEY": "a secret of the tests only",
            "RAPPORT_TOKEN": tokens["segmentation"],
            "RAPPORT_PLUGINS_ALLOW": "loyalty,rfm",
        }
        self.contacts = Source("contacts", make_database("contacts"), self.settings)
        self.sales = Source("sales", make_database("sales"), self.settings)
        for source in (self.contacts, self.sales):
            source.start_relay()
            source.start_server()
        self.runtime = make_runtime("segmentation", "api", self.settings, clock=FileClock(self.clock_file))
        self.process = ApiProcess("services.segmentation", self.runtime)
        self.process.start()
        self.rapport = Rapport(
            address="127.0.0.1:{port}",
            events_address="127.0.0.1:{port}",
            base_port=base,
            token=tokens["owner"],
            timeout=60,
        )
        self.api: Any = self.rapport.segmentation
        self.worker: ServiceProcess | None = None

    def set_clock(self, instant: datetime) -> None:
        """Move the clock of all processes."""
        write_clock(self.clock_file, instant)

    def start_worker(self) -> None:
        """Start the worker process and wait until it is ready."""
        with (self.folder / "worker.log").open("ab") as log:
            self.worker = start_process(WORKER, "segmentation", env=self.environment, log=log)
        eventually(lambda: self.health().get("ready"), 90)

    def health(self) -> dict[str, Any]:
        """Return what the worker says of itself."""
        assert self.worker is not None
        assert self.worker.poll() is None, (self.folder / "worker.log").read_text()
        port = self.settings.metrics_port("segmentation", "worker")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as response:
                return dict(json.load(response))
        except OSError:
            return {}

    def kill_worker(self) -> None:
        """End the worker with SIGKILL."""
        assert self.worker is not None
        self.worker.kill()
        self.worker.wait(20)
        self.worker = None

    def publish(self, *events: events_pb2.Event) -> None:
        """Let the stub publishers write events."""
        for source in (self.contacts, self.sales):
            mine = [item for item in events if item.source == source.service]
            with source.db.transaction() as connection:
                append(connection, source.kit.outbox, [_new(item) for item in mine], record_time=NOW)

    def define(self, id_: str, rule: str) -> None:
        """Create a segment and wait for its first rebuild."""
        started = self.api.create_segment(segment_id=id_, segment={"rule": rule}).rebuild
        result = self.api.wait_operation(started, timeout=60)
        assert [item.segment for item in result.segments] == [f"segments/{id_}"]

    def members(self, id_: str) -> list[str]:
        """Return the members of a segment."""
        return list(self.api.list_members(segment=f"segments/{id_}").contacts)

    def close(self) -> None:
        """End everything."""
        if self.worker is not None:
            self.kill_worker()
        self.rapport.close()
        self.process.stop()
        self.runtime.close()
        self.contacts.close()
        self.sales.close()


def _new(item: events_pb2.Event) -> NewEvent:
    return NewEvent(
        type=item.type,
        subject=item.subject,
        contact=parse_name(item.contact, "contacts") if item.contact else None,
        revision=item.revision,
        occur_time=item.occur_time.ToDatetime(NOW.tzinfo),
        data=unpack(item),
        historical=item.historical,
    )
