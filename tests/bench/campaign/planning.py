"""The audience of a launch beside the best statement by hand: one INSERT … SELECT of the same rows."""

from __future__ import annotations

import time
from collections.abc import Callable

import psycopg

from services.kit.postgres import libpq_url
from tests.bench.campaign.stack import EVERYBODY, Stack, contact_id
from tests.bench.report import Figure
from tests.support.campaign import NOW, make_campaign, plan

_BY_HAND = """
INSERT INTO message (id, contact_id, origin, lane, entry_id, step, channel, topic, template_id, coupon_pool_id, state,
    reason, attempt_count, due_time, create_time, coupon_code, subject, provider_id)
SELECT uuidv7(), contact_id, 'campaigns/by-hand', 'campaigns/by-hand', '00000000-0000-0000-0000-000000000000', 0,
    'email.smtp', 'marketing', 'hello', '', 'planned', '', 0, %(now)s, %(now)s, '', '', ''
FROM audience
"""


def measure(stack: Stack, recipients: int, say: Callable[[str], None]) -> list[Figure]:
    """Return the time of a recipient from the pages of segmentation to the ledger, beside the statement's."""
    stack.forget_messages()
    stack.members.names = [f"contacts/{contact_id(number)}" for number in range(1, recipients + 1)]
    make_campaign(stack.runtime, "planned", segment=EVERYBODY)
    started = time.perf_counter()
    plan(stack.runtime, "planned")
    ours = time.perf_counter() - started
    assert stack.states() == {"planned": recipients}
    stack.forget_messages()
    with psycopg.connect(libpq_url(stack.urls["campaign"])) as connection:
        connection.execute("CREATE TEMPORARY TABLE audience (contact_id uuid)")
        with connection.cursor().copy("COPY audience FROM STDIN") as copy:
            for number in range(1, recipients + 1):
                copy.write_row((str(contact_id(number)),))
        connection.commit()
        started = time.perf_counter()
        connection.execute(_BY_HAND, {"now": NOW})
        connection.commit()
        by_hand = time.perf_counter() - started
        connection.execute("DROP TABLE audience")
    stack.forget_messages()
    say(f"planned {recipients:,} recipients in {ours:.1f} s, by hand in {by_hand:.1f} s")
    micro = 1e6 / recipients
    return [
        Figure(
            "a recipient planned, beside INSERT … SELECT by hand", ours * micro, by_hand * micro, "µs", 2.0
        )
    ]
