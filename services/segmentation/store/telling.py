"""How who entered and left a segment becomes events: in the very statement by which they did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from services.kit import context
from services.kit.names import new_id
from services.segmentation.store import arrays


@dataclass(frozen=True, slots=True)
class Notice:
    """Hold what events of a segment's members carry: its number and name, the rule's version, the packed payload."""

    number: int
    subject: str
    version: int
    data: bytes


@dataclass(frozen=True)
class Notices:
    """Hold the notices of all segments that a statement may tell of."""

    all: tuple[Notice, ...]

    @cached_property
    def parameters(self) -> Mapping[str, str]:
        """Return them as parameters of TOLD: hundreds of them go with every batch of contacts."""
        return {
            "notice_numbers": arrays.of_numbers(notice.number for notice in self.all),
            "subjects": arrays.of_texts(notice.subject for notice in self.all),
            "versions": arrays.of_numbers(notice.version for notice in self.all),
            "data": arrays.of_bytes(notice.data for notice in self.all),
        }


DATA_TYPE = "type.googleapis.com/rapport.segmentation.v1.MembershipChanged"

TOLD = """
    INSERT INTO outbox (id, type, subject, contact_id, revision, occur_time, record_time, historical,
                        data_type, data, traceparent)
    SELECT (%(id_prefix)s::text || lpad(to_hex(row_number() OVER (ORDER BY c.contact_id)), 8, '0'))::uuid,
           CASE WHEN c.entered THEN 'segment.entered' ELSE 'segment.left' END,
           n.subject, c.contact_id, n.version, %(now)s::timestamptz, %(now)s::timestamptz, %(historical)s::boolean,
           %(data_type)s::text, n.data, coalesce(t.traceparent, %(traceparent)s::text)
    FROM {changed} AS c
    JOIN unnest(%(notice_numbers)s::int[], %(subjects)s::text[], %(versions)s::bigint[], %(data)s::bytea[])
         AS n(segment_number, subject, version, data) USING (segment_number)
    LEFT JOIN unnest(%(trace_contacts)s::uuid[], %(traces)s::text[]) AS t(contact_id, traceparent)
         ON t.contact_id = c.contact_id
"""


def telling(notices: Notices, now: datetime, historical: bool) -> dict[str, Any]:
    """Return the parameters of TOLD, and the instant of whatever else happens in its statement."""
    causes = context.causes()
    traces = causes.traces() if causes else {}
    return {
        "now": now,
        "historical": historical,
        # Time-ordered like every event id, so that of two changes of a contact the later one is told later; the last 32
        # bits count the rows of the statement.
        "id_prefix": new_id().hex[:24],
        "data_type": DATA_TYPE,
        "traceparent": context.traceparent(),
        "trace_contacts": list(traces),
        "traces": list(traces.values()),
        **notices.parameters,
    }
