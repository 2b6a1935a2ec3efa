"""Scheduled campaigns over a real port."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from rapport.campaign.v1 import campaign_pb2 as pb
from rapport_client import errors

from services.campaign.usecases import schedules
from services.kit.wire import from_timestamp
from tests.support.campaign_desk import Desk
from tests.support.stack import NOW

DAY = timedelta(days=1)


@pytest.fixture
def draft(desk: Desk) -> str:
    """A draft."""
    desk.template()
    return desk.campaign()


def at(days: float) -> str:
    return (NOW + days * DAY).replace(tzinfo=None, microsecond=0).isoformat()


def test_schedule_campaign(desk: Desk, api: Any, draft: str) -> None:
    made = api.schedule_campaign(name=draft, schedule={"start_time": at(1)})
    assert from_timestamp(made.next.launch_time) == (NOW + DAY).replace(microsecond=0)
    assert api.get_campaign(name=draft).campaign.state == pb.Campaign.STATE_SCHEDULED
    with pytest.raises(errors.FailedPrecondition) as caught:
        api.launch_campaign(name=draft)
    assert caught.value.reason == "CAMPAIGN_STATE"
    for field, schedule in (
        ("schedule.start_time", {"start_time": "tomorrow"}),
        ("schedule.time_zone", {"start_time": at(1), "time_zone": "Mars/Base"}),
        ("schedule.recurrence", {"start_time": at(1), "recurrence": "FREQ=SECONDLY"}),
        ("schedule.catch_up", {"start_time": at(1), "catch_up": timedelta(days=9)}),
    ):
        with pytest.raises(errors.InvalidArgument) as bad:
            api.schedule_campaign(name=draft, schedule=schedule)
        assert [item.field for item in bad.value.violations] == [field]
        assert bad.value.reason == "INVALID_SCHEDULE"
    with pytest.raises(errors.NotFound):
        api.schedule_campaign(name="campaigns/none", schedule={"start_time": at(1)})


def test_unschedule_campaign(api: Any, draft: str) -> None:
    api.schedule_campaign(name=draft, schedule={"start_time": at(1)})
    for _ in range(2):
        assert api.unschedule_campaign(name=draft).state == pb.Campaign.STATE_DRAFT
    assert not api.get_campaign_schedule(name=draft).coming
    api.launch_campaign(name=draft)
    with pytest.raises(errors.FailedPrecondition):
        api.unschedule_campaign(name=draft)


def test_get_campaign_schedule(api: Any, draft: str) -> None:
    given = {"start_time": at(1), "time_zone": "Asia/Tokyo", "recurrence": "FREQ=DAILY;COUNT=3"}
    api.schedule_campaign(name=draft, schedule=given)
    found = api.get_campaign_schedule(name=draft)
    assert (found.schedule.recurrence, found.schedule.catch_up.seconds) == ("FREQ=DAILY;COUNT=3", 3600)
    assert [item.local_time for item in found.coming] == [at(1), at(2), at(3)]
    assert len(api.get_campaign_schedule(name=draft, count=2).coming) == 2
    with pytest.raises(errors.NotFound):
        api.get_campaign_schedule(name="campaigns/none")


def test_preview_schedule(api: Any) -> None:
    schedule = {"start_time": at(-3), "recurrence": "FREQ=DAILY"}
    coming = api.preview_schedule(schedule=schedule, count=2).coming
    assert all(from_timestamp(item.launch_time) >= NOW - timedelta(seconds=1) for item in coming)
    assert len(coming) == 2
    assert not api.preview_schedule(schedule={"start_time": at(-3)}).coming


def test_list_campaign_runs(desk: Desk, api: Any, draft: str) -> None:
    api.schedule_campaign(name=draft, schedule={"start_time": at(1), "recurrence": "FREQ=DAILY"})
    for day in (1, 2, 3):
        desk.served.clock.instant = NOW + day * DAY
        schedules.launch_due(desk.served.runtime)
    listed = list(api.list_campaign_runs.iterate(name=draft, page_size=2))
    assert [(item.campaign, item.reason) for item in listed] == [
        ("", "PREVIOUS_RUNS"),
        ("", "PREVIOUS_RUNS"),
        (f"{draft}.1", ""),
    ]
    run = api.get_campaign(name=f"{draft}.1").campaign
    assert (run.state, run.series) == (pb.Campaign.STATE_PLANNING, draft)
    with pytest.raises(errors.NotFound):
        api.list_campaign_runs(name="campaigns/none")
