"""Writes whose caller gave up: they do not come after what it wrote since."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa
from rapport_client import errors

from services.contacts.models import contact
from services.kit.names import parse_name
from tests.support.stack import Served
from tests.support.waiting import until

WAITING = sa.text(
    "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE NOT granted AND datname = current_database()"
)


def waiting(served: Served) -> int:
    """Return how many transactions wait for a lock."""
    with served.runtime.db.read() as connection:
        return int(connection.execute(WAITING).scalar_one())


def upsert(client: Any, name: str, **options: Any) -> Any:
    identity = {"type": "TYPE_EMAIL", "value": "slow@example.test"}
    return client.upsert_contact(contact={"identities": [identity], "given_name": name}, **options).contact


def test_an_upsert_past_its_deadline_is_not_committed_after_a_later_one(served: Served, client: Any) -> None:
    first = upsert(client, "First")
    key = parse_name(first.name, "contacts")
    with ThreadPoolExecutor() as pool:
        with served.runtime.db.engine.begin() as connection:
            connection.execute(sa.select(contact.c.id).where(contact.c.id == key).with_for_update())
            given_up = pool.submit(upsert, client, "Given up", _timeout=2.0)
            until(lambda: waiting(served) == 1, "the upsert comes to the lock")
            with pytest.raises(errors.DeadlineExceeded):
                given_up.result()
            # It comes to the lock after the one that nobody waits for, so that its answer comes when that has ended.
            tags = pool.submit(
                client.update_contact,
                contact={"name": first.name, "tags": ["x"]},
                update_mask={"paths": ["tags"]},
            )
            until(lambda: waiting(served) == 2, "the update comes to the lock")
        after = tags.result().contact
    assert (after.given_name, list(after.tags), after.revision) == ("First", ["x"], first.revision + 1)
