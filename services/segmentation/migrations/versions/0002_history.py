"""The past of profiles."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
_C = sa.Text(collation="C")


def upgrade() -> None:
    """Make the change."""
    op.add_column(
        "profile",
        sa.Column(
            "valid_from",
            _TIME,
            nullable=True,
            comment="since when it says so; NULL for what was known first, which reaches back",
        ),
    )
    op.create_table(
        "profile_past",
        sa.Column("contact_id", sa.Uuid(), nullable=False),
        sa.Column("has_email", sa.Boolean(), nullable=False),
        sa.Column("has_phone", sa.Boolean(), nullable=False),
        sa.Column("kind", _C, nullable=False),
        sa.Column("language_code", _C, nullable=True),
        sa.Column("region_code", _C, nullable=True),
        sa.Column("admin_area", _C, nullable=True),
        sa.Column("locality", _C, nullable=True),
        sa.Column("ward", _C, nullable=True),
        sa.Column("postal_code", _C, nullable=True),
        sa.Column("gender", _C, nullable=True),
        sa.Column("lifecycle_stage", _C, nullable=True),
        sa.Column("time_zone", _C, nullable=True),
        sa.Column("industry", _C, nullable=True),
        sa.Column("occupation", _C, nullable=True),
        sa.Column("birth_date", sa.Date(), nullable=True),
        sa.Column("stated_age", sa.BigInteger(), nullable=True),
        sa.Column("latitude", sa.Float(precision=53), nullable=True),
        sa.Column("longitude", sa.Float(precision=53), nullable=True),
        sa.Column("create_time", _TIME, nullable=True),
        sa.Column("attributes", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("traits", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("consents", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("tags", sa.ARRAY(_C), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("valid_from", _TIME, nullable=True, comment="NULL for what was known first"),
        sa.Column("valid_until", _TIME, nullable=False, comment="when something else became visible"),
        sa.PrimaryKeyConstraint("contact_id", "valid_until", name=op.f("pk_profile_past")),
        comment="what profiles said before; the states of a contact follow each other without a gap",
    )
    op.create_index("ix_profile_past_valid_until", "profile_past", ["valid_until"], unique=False)
    op.create_table(
        "history_kept",
        sa.Column("subject", sa.Text(), nullable=False, comment="profiles or memberships"),
        sa.Column("kept_from", _TIME, nullable=False, comment="nothing is missing from this time on"),
        sa.PrimaryKeyConstraint("subject", name=op.f("pk_history_kept")),
        comment="how far history was removed, or when it began to be written; no row when nothing is missing",
    )
    # What changed before left nothing behind: history begins with the last change that is known of.
    op.execute(
        """
        INSERT INTO history_kept (subject, kept_from)
        SELECT s.subject, b.at FROM (VALUES ('profiles'), ('memberships')) AS s(subject) CROSS JOIN (
            SELECT GREATEST(
                (SELECT max(enter_time) FROM membership),
                (SELECT max(rebuild_time) FROM segment),
                (SELECT max(update_time) FROM segment),
                (SELECT max(refresh_time) FROM trait),
                (SELECT max(record_time) FROM processed_event),
                (SELECT max(record_time) FROM outbox)
            ) AS at
        ) AS b
        WHERE b.at IS NOT NULL
        """
    )


def downgrade() -> None:
    """Take the change back."""
    op.drop_table("history_kept")
    op.drop_index("ix_profile_past_valid_until", table_name="profile_past")
    op.drop_table("profile_past")
    op.drop_column("profile", "valid_from")
