"""The processes of one release, on databases that those of another use at the same time."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from rapport_client import Rapport

from services.cli import processes
from services.cli.demo import free_base_port
from services.kit.config import SERVICES, Settings, load_settings
from services.kit.supervisor import Supervisor
from tests.support.processes import kept_servers
from tests.support.programs import REPOSITORY

_CODE = (".", "protos", "protos/gen", "plugins/sdk/src", "plugins/builtin/src", "plugins/loyalty/src")


@dataclass(frozen=True)
class Ground:
    """Hold what both releases share.

    urls, tokens: of each service; tokens_file: of all tokens; amqp_url: of the broker, empty for the event streams;
    amqp_prefix: of what is theirs on it.
    """

    urls: Mapping[str, str]
    tokens: Mapping[str, str]
    tokens_file: Path
    amqp_url: str
    amqp_prefix: str


def environment_of(tree: Path) -> dict[str, str]:
    """Return the variables that make Python take a tree's code; its working folder must be the tree, too."""
    return {"PYTHONPATH": os.pathsep.join(str(tree / part) for part in _CODE)}


class Fleet:
    """APIs and workers of a tree's code, with ports of their own."""

    def __init__(self, tree: Path, folder: Path, ground: Ground) -> None:
        self.tree = tree
        self._ground = ground
        self.settings: Settings = load_settings(
            data_dir=folder,
            base_port=free_base_port("127.0.0.1"),
            tokens_file=ground.tokens_file,
            secret_key="not-a-secret-in-a-test",
            amqp_url=ground.amqp_url,
            amqp_prefix=ground.amqp_prefix,
        )
        self.supervisor = Supervisor(folder)
        shared = {
            **environment_of(tree),
            "RAPPORT_DATA_DIR": str(folder),
            "RAPPORT_TOKENS_FILE": str(ground.tokens_file),
            "RAPPORT_SECRET_KEY": self.settings.secret_key,
            "RAPPORT_BASE_PORT": str(self.settings.base_port),
            "RAPPORT_HOST": self.settings.host,
            "RAPPORT_AMQP_URL": ground.amqp_url,
            "RAPPORT_AMQP_PREFIX": ground.amqp_prefix,
            "MALLOC_ARENA_MAX": "2",
        }
        grants = processes.Grants(ground.urls, ground.tokens, shared)
        # Copies of two that have imported that tree's code, in whose folder they work.
        ours = tree == REPOSITORY
        forks = kept_servers() if ours else processes.fork_servers(grants.common(), cwd=tree)
        self._specs = {
            spec.name: replace(
                spec, cwd=tree, fork_server=forks["worker" if "-worker" in spec.name else "other"]
            )
            for spec in processes.specs(self.settings, grants)
        }

    def __enter__(self) -> Self:
        self.supervisor.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.supervisor.stop()

    def start(self, *names: str) -> None:
        """Start processes, such as `contacts-api`; return when all are ready."""
        self.supervisor.start([self._specs[name] for name in names])

    def stop(self, *names: str) -> None:
        """End processes and keep them down."""
        self.supervisor.hold(*names)

    def resume(self, *names: str) -> None:
        """Start them again."""
        self.supervisor.release(*names)
        for name in names:
            assert self.supervisor.wait_ready(name, timeout=120), f"{name} does not start again"

    def client(self) -> Rapport:
        """Return a client that may do everything."""
        return Rapport(
            address=f"{self.settings.host}:{{port}}",
            base_port=self.settings.base_port,
            token=self._ground.tokens["owner"],
            timeout=60,
        )


def all_of(role: str) -> list[str]:
    """Return the names of the processes of a role."""
    return [f"{service}-{role}" for service in SERVICES]


@contextmanager
def clients(*fleets: Fleet) -> Iterator[list[Rapport]]:
    """Lend a client of each fleet."""
    found = [fleet.client() for fleet in fleets]
    try:
        yield found
    finally:
        for client in found:
            client.close()
