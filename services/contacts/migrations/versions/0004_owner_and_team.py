"""Whose contacts are whose: owner and team."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_WORDS = {
    "owner": "the user whose contact it is; empty for nobody's",
    "team": "the team whose contact it is; empty for none's",
}


def upgrade() -> None:
    """Make the change; a default makes PostgreSQL add the columns without writing the table anew."""
    for name, comment in _WORDS.items():
        op.add_column(
            "contact",
            sa.Column(name, sa.Text(collation="C"), server_default="", nullable=False, comment=comment),
        )
        op.create_index(
            f"ix_contact_{name}",
            "contact",
            [name, "create_time", "id"],
            unique=False,
            postgresql_where=sa.text(f"{name} <> ''"),
        )


def downgrade() -> None:
    """Take the change back; who owned what is lost."""
    for name in _WORDS:
        op.drop_index(f"ix_contact_{name}", table_name="contact")
        op.drop_column("contact", name)
