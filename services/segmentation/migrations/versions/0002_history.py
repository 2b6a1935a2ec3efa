"""The past of profiles and of memberships."""

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
        "membership_past",
        sa.Column("contact_id", sa.UUID(), nullable=False),
        sa.Column("segment_number", sa.Integer(), nullable=False),
        sa.Column(
            "id",
            sa.BigInteger(),
            sa.Identity(always=False),
            nullable=False,
            comment="in the order in which they ended",
        ),
        sa.Column("enter_time", _TIME, nullable=False),
        sa.Column("leave_time", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("contact_id", "segment_number", "id", name=op.f("pk_membership_past")),
        comment="who was in which segment, and is not since; written by the statement that lets them leave",
    )
    op.create_index(
        "ix_membership_past_segment",
        "membership_past",
        ["segment_number", "contact_id", "leave_time"],
        unique=False,
    )
    op.create_index("ix_membership_past_leave_time", "membership_past", ["leave_time"], unique=False)
    op.create_table(
        "segment_past",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("id", _C, nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("create_time", _TIME, nullable=False),
        sa.Column("delete_time", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_segment_past")),
        comment="deleted segments, as long as their members of the past are kept",
    )
    op.create_index("ix_segment_past_id", "segment_past", ["id"], unique=False)
    op.create_table(
        "segment_version_past",
        sa.Column("segment_number", sa.Integer(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("active_from", _TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["segment_number"],
            ["segment_past.number"],
            name=op.f("fk_segment_version_past_segment_number"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("segment_number", "version", name=op.f("pk_segment_version_past")),
        comment="versions of deleted segments that were in force",
    )
    op.add_column(
        "segment_version",
        sa.Column(
            "active_from",
            _TIME,
            nullable=True,
            comment="since when membership followed it; NULL when it never did",
        ),
    )
    # The last rebuild is the latest time at which it can have come into force.
    op.execute(
        """
        UPDATE segment_version AS v SET active_from = s.rebuild_time
        FROM segment AS s WHERE v.segment_number = s.number AND v.version = s.active_version
        """
    )
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
    op.drop_column("segment_version", "active_from")
    op.drop_table("segment_version_past")
    op.drop_table("segment_past")
    op.drop_table("membership_past")
    op.drop_index("ix_profile_past_valid_until", table_name="profile_past")
    op.drop_table("profile_past")
    op.drop_column("profile", "valid_from")
