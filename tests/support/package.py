"""A service's package that a test writes, with models and migrations of its own."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from uuid import uuid4

MODELS = """
import sqlalchemy as sa
from services.kit.db import new_metadata
from services.kit.tables import kit_tables

metadata = new_metadata()
kit = kit_tables(metadata)
thing = sa.Table(
    "thing",
    metadata,
    sa.Column("id", sa.BigInteger, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, server_default=""),
    sa.Column("parent_id", sa.BigInteger, sa.ForeignKey("thing.id")),
    sa.CheckConstraint("length(name) < 100", name="short"),
    sa.Index(None, "name", postgresql_where=sa.text("name <> ''")),
)
"""


class Package:
    """A service's package in a folder of its own; `services.x` stands for it in the tests."""

    def __init__(self, folder: Path) -> None:
        self.name = f"toy_{uuid4().hex}.service"
        self.folder = folder / self.name.replace(".", "/")
        self.folder.mkdir(parents=True)
        (self.folder / "__init__.py").touch()
        (self.folder.parent / "__init__.py").touch()
        (self.folder / "models.py").write_text(MODELS)

    def change(self, text: str) -> None:
        """Append to the models and load them anew, as a later process would."""
        self.write((self.folder / "models.py").read_text() + text)

    def write(self, text: str) -> None:
        """Write the models anew and load them, as a later process would."""
        (self.folder / "models.py").write_text(text)
        # The files' times may be equal, which would let the old byte code pass for current.
        sys.modules.pop(f"{self.name}.models", None)
        for cached in self.folder.rglob("*.pyc"):
            cached.unlink()
        importlib.invalidate_caches()

    @property
    def versions(self) -> list[str]:
        return sorted(path.name for path in (self.folder / "migrations" / "versions").glob("*.py"))

    def add(self, name: str, body: str) -> None:
        """Write a revision by hand, such as `0002_size`; body: of its `upgrade`."""
        revision = name.partition("_")[0]
        (self.folder / "migrations" / "versions" / f"{name}.py").write_text(
            "import sqlalchemy as sa\nfrom alembic import op\nfrom services.kit import changes\n"
            f'revision, down_revision = "{revision}", "{int(revision) - 1:04d}"\n'
            f"def upgrade():\n    {body}\ndef downgrade():\n    pass\n"
        )

    def forget(self, revision: str) -> None:
        """Take a revision's file away, as in a release that does not have it yet."""
        for path in (self.folder / "migrations" / "versions").glob(f"{revision}_*.py"):
            path.unlink()
