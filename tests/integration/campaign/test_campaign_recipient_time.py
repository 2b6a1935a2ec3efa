"""Campaigns that are due by the recipients' own clocks, once or again and again."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from services.campaign.domain.schedules import moment_of
from services.campaign.models import campaign, message
from services.campaign.store import schedules as store
from services.campaign.usecases import schedules
from services.kit.errors import InvalidArgument
from services.kit.runtime import Runtime
from tests.integration.campaign.test_campaign_schedules import HOUR, do_launches, end, local, plan, runs
from tests.support.campaign import World, clock_of, make_campaign, make_template


def test_recipients_get_it_when_their_own_clocks_show_the_time(runtime: Runtime, world: World) -> None:
    zones = ["Pacific/Kiritimati", "Asia/Tokyo", "America/New_York", ""]
    people = {world.add(time_zone=zone)[0]: zone for zone in zones}
    make_template(runtime)
    make_campaign(runtime)
    schedules.schedule_campaign(runtime, "spring", plan(start=local("2026-03-08T02:30"), recipient_time=True))
    clock_of(runtime).instant = datetime(2026, 3, 7, 12, 30, tzinfo=UTC)
    assert schedules.launch_due(runtime) == 1
    do_launches(runtime)
    with runtime.db.read() as connection:
        rows = connection.execute(sa.select(message.c.contact_id, message.c.due_time)).all()
    due = {people[f"contacts/{row.contact_id}"]: row.due_time for row in rows}
    assert due == {
        "Pacific/Kiritimati": datetime(2026, 3, 7, 12, 30, tzinfo=UTC),
        "Asia/Tokyo": datetime(2026, 3, 7, 17, 30, tzinfo=UTC),
        # That night 02:30 is skipped in New York.
        "America/New_York": datetime(2026, 3, 8, 7, 30, tzinfo=UTC),
        "": datetime(2026, 3, 8, 2, 30, tzinfo=UTC),
    }


def test_runs_by_the_recipients_clocks_overlap_while_the_day_goes_around_the_world(
    runtime: Runtime, world: World
) -> None:
    world.add(time_zone="Pacific/Honolulu")
    make_template(runtime)
    make_campaign(runtime)
    given = plan(start=local("2026-03-03T09:00"), recipient_time=True, recurrence="FREQ=DAILY;COUNT=4")
    schedules.schedule_campaign(runtime, "spring", given)
    # Each begins as the one before is due in Honolulu.
    for day in (2, 3):
        clock_of(runtime).instant = datetime(2026, 3, day, 19, 0, tzinfo=UTC)
        assert schedules.launch_due(runtime) == 1
    do_launches(runtime)
    assert runs(runtime) == [("spring.1", "", 1), ("spring.2", "", 1)]
    # By now the first has been due everywhere for long.
    clock_of(runtime).instant = datetime(2026, 3, 4, 19, 0, tzinfo=UTC)
    assert schedules.launch_due(runtime) == 0
    end(runtime, "spring.1")
    clock_of(runtime).instant = datetime(2026, 3, 5, 19, 0, tzinfo=UTC)
    assert schedules.launch_due(runtime) == 0
    assert runs(runtime)[2:] == [("", "PREVIOUS_RUNS", 1), ("", "PREVIOUS_RUNS", 1)]


def test_by_the_recipients_clocks_occurrences_are_hours_apart(runtime: Runtime, world: World) -> None:
    """Else clocks that are put forward would let two fall on one moment, for some recipients only."""
    make_template(runtime)
    make_campaign(runtime)
    hourly = plan(start=local("2026-03-08T00:30"), recipient_time=True, recurrence="FREQ=HOURLY")
    for refused in (hourly, replace(hourly, recurrence="FREQ=DAILY;BYHOUR=2,3,9")):
        with pytest.raises(InvalidArgument, match="3 hours apart"):
            schedules.schedule_campaign(runtime, "spring", refused)
    allowed = replace(hourly, recurrence="FREQ=DAILY;BYHOUR=9,12,18")
    assert schedules.preview_schedule(runtime, allowed, 1)
    # One that was stored before keeps the distance, too.
    with runtime.db.transaction() as connection:
        store.save(connection, "spring", hourly, hourly.start, moment_of(hourly, hourly.start))
        connection.execute(sa.update(campaign).values(state="scheduled"))
    clock_of(runtime).instant = moment_of(hourly, hourly.start)
    for _ in range(4):
        schedules.launch_due(runtime)
        clock_of(runtime).instant += HOUR
    assert runs(runtime) == [("spring.1", "", 1), *[("", "PREVIOUS_RUNS", 1)] * 2, ("spring.2", "", 1)]
