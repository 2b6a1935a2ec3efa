"""What is older than history is kept is removed, in batches, and nothing that can still be asked about."""

from __future__ import annotations

import dataclasses
import threading
from datetime import datetime, timedelta
from uuid import UUID

import pytest
import sqlalchemy as sa

from services.kit import migrations
from services.kit.config import Settings
from services.kit.db import make_engine
from services.kit.errors import FailedPrecondition, NotFound
from services.segmentation.context import make_service
from services.segmentation.domain import Retention
from services.segmentation.store import kept, past
from services.segmentation.usecases import defining, history, previewing
from tests.support.postgres import DatabaseFactory
from tests.support.segmentation import NOW, NoPlugins, World, contact, contact_id, days

KEYS = [contact_id(number) for number in range(7)]
VN = 'contact.region_code == "VN"'


@pytest.fixture
def short(seg: World) -> World:
    """The service with a short memory: profiles for 10 days, memberships for 20."""
    retention = Retention(days(10), days(20))
    return World(dataclasses.replace(seg.service, retention=retention), seg.clock)


def move(seg: World, revision: int, region: str) -> datetime:
    """Let a day pass, and move everybody."""
    seg.clock.instant += days(1)
    seg.deliver(*(contact(key, revision=revision, region_code=region) for key in KEYS))
    return seg.clock.instant


def rows(seg: World) -> tuple[int, int]:
    """Return how many states and intervals of the past there are."""
    states, intervals = (
        seg.query(f"SELECT count(*) FROM {name}") for name in ("profile_past", "membership_past")
    )
    return states[0], intervals[0]


def count(seg: World, rule: str, time: datetime) -> int:
    return previewing.evaluate_rule(seg.service, rule=rule, as_of=time).members


def members(seg: World, id_: str, time: datetime) -> list[UUID]:
    with seg.db.snapshot() as connection:
        return history.members_at(seg.service, connection, id_, time, after=None, limit=100).contacts


def test_what_is_too_old_goes_in_batches_and_the_rest_stays_exact(short: World) -> None:
    seg = short
    seg.define("vn", VN)
    times = [move(seg, revision, "VN" if revision % 2 else "US") for revision in range(1, 7)]
    assert rows(seg) == (5 * len(KEYS), 3 * len(KEYS))
    assert history.remove_old(seg.service) == 0
    assert seg.query("SELECT count(*) FROM history_kept") == [0]

    # Of the states that ended on days 2 to 6, those of days 2 and 3 are too old by an instant.
    seg.clock.instant = times[2] + days(10) + timedelta(microseconds=1)
    bound = seg.clock.instant - days(10)
    assert history.remove_old(seg.service, batch=4) == 2 * len(KEYS)
    assert rows(seg) == (3 * len(KEYS), 3 * len(KEYS))
    with pytest.raises(FailedPrecondition) as caught:
        count(seg, VN, times[2])
    assert caught.value.metadata == {"earliest_time": bound.isoformat().replace("+00:00", "Z")}
    assert [count(seg, VN, time) for time in (bound, *times[3:])] == [7, 0, 7, 0]
    assert [len(members(seg, "vn", time)) for time in times] == [7, 0, 7, 0, 7, 0]

    seg.clock.instant = times[-1] + days(30)
    assert history.remove_old(seg.service) == 6 * len(KEYS)
    assert rows(seg) == (0, 0)
    assert count(seg, VN, seg.clock.instant - days(10)) == 0
    assert members(seg, "vn", seg.clock.instant - days(20)) == []


def test_a_run_that_has_lasted_long_enough_leaves_the_rest_to_the_next(short: World) -> None:
    seg = short
    for revision in range(1, 4):
        move(seg, revision, str(revision))
    seg.clock.instant += days(30)
    assert history.remove_old(seg.service, batch=4, run_seconds=0.0) == 4
    # What goes is refused from the first batch on.
    with pytest.raises(FailedPrecondition):
        count(seg, VN, NOW)
    assert history.remove_old(seg.service, batch=4) == 10
    assert history.remove_old(seg.service, batch=4) == 0


def test_a_deleted_segment_goes_with_its_last_member_of_the_past(short: World) -> None:
    seg = short
    move(seg, 1, "VN")
    seg.define("vn", VN)
    seg.clock.instant += days(1)
    with seg.db.transaction() as connection:
        defining.delete_segment(seg.service, connection, "vn", "")
    deleted = seg.clock.instant
    seg.clock.instant = deleted + days(20)
    history.remove_old(seg.service)
    assert members(seg, "vn", deleted) == []
    assert seg.query("SELECT id FROM segment_past") == ["vn"]
    seg.clock.instant += timedelta(microseconds=1)
    assert history.remove_old(seg.service, run_seconds=0.0, batch=3) == 3
    assert seg.query("SELECT id FROM segment_past") == ["vn"]
    assert history.remove_old(seg.service) == 4
    for table in ("segment_past", "segment_version_past", "membership_past"):
        assert seg.query(f"SELECT count(*) FROM {table}") == [0]
    with pytest.raises(NotFound):
        members(seg, "vn", deleted)


def test_several_workers_remove_at_the_same_time(short: World) -> None:
    seg = short
    for revision in range(1, 8):
        move(seg, revision, str(revision))
    seg.clock.instant += days(30)
    removed: list[int] = []
    threads = [
        threading.Thread(target=lambda: removed.append(history.remove_old(seg.service, batch=2)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    removed.append(history.remove_old(seg.service))
    assert len(removed) == 4
    assert sum(removed) == 6 * len(KEYS)
    assert rows(seg) == (0, 0)


def test_a_question_sees_one_moment_while_history_is_removed(short: World) -> None:
    seg = short
    times = [move(seg, 1, "VN"), move(seg, 2, "US")]
    seg.clock.instant = times[0] + days(10)
    with previewing.snapshot(seg.service) as connection:
        history.check_kept(seg.service, connection, "profiles", times[0])
        seg.clock.instant += days(5)
        assert history.remove_old(seg.service) == len(KEYS)
        relation = past.relation_at(times[0])
        regions = connection.execute(sa.select(relation.c.region_code)).scalars()
        assert list(regions) == ["VN"] * len(KEYS)


def test_the_settings_say_how_long_history_is_kept() -> None:
    class Runtime:
        db = clock = signer = None
        settings = Settings(profile_history_days=3, membership_history_days=5)

    service = make_service(Runtime(), NoPlugins())  # type: ignore[arg-type]
    assert service.retention == Retention(days(3), days(5))
    assert Retention() == Retention(
        days(Settings.model_fields["profile_history_days"].default),
        days(Settings.model_fields["membership_history_days"].default),
    )


def test_history_of_an_older_database_begins_with_its_last_change(make_database: DatabaseFactory) -> None:
    url = make_database("segmentation")
    migrations.upgrade("segmentation", url)
    migrations.downgrade("segmentation", url, "0001")
    engine = make_engine(url)
    with engine.begin() as connection:
        values = {"entered": NOW - days(3), "rebuilt": NOW - days(2), "told": NOW - days(1), "key": KEYS[0]}
        for statement in (
            "INSERT INTO profile (contact_id, region_code) VALUES (%(key)s, 'VN')",
            "INSERT INTO segment (id, display_name, version, active_version, state, revision, create_time, "
            "update_time, rebuild_time) VALUES ('vn', '', 3, 2, 'building', 1, %(entered)s, %(rebuilt)s, %(rebuilt)s)",
            "INSERT INTO segment_version (segment_number, version, rule, depends, functions, create_time) "
            "SELECT number, v, 'true', '{}', '{}', %(entered)s FROM segment, generate_series(1, 3) AS v",
            "INSERT INTO membership SELECT number, %(key)s, %(entered)s FROM segment",
            "INSERT INTO processed_event VALUES ('c', gen_random_uuid(), 1, %(told)s)",
        ):
            connection.exec_driver_sql(statement, values)
    migrations.upgrade("segmentation", url)
    with engine.connect() as connection:
        bounds = {subject: kept.kept_from(connection, subject) for subject in ("profiles", "memberships")}  # type: ignore[arg-type]
        assert bounds == {"profiles": NOW - days(1), "memberships": NOW - days(1)}
        versions = connection.exec_driver_sql("SELECT version, active_from FROM segment_version")
        found = {row.version: row.active_from for row in versions}
        assert past.find_at(connection, KEYS[0], NOW).region_code == "VN"
    assert found == {1: None, 2: NOW - days(2), 3: None}
    engine.dispose()
