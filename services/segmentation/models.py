"""Tables of the segmentation service (SQLAlchemy Core).

`profile`, `event` and `membership` are the rule engine's, whose SQL reads them; here they get what only the
service needs.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.schema import DDL

from services.kit.db import new_metadata
from services.kit.tables import kit_tables
from services.segmentation.rules import tables as rule_tables
from services.segmentation.rules.sql.functions import FUNCTIONS

metadata = new_metadata()
kit = kit_tables(metadata)

_C = sa.Text(collation="C")
_TIME = sa.DateTime(timezone=True)
_UUID = pg.UUID(as_uuid=True)

profile = rule_tables.profile.to_metadata(metadata)
profile.append_column(
    sa.Column(
        "valid_from",
        _TIME,
        comment="since when it says so; NULL for what was known first, which reaches back",
    )
)
event = rule_tables.event_table.to_metadata(metadata)
membership = rule_tables.membership.to_metadata(metadata)
membership.append_column(sa.Column("enter_time", _TIME, nullable=False))

for _statement in FUNCTIONS:
    sa.event.listen(metadata, "before_create", DDL(_statement.replace("%", "%%")))  # type: ignore[no-untyped-call]

ORDER_SUMS = ("order_count", "total_spent", "first_order_time", "last_order_time")
"""What profiles sum up of orders: for a past time it follows from the events."""

profile_past = sa.Table(
    "profile_past",
    metadata,
    *(
        sa.Column(column.name, column.type, nullable=column.nullable)
        for column in rule_tables.profile.c
        if column.name not in ORDER_SUMS
    ),
    sa.Column("valid_from", _TIME, comment="NULL for what was known first"),
    sa.Column("valid_until", _TIME, nullable=False, comment="when something else became visible"),
    sa.PrimaryKeyConstraint("contact_id", "valid_until"),
    sa.Index("ix_profile_past_valid_until", "valid_until"),
    comment="what profiles said before; the states of a contact follow each other without a gap",
)

membership_past = sa.Table(
    "membership_past",
    metadata,
    sa.Column("contact_id", _UUID, nullable=False),
    sa.Column("segment_number", sa.Integer, nullable=False),
    sa.Column("id", sa.BigInteger, sa.Identity(), nullable=False, comment="in the order in which they ended"),
    sa.Column("enter_time", _TIME, nullable=False),
    sa.Column("leave_time", _TIME, nullable=False),
    sa.PrimaryKeyConstraint("contact_id", "segment_number", "id"),
    sa.Index("ix_membership_past_segment", "segment_number", "contact_id", "leave_time"),
    sa.Index("ix_membership_past_leave_time", "leave_time"),
    comment="who was in which segment, and is not since; written by the statement that lets them leave",
)

segment_past = sa.Table(
    "segment_past",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("id", _C, nullable=False, index=True),
    sa.Column("display_name", sa.Text, nullable=False),
    sa.Column("create_time", _TIME, nullable=False),
    sa.Column("delete_time", _TIME, nullable=False),
    comment="deleted segments, as long as their members of the past are kept",
)

segment_version_past = sa.Table(
    "segment_version_past",
    metadata,
    sa.Column("segment_number", sa.ForeignKey("segment_past.number", ondelete="CASCADE"), primary_key=True),
    sa.Column("version", sa.BigInteger, primary_key=True),
    sa.Column("rule", sa.Text, nullable=False),
    sa.Column("active_from", _TIME, nullable=False),
    comment="versions of deleted segments that were in force",
)

history_kept = sa.Table(
    "history_kept",
    metadata,
    sa.Column("subject", sa.Text, primary_key=True, comment="profiles or memberships"),
    sa.Column("kept_from", _TIME, nullable=False, comment="nothing is missing from this time on"),
    comment="how far history was removed, or when it began to be written; no row when nothing is missing",
)

contact_state = sa.Table(
    "contact_state",
    metadata,
    sa.Column("contact_id", _UUID, primary_key=True),
    sa.Column("next_change", _TIME, comment="first instant at which time alone may change a membership"),
    sa.Index(
        "ix_contact_state_next_change",
        "next_change",
        postgresql_where=sa.text("next_change IS NOT NULL"),
    ),
    comment="one row for each contact heard of, known or not: what changes of a contact lock first",
)

contact_gone = sa.Table(
    "contact_gone",
    metadata,
    sa.Column("contact_id", _UUID, primary_key=True),
    sa.Column(
        "into",
        _UUID,
        index=True,
        comment="the contact that remains, never itself gone; NULL when all was erased",
    ),
    sa.Column("time", _TIME, nullable=False),
    comment="contacts that were merged or erased: whatever is told of one later goes to another, or nowhere",
)

stale = sa.Table(
    "stale",
    metadata,
    sa.Column("contact_id", _UUID, primary_key=True),
    sa.Column("historical", sa.Boolean, nullable=False),
    sa.Column("since", _TIME, nullable=False),
    comment="contacts whose segments with a plugin's rule could not be evaluated",
)

segment = sa.Table(
    "segment",
    metadata,
    sa.Column("number", sa.Integer, sa.Identity(), primary_key=True),
    sa.Column("id", _C, nullable=False, unique=True),
    sa.Column("display_name", sa.Text, nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False, comment="of the newest rule"),
    sa.Column(
        "active_version",
        sa.BigInteger,
        comment="of the rule that membership follows; none before the first rebuild",
    ),
    sa.Column("state", sa.Text, nullable=False, comment="building, ready or failed"),
    sa.Column("state_message", sa.Text, nullable=False, server_default=""),
    sa.Column(
        "stalled",
        sa.Text,
        nullable=False,
        server_default="",
        comment="why changes of contacts do not reach it",
    ),
    sa.Column(
        "gone",
        sa.Boolean,
        nullable=False,
        server_default=sa.false(),
        comment="it stalls for a missing plugin",
    ),
    sa.Column(
        "slow",
        sa.Boolean,
        nullable=False,
        server_default=sa.false(),
        comment="it stalls because its rule takes too long; a rebuild that succeeds ends that",
    ),
    sa.Column("revision", sa.BigInteger, nullable=False, comment="of the definition; the etag"),
    sa.Column("create_time", _TIME, nullable=False),
    sa.Column("update_time", _TIME, nullable=False),
    sa.Column("rebuild_time", _TIME),
    sa.Column("kind", sa.Text, nullable=False, server_default="rule", comment="rule or list"),
    sa.Column("failing_since", _TIME, comment="since when plugins let its rebuilds fail"),
    sa.Column("retry_time", _TIME, comment="when a rebuild that failed for a plugin is tried again"),
)

snapshot_origin = sa.Table(
    "snapshot_origin",
    metadata,
    sa.Column("segment_number", sa.ForeignKey("segment.number", ondelete="CASCADE"), primary_key=True),
    sa.Column("source", _C, nullable=False, comment="id of the segment; empty for a rule"),
    sa.Column("version", sa.BigInteger, nullable=False, comment="of the source's rule; 0 for a rule"),
    sa.Column("rule", sa.Text, nullable=False, comment="that was evaluated; empty when members were taken"),
    sa.Column("as_of", _TIME, comment="none until the snapshot was taken, unless asked for"),
    comment="what lists that are snapshots were made from",
)

segment_version = sa.Table(
    "segment_version",
    metadata,
    sa.Column("segment_number", sa.ForeignKey("segment.number", ondelete="CASCADE"), primary_key=True),
    sa.Column("version", sa.BigInteger, primary_key=True),
    sa.Column("rule", sa.Text, nullable=False),
    sa.Column("depends", pg.ARRAY(_C), nullable=False, comment="ids of the segments that the rule names"),
    sa.Column(
        "functions",
        pg.JSONB,
        nullable=False,
        comment="records of the plugin rules that it calls, as they were",
    ),
    sa.Column("create_time", _TIME, nullable=False),
    sa.Column("active_from", _TIME, comment="since when membership followed it; NULL when it never did"),
)

segment_size = sa.Table(
    "segment_size",
    metadata,
    sa.Column("segment_number", sa.Integer, nullable=False),
    sa.Column("delta", sa.BigInteger, nullable=False),
    sa.Index("ix_segment_size_segment_number", "segment_number"),
    comment="the size of a segment is the sum of its rows: writers only add rows, so none waits for another",
)

plugin_answer = sa.Table(
    "plugin_answer",
    metadata,
    sa.Column("contact_id", _UUID, nullable=False),
    sa.Column("segment_number", sa.ForeignKey("segment.number", ondelete="CASCADE"), nullable=False),
    sa.Column("leaf_no", sa.Integer, nullable=False),
    sa.Column(
        "asked",
        sa.Text,
        nullable=False,
        comment="which version of the segment's rule asked which version of the plugin's",
    ),
    sa.Column("given", sa.Boolean, nullable=False, comment="whether it was answered"),
    sa.Column("value", pg.JSONB),
    sa.Column("next_change", _TIME),
    sa.PrimaryKeyConstraint("contact_id", "segment_number", "leaf_no"),
    comment="what plugins answered for a rebuild that is to come; whoever changes a contact deletes its rows",
)

attribute = sa.Table(
    "attribute",
    metadata,
    sa.Column("name", _C, primary_key=True),
    sa.Column("type", sa.Text, nullable=False),
)

consent = sa.Table(
    "consent",
    metadata,
    sa.Column("name", _C, primary_key=True, comment='"<channel>_<topic>"'),
)

event_type = sa.Table(
    "event_type",
    metadata,
    sa.Column("name", _C, primary_key=True),
    sa.Column("fields", pg.JSONB, nullable=False, comment='[{"name", "type", "optional"}]'),
)

trait = sa.Table(
    "trait",
    metadata,
    sa.Column("name", _C, primary_key=True, comment="as its plugin registers it, such as rfm.scores"),
    sa.Column("record", pg.JSONB, nullable=False, comment="of the plugin manager, as it was when last seen"),
    sa.Column("available", sa.Boolean, nullable=False, comment="whether its plugin is loaded and sound"),
    sa.Column("refresh_time", _TIME),
    sa.Column("message", sa.Text, nullable=False, server_default="", comment="why the last refresh failed"),
)

vocabulary = sa.Table(
    "vocabulary",
    metadata,
    sa.Column("id", sa.SmallInteger, primary_key=True, autoincrement=False, comment="always 1"),
    sa.Column(
        "names", _UUID, nullable=False, comment="another one when anything that rules may name changed"
    ),
    sa.Column(
        "rules", _UUID, nullable=False, comment="another one when the rules that membership follows changed"
    ),
    sa.CheckConstraint("id = 1", name="single"),
)
