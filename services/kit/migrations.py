"""Migrations of each service's database, with Alembic.

A service keeps its revisions in `<package>/migrations/versions/`; everything else is shared. Authors change
`models.py`, then run `python -m services.kit.migrations revision contacts "add lifecycle stage"` and review
the file; `services.kit.changes` has what a table in use must be changed with. A service is named by its name, such as
`contacts`, or by its package, such as `services.contacts`.

A release's processes go on while the next one migrates, so revisions expand. What they take away stands in revisions
of their own (`revision --contract`), which run when none of the older processes is left: see `revisions`.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import logging
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext, MigrationInfo
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData

from services.kit import revisions
from services.kit.errors import FailedPrecondition
from services.kit.locks import lock_key
from services.kit.patience import Patience

# Alembic tells of its dialect on every start.
logging.getLogger("alembic.runtime.migration").setLevel(logging.WARNING)

SCRIPTS = Path(__file__).parent / "alembic"


def upgrade(service: str, url: str, *, contract: bool = False, patience: Patience | None = None) -> None:
    """Bring a database to the newest revision that expands; a second process waits and then finds nothing to do.

    contract: go on to what takes away. An empty database goes there at once. patience: with locks that others hold;
    by default that of `Patience()`. Raises FailedPrecondition when a newer release has migrated it already
    (SCHEMA_NEWER), or when processes of an older release still use what would be taken away (RELEASE_IN_USE);
    Unavailable (SCHEMA_LOCKED) when others kept their locks. What was done by then stays; another run goes on.
    """
    with revisions.connected(url) as connection, _only_one(connection):
        revision = revisions.current(connection)
        connection.rollback()
        if revision is not None and revision not in revisions.known(service):
            raise FailedPrecondition(
                f"the database of {revisions.package_of(service)} is at revision {revision}, which this release "
                "does not know: run the newer release that made it",
                reason="SCHEMA_NEWER",
            )
        waiting = revisions.waiting(service, revision, contract=contract)
        if revision is not None:
            taking = revisions.contracts(service)
            _refuse_strangers(service, connection, [one for one in waiting if one in taking])
        if waiting:
            (patience or Patience()).insist(
                url, lambda session: command.upgrade(alembic_config(service, session), waiting[-1])
            )


def _refuse_strangers(service: str, connection: Connection, taking: list[str]) -> None:
    """Raise FailedPrecondition when somebody is connected who uses what revisions would take away."""
    found = revisions.strangers(connection, taking[-1]) if taking else []
    connection.rollback()
    if found:
        raise FailedPrecondition(
            f"revision {taking[-1]} takes away what an older release uses in the database of "
            f"{revisions.package_of(service)}, and processes of it are connected: {', '.join(found)}. Wait until all "
            "processes are of this release, or stop them",
            reason="RELEASE_IN_USE",
            metadata={"contract": taking[-1]},
        )


def downgrade(service: str, url: str, revision: str = "base") -> None:
    """Take a database back to a revision."""
    with revisions.connected(url) as connection, _only_one(connection):
        command.downgrade(alembic_config(service, connection), revision)


def check(service: str, url: str) -> list[str]:
    """Return how a migrated database differs from the service's models; empty when they match."""
    return [str(difference) for difference in _differences(service, url)]


def check_line(service: str, url: str) -> list[str]:
    """Migrate an empty database and return why this release would not run on it; empty when it would.

    With all revisions it must match the models. Where the last of them take away, the release must do without these:
    they may leave behind only what its models do not know and what its writes need not fill.
    """
    found = []
    if revisions.head(service) != revisions.needed(service):
        with revisions.connected(url) as connection:
            command.upgrade(alembic_config(service, connection), revisions.needed(service) or "head")
        found = [
            f"before {', '.join(revisions.waiting(service, revisions.needed(service), contract=True))}: {difference}"
            for difference in _differences(service, url)
            if not _is_left_behind(difference)
        ]
    upgrade(service, url, contract=True)
    return [*found, *check(service, url)]


def _differences(service: str, url: str) -> list[Any]:
    with revisions.connected(url) as connection:
        options = {"compare_type": True, "compare_server_default": True}
        found: list[Any] = compare_metadata(
            MigrationContext.configure(connection, opts=options), _metadata(service)
        )
    return found


def _is_left_behind(difference: Any) -> bool:
    """Tell whether a release can live with a difference between a database and its models until it is taken away."""
    if isinstance(difference, list):
        # Of one column: that the models already promise values is all that may wait.
        return all(change[0] == "modify_nullable" and change[-1] is False for change in difference)
    match difference[0]:
        case "remove_column":
            column = difference[3]
            return bool(column.nullable or column.server_default is not None)
        case "remove_table" | "remove_index" | "remove_constraint" | "remove_fk" | "add_fk":
            return True
    return False


def make_revision(service: str, message: str, url: str, *, contract: bool = False) -> Path:
    """Write a new revision that brings a fully migrated database to what the models say; return its file.

    url: of an empty scratch database, which is left migrated to the revision before. contract: it takes away what an
    older release uses.
    """
    upgrade(service, url)
    config = None
    with revisions.connected(url) as connection:
        config = alembic_config(service, connection)
        revisions.folder(service).mkdir(parents=True, exist_ok=True)
        following = len(list(ScriptDirectory.from_config(config).walk_revisions())) + 1
        title = f"contract {message}" if contract else message
        made = command.revision(config, title, autogenerate=True, rev_id=f"{following:04d}")
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


def alembic_config(service: str, connection: Connection | None = None) -> Config:
    """Return what Alembic's commands need to work on a service's revisions, on a connection."""
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    config.set_main_option("version_locations", str(revisions.folder(service)))
    config.set_main_option("path_separator", "newline")
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    config.attributes.update(
        metadata=_metadata(service),
        connection=connection,
        compare_server_default=True,
        on_version_apply=_noting(set(revisions.contracts(service))),
    )
    return config


def _noting(contracts: set[str]) -> Callable[..., None]:
    """Return what keeps, beside the revision and in its transaction, which was the last to take something away."""

    def note(*, ctx: MigrationContext, step: MigrationInfo, **_: object) -> None:
        assert ctx.connection is not None
        if step.up_revision_id in contracts:
            earlier = max((one for one in contracts if one < step.up_revision_id), default=None)
            revisions.note_contract(ctx.connection, step.up_revision_id if step.is_upgrade else earlier)

    return note


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
    revision.add_argument(
        "--contract", action="store_true", help="it takes away what an older release uses, and runs apart"
    )
    checking = commands.add_parser(
        "check", help="tell whether migrations and models agree; exit status 1 when not"
    )
    checking.add_argument("service")
    arguments = parser.parse_args()
    with _scratch(arguments.url) as url:
        if arguments.command == "revision":
            path = make_revision(arguments.service, arguments.message, url, contract=arguments.contract)
            sys.stdout.write(f"{path}\n")
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
