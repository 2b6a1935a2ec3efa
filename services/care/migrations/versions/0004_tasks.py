"""Tasks."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the change."""
    op.create_table(
        "task",
        sa.Column("id", postgresql.UUID(as_uuid=True), nullable=False),
        sa.Column("title", sa.Text(), server_default="", nullable=False),
        sa.Column("text", sa.Text(), server_default="", nullable=False),
        sa.Column("contact_id", postgresql.UUID(as_uuid=True), nullable=True),
        sa.Column("case_id", postgresql.UUID(as_uuid=True), nullable=True),
        sa.Column("queue_id", sa.Text(collation="C"), nullable=False),
        sa.Column("assignee", sa.Text(collation="C"), nullable=True),
        sa.Column("priority", sa.Text(), server_default="", nullable=False),
        sa.Column("due_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("state", sa.Text(), nullable=False, comment="open, done, dropped"),
        sa.Column("overdue", sa.Boolean(), nullable=False, comment="task.overdue was told for the due time"),
        sa.Column("end_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("source", sa.Text(), server_default="", nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["assignee"], ["agent.id"], name=op.f("fk_task_assignee_agent")),
        sa.ForeignKeyConstraint(["case_id"], ["case.id"], name=op.f("fk_task_case_id_case")),
        sa.ForeignKeyConstraint(["queue_id"], ["queue.id"], name=op.f("fk_task_queue_id_queue")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_task")),
    )
    due = sa.text("coalesce(due_time, 'infinity')")
    op.create_index("ix_task_contact_id", "task", ["contact_id"])
    op.create_index("ix_task_case_id", "task", ["case_id"])
    op.create_index("ix_task_due", "task", [due, "id"])
    op.create_index("ix_task_assignee", "task", ["assignee", due, "id"])
    op.create_index("ix_task_queue", "task", ["queue_id", due, "id"])
    op.create_index(
        "ix_task_overdue",
        "task",
        ["due_time"],
        postgresql_where=sa.text("state = 'open' AND NOT overdue"),
    )


def downgrade() -> None:
    """Take the change back."""
    op.drop_table("task")
