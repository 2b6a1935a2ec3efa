"""Databases that a next release has migrated: every table has more than this one's code knows of."""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from services.kit import migrations, revisions

_EXPAND = '''"""What a next release may add."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "{revision}", "{before}"


def upgrade():
    """Make the change."""
    for table in {tables!r}:
        op.add_column(table, sa.Column("of_next_release", sa.Text()))
        op.add_column(table, sa.Column("since_next_release", sa.Text(), nullable=False, server_default="none"))
    op.create_table("next_release", sa.Column("id", sa.BigInteger(), primary_key=True))
'''
_INDEX = '''"""What a next release may look for."""

from services.kit import changes

revision, down_revision = "{revision}", "{before}"


def upgrade():
    """Make the change."""
    for table in {tables!r}:
        changes.create_index(f"ix_{{table}}_next", table, ["of_next_release"])
'''


def migrate_ahead(urls: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Migrate empty databases with this release's revisions and two more, which expand; return where they end.

    folder: for the revisions. Each table gets a column that may be empty, and one with a default; some get an index.
    """
    at = {}
    for service, url in urls.items():
        versions = folder / service / "versions"
        shutil.copytree(revisions.folder(service), versions, ignore=shutil.ignore_patterns("__pycache__"))
        tables = sorted(importlib.import_module(f"services.{service}.models").metadata.tables)
        before = revisions.head(service)
        for what, text in (("more", _EXPAND), ("index", _INDEX)):
            revision = f"{int(before or 0) + 1:04d}"
            (versions / f"{revision}_{what}.py").write_text(
                text.format(revision=revision, before=before, tables=tables if what == "more" else tables[:2])
            )
            before = revision
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(revisions, "folder", lambda _service, versions=versions: versions)
            migrations.upgrade(service, url)
        at[service] = str(before)
    return at
