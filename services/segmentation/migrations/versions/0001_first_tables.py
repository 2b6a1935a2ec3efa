"""First tables, the functions that rules call, and the views that plugins see."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from services.kit.errors import FailedPrecondition
from services.kit.plugins import publish_views
from services.segmentation.rules.sql.functions import FUNCTIONS

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the change."""
    for statement in FUNCTIONS:
        op.get_bind().exec_driver_sql(statement.replace("%", "%%"))
    op.create_table(
        "attribute",
        sa.Column("name", sa.Text(collation="C"), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_attribute")),
    )
    op.create_table(
        "consent",
        sa.Column("name", sa.Text(collation="C"), nullable=False, comment='"<channel>_<topic>"'),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_consent")),
    )
    op.create_table(
        "contact_state",
        sa.Column("contact_id", sa.UUID(), nullable=False),
        sa.Column(
            "next_change",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="first instant at which time alone may change a membership",
        ),
        sa.PrimaryKeyConstraint("contact_id", name=op.f("pk_contact_state")),
        comment="one row for each contact heard of, known or not: what changes of a contact lock first",
    )
    op.create_index(
        "ix_contact_state_next_change",
        "contact_state",
        ["next_change"],
        unique=False,
        postgresql_where=sa.text("next_change IS NOT NULL"),
    )
    op.create_table(
        "dead_letter",
        sa.Column("consumer", sa.Text(), nullable=False),
        sa.Column("event_id", sa.UUID(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("contact_id", sa.UUID(), nullable=True, comment="so that erasure finds it"),
        sa.Column("event", sa.LargeBinary(), nullable=False, comment="rapport.events.v1.Event"),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("consumer", "event_id", name=op.f("pk_dead_letter")),
    )
    op.create_index("ix_dead_letter_contact_id", "dead_letter", ["contact_id"], unique=False)
    op.create_table(
        "event",
        sa.Column("contact_id", sa.Uuid(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("type", sa.Text(collation="C"), nullable=False),
        sa.Column("category", sa.Text(collation="C"), nullable=True),
        sa.Column("amount", sa.Numeric(), nullable=True),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "payload", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False
        ),
        sa.CheckConstraint(
            "occurred_at BETWEEN '0001-01-02T00:00:00+00:00' AND '9999-12-31T23:59:59+00:00'",
            name=op.f("ck_event_event_occurred_at_range"),
        ),
        sa.CheckConstraint(
            "abs(amount) <= 1e18 AND min_scale(amount) <= 18", name=op.f("ck_event_event_amount_range")
        ),
        sa.PrimaryKeyConstraint("contact_id", "event_id", name="event_pkey"),
    )
    op.create_index(
        "event_by_contact", "event", ["contact_id", "type", "category", "occurred_at"], unique=False
    )
    op.create_index(
        "event_by_type",
        "event",
        ["type", "category", "occurred_at"],
        unique=False,
        postgresql_include=["contact_id"],
    )
    op.create_table(
        "event_type",
        sa.Column("name", sa.Text(collation="C"), nullable=False),
        sa.Column(
            "fields",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment='[{"name", "type", "optional"}]',
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_event_type")),
    )
    op.create_table(
        "membership",
        sa.Column("segment_number", sa.Integer(), nullable=False),
        sa.Column("contact_id", sa.Uuid(), nullable=False),
        sa.Column("enter_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("segment_number", "contact_id", name="membership_pkey"),
    )
    op.create_index("membership_by_contact", "membership", ["contact_id", "segment_number"], unique=False)
    op.create_table(
        "operation",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("request_type", sa.Text(), nullable=False),
        sa.Column("request", sa.LargeBinary(), nullable=False),
        sa.Column("request_id", sa.Text(), server_default="", nullable=False),
        sa.Column("request_hash", sa.LargeBinary(), nullable=False, comment="of the request and its content"),
        sa.Column("principal", sa.Text(), server_default="", nullable=False),
        sa.Column(
            "state",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column("completed", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("total", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("unit", sa.Text(), server_default="", nullable=False),
        sa.Column("stage", sa.Text(), server_default="", nullable=False),
        sa.Column(
            "attempt", sa.Integer(), server_default="0", nullable=False, comment="fences off earlier attempts"
        ),
        sa.Column(
            "fruitless",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="attempts since a checkpoint",
        ),
        sa.Column("cancel_requested", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("done", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("error", sa.LargeBinary(), nullable=True, comment="google.rpc.Status"),
        sa.Column("response_type", sa.Text(), nullable=True),
        sa.Column("response", sa.LargeBinary(), nullable=True),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("end_time", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_operation")),
    )
    op.create_index("ix_operation_create_time", "operation", ["create_time", "id"], unique=False)
    op.create_index(
        "ix_operation_pending",
        "operation",
        ["kind", "id"],
        unique=False,
        postgresql_where=sa.text("NOT done"),
    )
    op.create_index(
        "uq_operation_kind_request_id",
        "operation",
        ["kind", "request_id"],
        unique=True,
        postgresql_where=sa.text("request_id <> ''"),
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=True, comment="given by the relay; NULL until then"),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("contact_id", sa.UUID(), nullable=True),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("occur_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("record_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("historical", sa.Boolean(), nullable=False),
        sa.Column("data_type", sa.Text(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("traceparent", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
    )
    op.create_index("ix_outbox_contact_id", "outbox", ["contact_id"], unique=False)
    op.create_index("ix_outbox_position", "outbox", ["position"], unique=True)
    op.create_index(
        "ix_outbox_unpositioned", "outbox", ["id"], unique=False, postgresql_where=sa.text("position IS NULL")
    )
    op.create_table(
        "processed_event",
        sa.Column("consumer", sa.Text(), nullable=False),
        sa.Column("event_id", sa.UUID(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False, comment="of the event in its source's stream"),
        sa.Column("record_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("consumer", "event_id", name=op.f("pk_processed_event")),
    )
    op.create_index(
        "ix_processed_event_consumer_record_time",
        "processed_event",
        ["consumer", "record_time"],
        unique=False,
    )
    op.create_table(
        "profile",
        sa.Column("contact_id", sa.Uuid(), nullable=False),
        sa.Column("has_email", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("has_phone", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("kind", sa.Text(collation="C"), server_default=sa.text("'person'"), nullable=False),
        sa.Column("language_code", sa.Text(collation="C"), nullable=True),
        sa.Column("region_code", sa.Text(collation="C"), nullable=True),
        sa.Column("admin_area", sa.Text(collation="C"), nullable=True),
        sa.Column("locality", sa.Text(collation="C"), nullable=True),
        sa.Column("ward", sa.Text(collation="C"), nullable=True),
        sa.Column("postal_code", sa.Text(collation="C"), nullable=True),
        sa.Column("gender", sa.Text(collation="C"), nullable=True),
        sa.Column("lifecycle_stage", sa.Text(collation="C"), nullable=True),
        sa.Column("time_zone", sa.Text(collation="C"), nullable=True),
        sa.Column("industry", sa.Text(collation="C"), nullable=True),
        sa.Column("occupation", sa.Text(collation="C"), nullable=True),
        sa.Column("birth_date", sa.Date(), nullable=True),
        sa.Column("stated_age", sa.BigInteger(), nullable=True),
        sa.Column("latitude", sa.Float(precision=53), nullable=True),
        sa.Column("longitude", sa.Float(precision=53), nullable=True),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("first_order_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_order_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("order_count", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("total_spent", sa.Numeric(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "attributes",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column(
            "traits", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False
        ),
        sa.Column(
            "consents",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column("tags", sa.ARRAY(sa.Text(collation="C")), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("revision", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint(
            "(latitude IS NULL) = (longitude IS NULL)", name=op.f("ck_profile_profile_location_whole")
        ),
        sa.CheckConstraint(
            "abs(total_spent) <= 1e18 AND min_scale(total_spent) <= 18",
            name=op.f("ck_profile_profile_total_spent_range"),
        ),
        sa.CheckConstraint(
            "latitude BETWEEN -90 AND 90 AND longitude BETWEEN -180 AND 180",
            name=op.f("ck_profile_profile_location_on_earth"),
        ),
        sa.PrimaryKeyConstraint("contact_id", name=op.f("pk_profile")),
    )
    op.create_index("profile_tags", "profile", ["tags"], unique=False, postgresql_using="gin")
    op.create_table(
        "request_log",
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("request_type", sa.Text(), nullable=False, comment="full name of the request message"),
        sa.Column("request_hash", sa.LargeBinary(), nullable=False),
        sa.Column("response_type", sa.Text(), nullable=False),
        sa.Column(
            "response", sa.LargeBinary(), nullable=True, comment="NULL while the first call is under way"
        ),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("request_id", "request_type", name=op.f("pk_request_log")),
    )
    op.create_index("ix_request_log_create_time", "request_log", ["create_time"], unique=False)
    op.create_table(
        "segment",
        sa.Column("number", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("id", sa.Text(collation="C"), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False, comment="of the newest rule"),
        sa.Column(
            "active_version",
            sa.BigInteger(),
            nullable=True,
            comment="of the rule that membership follows; none before the first rebuild",
        ),
        sa.Column("state", sa.Text(), nullable=False, comment="building, ready or failed"),
        sa.Column("state_message", sa.Text(), server_default="", nullable=False),
        sa.Column(
            "stalled",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="why changes of contacts do not reach it",
        ),
        sa.Column(
            "gone",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="it stalls for a missing plugin",
        ),
        sa.Column("revision", sa.BigInteger(), nullable=False, comment="of the definition; the etag"),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("rebuild_time", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_segment")),
        sa.UniqueConstraint("id", name=op.f("uq_segment_id")),
    )
    op.create_table(
        "segment_size",
        sa.Column("segment_number", sa.Integer(), nullable=False),
        sa.Column("delta", sa.BigInteger(), nullable=False),
        comment="the size of a segment is the sum of its rows: writers only add rows, so none waits for another",
    )
    op.create_index("ix_segment_size_segment_number", "segment_size", ["segment_number"], unique=False)
    op.create_table(
        "stale",
        sa.Column("contact_id", sa.UUID(), nullable=False),
        sa.Column("historical", sa.Boolean(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("contact_id", name=op.f("pk_stale")),
        comment="contacts whose segments with a plugin's rule could not be evaluated",
    )
    op.create_table(
        "stream",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False, comment="always 1"),
        sa.Column("timeline", sa.UUID(), nullable=False),
        sa.Column("last_position", sa.BigInteger(), nullable=False, comment="newest position given out"),
        sa.Column(
            "purged_position", sa.BigInteger(), nullable=False, comment="newest position no longer kept"
        ),
        sa.CheckConstraint("id = 1", name=op.f("ck_stream_single")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stream")),
    )
    op.create_table(
        "subscription",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("timeline", sa.UUID(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_subscription")),
    )
    op.create_table(
        "trait",
        sa.Column(
            "name",
            sa.Text(collation="C"),
            nullable=False,
            comment="as its plugin registers it, such as rfm.scores",
        ),
        sa.Column(
            "record",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="of the plugin manager, as it was when last seen",
        ),
        sa.Column(
            "available", sa.Boolean(), nullable=False, comment="whether its plugin is loaded and sound"
        ),
        sa.Column("refresh_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "message", sa.Text(), server_default="", nullable=False, comment="why the last refresh failed"
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_trait")),
    )
    op.create_table(
        "vocabulary",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False, comment="always 1"),
        sa.Column(
            "names",
            sa.UUID(),
            nullable=False,
            comment="another one when anything that rules may name changed",
        ),
        sa.Column(
            "rules",
            sa.UUID(),
            nullable=False,
            comment="another one when the rules that membership follows changed",
        ),
        sa.CheckConstraint("id = 1", name=op.f("ck_vocabulary_single")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_vocabulary")),
    )
    op.create_table(
        "operation_chunk",
        sa.Column("operation_id", sa.UUID(), nullable=False),
        sa.Column("index", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["operation_id"],
            ["operation.id"],
            name=op.f("fk_operation_chunk_operation_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("operation_id", "index", name=op.f("pk_operation_chunk")),
    )
    op.create_table(
        "segment_version",
        sa.Column("segment_number", sa.Integer(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column(
            "depends",
            postgresql.ARRAY(sa.Text(collation="C")),
            nullable=False,
            comment="ids of the segments that the rule names",
        ),
        sa.Column(
            "functions",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="records of the plugin rules that it calls, as they were",
        ),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["segment_number"],
            ["segment.number"],
            name=op.f("fk_segment_version_segment_number"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("segment_number", "version", name=op.f("pk_segment_version")),
    )
    publish()


def publish() -> None:
    """Publish the views of the SDK to the role under which the SQL of plugins runs: `<database user>_plugin`."""
    bind = op.get_bind()
    user = bind.exec_driver_sql("SELECT current_user").scalar_one()
    role = f"{user}_plugin"
    usable = bind.exec_driver_sql(
        "SELECT pg_has_role(current_user, oid, 'MEMBER') FROM pg_roles WHERE rolname = %(role)s",
        {"role": role},
    ).scalar_one_or_none()
    if not usable:
        raise FailedPrecondition(
            f"the role {role}, under which the SQL of plugins runs, is missing or not granted to {user}: as an "
            f'administrator run `CREATE ROLE "{role}" NOLOGIN; GRANT "{role}" TO "{user}"`, then migrate again',
            reason="NO_PLUGIN_ROLE",
        )
    for statement in publish_views(role):
        bind.exec_driver_sql(statement)


def downgrade() -> None:
    """Take the change back."""
    op.execute("DROP SCHEMA sdk CASCADE")
    op.drop_table("segment_version")
    op.drop_table("operation_chunk")
    op.drop_table("vocabulary")
    op.drop_table("trait")
    op.drop_table("subscription")
    op.drop_table("stream")
    op.drop_table("stale")
    op.drop_index("ix_segment_size_segment_number", table_name="segment_size")
    op.drop_table("segment_size")
    op.drop_table("segment")
    op.drop_index("ix_request_log_create_time", table_name="request_log")
    op.drop_table("request_log")
    op.drop_index("profile_tags", table_name="profile", postgresql_using="gin")
    op.drop_table("profile")
    op.drop_index("ix_processed_event_consumer_record_time", table_name="processed_event")
    op.drop_table("processed_event")
    op.drop_index("ix_outbox_unpositioned", table_name="outbox", postgresql_where=sa.text("position IS NULL"))
    op.drop_index("ix_outbox_position", table_name="outbox")
    op.drop_index("ix_outbox_contact_id", table_name="outbox")
    op.drop_table("outbox")
    op.drop_index(
        "uq_operation_kind_request_id", table_name="operation", postgresql_where=sa.text("request_id <> ''")
    )
    op.drop_index("ix_operation_pending", table_name="operation", postgresql_where=sa.text("NOT done"))
    op.drop_index("ix_operation_create_time", table_name="operation")
    op.drop_table("operation")
    op.drop_index("membership_by_contact", table_name="membership")
    op.drop_table("membership")
    op.drop_table("event_type")
    op.drop_index("event_by_type", table_name="event", postgresql_include=["contact_id"])
    op.drop_index("event_by_contact", table_name="event")
    op.drop_table("event")
    op.drop_index("ix_dead_letter_contact_id", table_name="dead_letter")
    op.drop_table("dead_letter")
    op.drop_index(
        "ix_contact_state_next_change",
        table_name="contact_state",
        postgresql_where=sa.text("next_change IS NOT NULL"),
    )
    op.drop_table("contact_state")
    op.drop_table("consent")
    op.drop_table("attribute")
    op.execute(
        """
        DO $$ DECLARE found text; BEGIN
            SELECT string_agg(oid::regprocedure::text, ', ') INTO found FROM pg_proc
                WHERE proname LIKE 'rule\\_%' AND pronamespace = current_schema()::regnamespace;
            IF found IS NOT NULL THEN EXECUTE 'DROP FUNCTION ' || found || ' CASCADE'; END IF;
        END $$
        """
    )
