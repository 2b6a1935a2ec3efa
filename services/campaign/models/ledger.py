"""Tables: the ledger, the suppression list, who just unsubscribed, and the channels.

`message` is the ledger: each message to each recipient, from its planning to what became of it. Addresses are not kept
there, only a keyed hash; the content of a single message (`requests/…`) is kept until it is final.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Column, Table
from sqlalchemy.dialects import postgresql as pg

from services.campaign.models.base import exact_, id_, metadata, text_, time_

message = Table(
    "message",
    metadata,
    id_("id", primary_key=True),
    exact_("origin", comment="campaigns/…, journeys/… or requests/…"),
    exact_("lane", comment="what shares the senders fairly: the origin, or 'requests'"),
    id_("entry_id", nullable=False, comment="the journey's entry; all zeros when there is none"),
    Column("step", sa.Integer, nullable=False),
    id_("contact_id"),
    exact_("channel"),
    exact_("topic"),
    exact_("template_id", comment="empty for a message with content of its own"),
    exact_("coupon_pool_id", comment="empty for none"),
    exact_("state"),
    text_("reason"),
    id_("sender_id", comment="who has it in hand, or had it last"),
    Column("attempt_count", sa.Integer, nullable=False),
    time_("due_time"),
    time_("create_time"),
    time_("send_time", nullable=True),
    text_("coupon_code"),
    text_("subject"),
    Column("recipient_hash", sa.LargeBinary, comment="keyed hash of the address"),
    text_("provider_id"),
    Column("content", pg.JSONB(none_as_null=True), comment="of a single message, until it is final"),
    Column("content_hash", sa.LargeBinary, comment="of the request, so that a repetition is known"),
    exact_("variant", server_default="", comment="of the campaign's experiment; empty for none and held out"),
    Column(
        "tested",
        sa.Boolean,
        nullable=False,
        server_default=sa.false(),
        comment="is compared, or held out for it",
    ),
    Column(
        "death_count",
        sa.Integer,
        nullable=False,
        server_default="0",
        comment="how often its sender died while it was in hand",
    ),
    sa.UniqueConstraint("origin", "entry_id", "step", "contact_id"),
    sa.Index(
        "uq_message_request", "origin", unique=True, postgresql_where=sa.text("content_hash IS NOT NULL")
    ),
    sa.Index("ix_message_origin_state", "origin", "state", "id"),
    sa.Index("ix_message_origin_id", "origin", "id"),
    sa.Index(
        "ix_message_due", "channel", "lane", "due_time", "id", postgresql_where=sa.text("state = 'planned'")
    ),
    sa.Index(
        "ix_message_in_hand",
        "sender_id",
        "state",
        postgresql_where=sa.text("state IN ('claimed', 'sending')"),
    ),
    sa.Index(
        "ix_message_sent",
        "origin",
        "entry_id",
        "step",
        "recipient_hash",
        postgresql_where=sa.text("state = 'sent'"),
    ),
    sa.Index("ix_message_contact_id", "contact_id", "id"),
    # What was planned in a period lies together. Kilobytes, and nothing to write for each version of a message, where a
    # B-tree would get as many entries as there are versions.
    sa.Index(
        "ix_message_create_time",
        "create_time",
        postgresql_using="brin",
        postgresql_with={"pages_per_range": 32, "autosummarize": "on"},
    ),
    # Why messages wait is counted from it alone, however many are planned.
    sa.Index(
        "ix_message_waiting",
        "origin",
        "reason",
        postgresql_where=sa.text("state = 'planned' AND reason <> ''"),
    ),
)

suppression = Table(
    "suppression",
    metadata,
    exact_("kind", primary_key=True),
    exact_("address", primary_key=True, comment="in lower case"),
    text_("reason"),
    time_("create_time"),
)

opt_out = Table(
    "opt_out",
    metadata,
    id_("contact_id", primary_key=True),
    exact_("kind", primary_key=True, comment="of address"),
    exact_("topic", primary_key=True),
    time_("time"),
    sa.Index("ix_opt_out_time", "time"),
    comment="wishes to be left alone that contacts may not know yet; kept for an hour",
)

channel = Table(
    "channel",
    metadata,
    exact_("name", primary_key=True),
    text_("address_kind"),
    Column("idempotent", sa.Boolean, nullable=False),
    text_("when_gone", comment="hold or fail"),
    comment="channels as the senders last saw them, so that they are known when their plugin is gone",
)

message_resolution = Table(
    "message_resolution",
    metadata,
    id_("id", primary_key=True),
    exact_("origin", comment="campaigns/…, journeys/…, requests, or requests/… for a single message"),
    id_("message_id", comment="the only one; NULL: all in doubt that the other columns name"),
    exact_("channel", comment="empty for all"),
    time_("planned_before", nullable=True),
    exact_("resolution", comment="sent, failed or retry"),
    text_("comment"),
    text_("resolver", comment="whose token decided"),
    time_("resolve_time"),
    Column("message_count", sa.Integer, nullable=False),
    sa.Index("ix_message_resolution_origin", "origin", "id"),
    comment="who decided what became of messages in doubt; never changed",
)

sending_hold = Table(
    "sending_hold",
    metadata,
    Column("id", sa.SmallInteger, primary_key=True, autoincrement=False, comment="always 1"),
    text_("reason"),
    time_("create_time"),
    sa.CheckConstraint("id = 1", name="single"),
    comment="while there is a row, senders take no message",
)
