"""Migrations of each service's database, with Alembic.

A service keeps its revisions in `<package>/migrations/versions/`; everything else is shared. Authors change
`models.py`, then run `python -m services.kit.migrations revision contacts "add lifecycle stage"` and review
the file. A service is named by its name, such as `contacts`, or by its package, such as `services.contacts`.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import logging
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData

from services.kit import revisions
from services.kit.errors import FailedPrecondition
from services.kit.locks import lock_key

# Alembic tells of its dialect on every start.
logging.getLogger("alembic.runtime.migration").setLevel(logging.WARNING)

SCRIPTS = Path(__file__).parent / "alembic"


def upgrade(service: str, url: str) -> None:
    """Bring a database to the newest revision; a second process waits and then finds nothing to do.

    Raises FailedPrecondition (SCHEMA_NEWER) when a newer release has migrated it already.
    """
    with revisions.connected(url) as connection, _only_one(connection):
        config = _config(service, connection)
        revision = revisions.current(connection)
        connection.rollback()
        if revision is not None and revision not in revisions.known(service):
            raise FailedPrecondition(
                f"the database of {revisions.package_of(service)} is at revision {revision}, which this release "
                "does not know: run the newer release that made it",
                reason="SCHEMA_NEWER",
            )
        command.upgrade(config, "head")


def downgrade(service: str, url: str, revision: str = "base") -> None:
    """Take a database back to a revision."""
    with revisions.connected(url) as connection, _only_one(connection):
        command.downgrade(_config(service, connection), revision)


def check(service: str, url: str) -> list[str]:
    """Return how a migrated database differs from the service's models; empty when they match."""
    with revisions.connected(url) as connection:
        options = {"compare_type": True, "compare_server_default": True}
        differences = compare_metadata(
            MigrationContext.configure(connection, opts=options), _metadata(service)
        )
    return [str(difference) for difference in differences]


def make_revision(service: str, message: str, url: str) -> Path:
    """Write a new revision that brings a fully migrated database to what the models say; return its file.

    url: of an empty scratch database, which is left migrated to the revision before.
    """
    upgrade(service, url)
    config = None
    with revisions.connected(url) as connection:
        config = _config(service, connection)
        revisions.folder(service).mkdir(parents=True, exist_ok=True)
        following = len(list(ScriptDirectory.from_config(config).walk_revisions())) + 1
        made = command.revision(config, message, autogenerate=True, rev_id=f"{following:04d}")
    assert made is not None
    assert not isinstance(made, list)
    _tidy(Path(made.path))
    return Path(made.path)


def _tidy(path: Path) -> None:
    """Format a new revision as the rest of the code is, where the formatter is installed."""
    if importlib.util.find_spec("ruff") is not None:
        for arguments in (["check", "--fix", "--quiet", "--select", "I"], ["format", "--quiet"]):
            subprocess.run([sys.executable, "-m", "ruff", *arguments, str(path)], check=False)


def _metadata(service: str) -> MetaData:
    metadata: MetaData = importlib.import_module(f"{revisions.package_of(service)}.models").metadata
    return metadata


def _config(service: str, connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    config.set_main_option("version_locations", str(revisions.folder(service)))
    config.set_main_option("path_separator", "newline")
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    config.attributes.update(metadata=_metadata(service), connection=connection, compare_server_default=True)
    return config


@contextmanager
def _only_one(connection: Connection) -> Iterator[None]:
    """Hold the lock of migrations for a while, on a session of its own: migrations commit as they please."""
    with connection.engine.connect() as guard:
        guard.execute(sa.select(sa.func.pg_advisory_lock(lock_key("migrations"))))
        guard.rollback()
        try:
            yield
        finally:
            guard.invalidate()


def main() -> int:
    """Run `revision SERVICE MESSAGE` or `check SERVICE` on a scratch database of an embedded server."""
    parser = argparse.ArgumentParser(prog="python -m services.kit.migrations", description=main.__doc__)
    parser.add_argument(
        "--url", default="", help="an empty scratch database; default: one on an embedded PostgreSQL"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    revision = commands.add_parser("revision", help="write a revision from what changed in models.py")
    revision.add_argument("service")
    revision.add_argument("message")
    checking = commands.add_parser(
        "check", help="tell whether migrations and models agree; exit status 1 when not"
    )
    checking.add_argument("service")
    arguments = parser.parse_args()
    with _scratch(arguments.url) as url:
        if arguments.command == "revision":
            sys.stdout.write(f"{make_revision(arguments.service, arguments.message, url)}\n")
            return 0
        upgrade(arguments.service, url)
        differences = check(arguments.service, url)
    text = "\n".join(differences) or f"{arguments.service}: migrations match the models"
    sys.stdout.write(f"{text}\n")
    return 1 if differences else 0


@contextmanager
def _scratch(url: str) -> Iterator[str]:
    if url:
        yield url
        return
    from services.kit.postgres import EmbeddedPostgres, provision

    with tempfile.TemporaryDirectory(prefix="rapport-") as folder:
        server = EmbeddedPostgres(Path(folder) / "postgres", throwaway=True, settings={"fsync": "off"})
        server.start()
        try:
            extensions = ("unaccent", "pg_trgm", "btree_gin")
            # A service whose plugins run SQL finds its role for them, as it does in a provisioned stack.
            urls = provision(
                server.admin_url,
                ["scratch"],
                prefix="scratch",
                extensions=extensions,
                plugin_services=("scratch",),
            )
            yield urls["scratch"]
        finally:
            server.destroy()


if __name__ == "__main__":
    sys.exit(main())
