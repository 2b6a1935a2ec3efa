"""Queries on what campaign keeps of contacts that were merged into another one or erased."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from services.kit import gone

NOBODY = UUID(int=0)

# A message that both were to get is sent once: the ledger keeps what became of the absorbed contact's.
_HAND_OVER = (
    """
    UPDATE message AS m SET contact_id = %(heir)s WHERE m.contact_id = %(key)s AND NOT EXISTS (
        SELECT FROM message AS o WHERE o.contact_id = %(heir)s
        AND o.origin = m.origin AND o.entry_id = m.entry_id AND o.step = m.step)
    """,
    """
    UPDATE message SET state = 'cancelled', reason = 'CONTACT_MERGED', content = NULL
    WHERE contact_id = %(key)s AND state IN ('planned', 'claimed')
    """,
    """
    INSERT INTO journey_contact (contact_id, journey_id, start_time)
    SELECT %(heir)s, journey_id, start_time FROM journey_contact WHERE contact_id = %(key)s
    ON CONFLICT (contact_id, journey_id)
    DO UPDATE SET start_time = GREATEST(journey_contact.start_time, excluded.start_time)
    """,
    "DELETE FROM journey_contact WHERE contact_id = %(key)s",
    """
    UPDATE journey_entry AS e SET finish_time = %(now)s, outcome = 'merged'
    WHERE e.contact_id = %(key)s AND e.finish_time IS NULL AND EXISTS (
        SELECT FROM journey_entry AS o
        WHERE o.contact_id = %(heir)s AND o.journey_id = e.journey_id AND o.finish_time IS NULL)
    """,
    """
    UPDATE journey_entry AS e SET contact_id = %(heir)s WHERE e.contact_id = %(key)s AND NOT EXISTS (
        SELECT FROM journey_entry AS o
        WHERE o.contact_id = %(heir)s AND o.journey_id = e.journey_id AND o.event_id = e.event_id)
    """,
    "UPDATE coupon SET contact_id = %(heir)s WHERE contact_id = %(key)s",
    # A message that both were to get, and got, stays the absorbed contact's in the ledger, as does what came back
    # of it.
    """
    UPDATE interaction AS i SET contact_id = m.contact_id FROM message AS m
    WHERE i.contact_id = %(key)s AND m.id = i.message_id AND m.contact_id <> %(key)s
    """,
    """
    UPDATE delivery_report AS r SET contact_id = m.contact_id FROM message AS m
    WHERE r.contact_id = %(key)s AND m.id = r.message_id AND m.contact_id <> %(key)s
    """,
    # What either of them got counts under the frequency caps of the one that remains.
    "UPDATE recent_send SET contact_id = %(heir)s WHERE contact_id = %(key)s",
    """
    DELETE FROM journey_signal AS s USING journey_entry AS e
    WHERE s.entry_id = e.id AND e.contact_id IN (%(key)s, %(heir)s) AND e.finish_time IS NOT NULL
    """,
    """
    INSERT INTO opt_out (contact_id, kind, topic, time)
    SELECT %(heir)s, kind, topic, time FROM opt_out WHERE contact_id = %(key)s
    ON CONFLICT (contact_id, kind, topic) DO UPDATE SET time = GREATEST(opt_out.time, excluded.time)
    """,
    "DELETE FROM opt_out WHERE contact_id = %(key)s",
    # What a journey brings about for the absorbed contact is brought about for the one that remains.
    "UPDATE journey_action SET contact_id = %(heir)s WHERE contact_id = %(key)s",
    "DELETE FROM contact_date WHERE contact_id = %(key)s",
    # What a simulation foretold of the two does not hold for the one that remains.
    "DELETE FROM simulated_message WHERE contact_id = %(key)s",
    "DELETE FROM simulated_entry WHERE contact_id = %(key)s",
    "DELETE FROM simulated_event WHERE contact_id = %(key)s",
)
_EMPTY = (
    """
    UPDATE message SET contact_id = NULL, subject = '', recipient_hash = NULL, provider_id = '', content = NULL,
        reason = CASE WHEN state IN ('planned', 'claimed') THEN 'CONTACT_ERASED' ELSE reason END,
        state = CASE WHEN state IN ('planned', 'claimed') THEN 'cancelled' ELSE state END
    WHERE contact_id = ANY(%(keys)s::uuid[])
    """,
    "DELETE FROM journey_contact WHERE contact_id = ANY(%(keys)s::uuid[])",
    """
    DELETE FROM journey_signal AS s USING journey_entry AS e
    WHERE s.entry_id = e.id AND e.contact_id = ANY(%(keys)s::uuid[])
    """,
    """
    UPDATE journey_action SET contact_id = NULL, body = '{}',
        reason = CASE WHEN state = 'planned' THEN 'CONTACT_ERASED' ELSE '' END,
        finish_time = coalesce(finish_time, %(now)s),
        state = CASE WHEN state = 'planned' THEN 'cancelled' ELSE state END
    WHERE contact_id = ANY(%(keys)s::uuid[])
    """,
    "DELETE FROM contact_date WHERE contact_id = ANY(%(keys)s::uuid[])",
    # Their number stays, under the id of nobody; an event is of one contact, so no two have the same.
    """
    UPDATE journey_entry SET event = '{}', contact_id = %(nobody)s, problem = '',
        outcome = CASE WHEN finish_time IS NULL THEN 'erased' ELSE outcome END,
        finish_time = coalesce(finish_time, %(now)s)
    WHERE contact_id = ANY(%(keys)s::uuid[])
    """,
    "UPDATE coupon SET contact_id = NULL WHERE contact_id = ANY(%(keys)s::uuid[])",
    """
    UPDATE interaction SET contact_id = NULL, source_hash = NULL
    WHERE contact_id = ANY(%(keys)s::uuid[])
    """,
    """
    UPDATE delivery_report SET contact_id = NULL, recipient_hash = NULL, reason = ''
    WHERE contact_id = ANY(%(keys)s::uuid[])
    """,
    "DELETE FROM recent_send WHERE contact_id = ANY(%(keys)s::uuid[])",
    "DELETE FROM opt_out WHERE contact_id = ANY(%(keys)s::uuid[])",
    "DELETE FROM simulated_message WHERE contact_id = ANY(%(keys)s::uuid[])",
    "DELETE FROM simulated_entry WHERE contact_id = ANY(%(keys)s::uuid[])",
    "DELETE FROM simulated_event WHERE contact_id = ANY(%(keys)s::uuid[])",
)


def hand_over(connection: Connection, key: UUID, heir: UUID, now: datetime) -> None:
    """Give messages, journeys and coupons of a contact to another one, so that nothing reaches it twice.

    Of a journey that both are on, the absorbed contact's ends.
    """
    for statement in _HAND_OVER:
        connection.exec_driver_sql(statement, {"key": key, "heir": heir, "now": now})


def empty(connection: Connection, contact_ids: Collection[UUID], now: datetime) -> None:
    """Take contacts out of the ledger, journeys and coupons; the counts stay. What was not sent yet is cancelled."""
    values = {"keys": list(contact_ids), "now": now, "nobody": NOBODY}
    for statement in _EMPTY:
        connection.exec_driver_sql(statement, values)
    gone.forget_told(connection, contact_ids)
