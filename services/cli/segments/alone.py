"""Segmentation without a stack: in this process, on a PostgreSQL that is gone afterwards."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rapport.segmentation.v1 import segmentation_pb2 as pb

from services.cli.stack import EXTENSIONS, PLUGIN_SERVICES, migrate_database
from services.kit.clock import parse_clock
from services.kit.config import load_settings
from services.kit.db import Database, make_engine
from services.kit.postgres import EmbeddedPostgres, provision
from services.kit.signing import Signer
from services.segmentation.api.testing import RuleTestMethods
from services.segmentation.cases.problems import Problems
from services.segmentation.cases.reading import read
from services.segmentation.context import Service, plugin_host
from services.segmentation.rulebook import Rulebook

_SERVICE = "segmentation"


def test_rules(request: pb.TestRulesRequest) -> list[pb.RuleTestResult]:
    """Run rule tests and return their results.

    Raises InvalidArgument for what is wrong in the file, PostgresError when no server can be started.
    """
    # A mistake in the file is told before a server is started for it.
    problems = Problems(request.file_name)
    read(request.cases, problems)
    problems.raise_if_any()
    with segmentation_alone() as service:
        return list(RuleTestMethods(service).TestRules(request, None).results)


@contextmanager
def segmentation_alone() -> Iterator[Service]:
    """Lend the service on an empty database, with the plugins and the time zone of the settings.

    Raises PostgresError when no server can be started.
    """
    settings = load_settings()
    with tempfile.TemporaryDirectory(prefix="rapport-") as folder:
        server = EmbeddedPostgres(Path(folder) / "postgres", throwaway=True, settings={"fsync": "off"})
        server.start()
        try:
            urls = provision(
                server.admin_url,
                [_SERVICE],
                extensions=EXTENSIONS,
                plugin_services=PLUGIN_SERVICES,
                prefix="alone",
            )
            migrate_database(_SERVICE, urls[_SERVICE])
            database = Database(make_engine(urls[_SERVICE], pool_size=2))
            plugins = plugin_host(settings)
            try:
                yield Service(
                    database,
                    parse_clock(settings.clock),
                    Signer(secrets.token_urlsafe()),
                    plugins,
                    Rulebook(settings.time_zone),
                    settings.time_zone,
                )
            finally:
                plugins.close()
                database.close()
        finally:
            server.destroy()
