"""Fixtures for tests of the embedded server and of the supervisor."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.kit.postgres import EmbeddedPostgres
from services.kit.supervise.child import BackOff
from services.kit.supervisor import Supervisor
from tests.support.servers import SMALL, CopiedPostgres, MakeServer, make_cluster
from tests.support.supervised import Events, MakeSupervisor, family
from tests.support.waiting import until


@pytest.fixture
def server_folder(tmp_path: Path) -> Path:
    """The data folder that `make_server` uses unless told otherwise; not there yet."""
    return tmp_path / "state" / "postgres"


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a cluster that servers may begin with a copy of."""
    return make_cluster(tmp_path_factory.mktemp("cluster") / "kept")


@pytest.fixture
def make_server(server_folder: Path, cluster: Path) -> Iterator[MakeServer]:
    """Make servers, not started; they are stopped and deleted after the test.

    Their clusters are copies, unless the test says `cluster=None`.
    """
    made: list[EmbeddedPostgres] = []

    def build(path: Path = server_folder, **options: object) -> EmbeddedPostgres:
        options = {"settings": SMALL, "throwaway": True, "cluster": cluster, **options}
        made.append(CopiedPostgres(path, **options))  # type: ignore[arg-type]
        return made[-1]

    yield build
    for server in made:
        server.stop()
    for server in made:
        server.destroy()


QUICK = BackOff(first=0.01, longest=0.04, settled=60.0)


@pytest.fixture
def nothing_is_left_running() -> Iterator[None]:
    before = family()
    yield
    until(lambda: not family(before), "every process that the test started has ended")


@pytest.fixture
def events() -> Events:
    return Events()


@pytest.fixture
def make_supervisor(tmp_path: Path, events: Events) -> Iterator[MakeSupervisor]:
    made: list[Supervisor] = []

    def build(folder: Path = tmp_path / "state", **options: object) -> Supervisor:
        options = {"on_event": events, "back_off": QUICK, **options}
        made.append(Supervisor(folder, **options))  # type: ignore[arg-type]
        return made[-1]

    yield build
    for supervisor in made:
        supervisor.stop()
