"""Rules at the limits, many together: a batch is never aborted by what each of them may be."""

from __future__ import annotations

from sqlalchemy import Connection

from services.segmentation.rules import compile_rule
from services.segmentation.rules.sql import frames
from tests.integration.rules import agreement, sides


def test_a_batch_of_many_long_rules_is_answered(rule_tables: Connection) -> None:
    """PostgreSQL has 1,664 columns in a sub-select; a batch may ask for more numbers of a contact's events."""
    ids = agreement.prepare(rule_tables)
    people = sides.people()
    rules = [
        compile_rule(
            " || ".join(
                f"events.pair_seen.filter(y, y.sure_int == {150 * part + n}).size() > 1" for n in range(150)
            ),
            sides.REGISTRY,
        )
        for part in range(12)
    ]
    assert frames.MAX_COLUMNS < 12 * 150
    found = agreement.store.batch(rule_tables, rules, ids, people, sides.NOW)
    for number, rule in enumerate(rules):
        wanted = agreement.store.members_by_rebuild(rule_tables, rule, sides.NOW)
        assert {i for i in ids if number in found[i][0]} == wanted
