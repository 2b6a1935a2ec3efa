"""Tables: what came back of messages: interactions, reports of mail servers and providers, and what was not readable.

No network address is kept, only a keyed hash that tells whether two interactions came from one place.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Column, Table

from services.campaign.models.base import exact_, id_, metadata, text_, time_

interaction = Table(
    "interaction",
    metadata,
    id_("id", primary_key=True),
    id_("message_id", nullable=False),
    id_("contact_id"),
    exact_("origin"),
    exact_("kind", comment="open, click, unsubscribe"),
    Column("link", sa.SmallInteger, nullable=False, comment="number of the link; -1 for none"),
    time_("time"),
    exact_("verdict", comment="pending, human, scanner"),
    text_("rule", comment="what decided; empty for a person"),
    exact_("agent", comment="class of the program"),
    Column("source_hash", sa.LargeBinary, comment="keyed hash of the network address"),
    id_("event_id", comment="the event that tells of it, until it is reversed"),
    sa.Index("ix_interaction_pending", "time", "id", postgresql_where=sa.text("verdict = 'pending'")),
    sa.Index("ix_interaction_message_id", "message_id", "time"),
    sa.Index("ix_interaction_contact_id", "contact_id", "id"),
    sa.Index("ix_interaction_origin", "origin", "id"),
    sa.Index("ix_interaction_source", "source_hash", "time", postgresql_where=sa.text("kind = 'click'")),
    sa.Index("ix_interaction_time", "time"),
)

delivery_report = Table(
    "delivery_report",
    metadata,
    id_("message_id", primary_key=True),
    exact_("kind", primary_key=True, comment="delivered, delayed, soft_bounced, bounced, complained"),
    id_("id", nullable=False, unique=True),
    id_("contact_id"),
    exact_("origin"),
    Column("recipient_hash", sa.LargeBinary, comment="as in the ledger"),
    text_("reason"),
    time_("time"),
    Column("suppressed", sa.Boolean, nullable=False, comment="its address was put on the suppression list"),
    sa.Index("ix_delivery_report_contact_id", "contact_id"),
    sa.Index("ix_delivery_report_origin", "origin", "id"),
    sa.Index(
        "ix_delivery_report_soft",
        "recipient_hash",
        "time",
        postgresql_where=sa.text("kind = 'soft_bounced'"),
    ),
)

quarantine = Table(
    "quarantine",
    metadata,
    id_("id", primary_key=True),
    text_("source", comment="mail, callbacks/…"),
    text_("reason"),
    Column("content", sa.LargeBinary, nullable=False, comment="its beginning"),
    Column("size", sa.BigInteger, nullable=False),
    time_("time"),
    comment="reports that could not be read",
)
