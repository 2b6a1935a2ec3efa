"""Promises: which target holds, when it falls due, when it is broken."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from services.care.domain.calendar import Calendar, always_open
from services.care.domain.sla import Promise, Target, due_times, target_for, unreachable

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def test_a_priority_has_its_own_target_or_the_one_for_all():
    targets = {"": Target(60, 600), "urgent": Target(5, 0)}
    assert target_for(targets, "urgent") == Target(5, 0)
    assert target_for(targets, "low") == target_for(targets, "") == Target(60, 600)
    assert target_for({"urgent": Target(5, 0)}, "low") is None


def test_due_times_run_in_business_hours():
    office = Calendar(ZoneInfo("Asia/Ho_Chi_Minh"), dict.fromkeys(range(1, 6), ((8 * 60, 17 * 60),)))
    friday = datetime(2026, 3, 6, 16, 30, tzinfo=ZoneInfo("Asia/Ho_Chi_Minh"))
    first, resolution = due_times(Target(60, 9 * 60), office, friday)
    assert first == datetime(2026, 3, 9, 8, 30, tzinfo=ZoneInfo("Asia/Ho_Chi_Minh"))
    assert resolution == datetime(2026, 3, 9, 16, 30, tzinfo=ZoneInfo("Asia/Ho_Chi_Minh"))


def test_nothing_promised_is_never_due():
    assert due_times(None, always_open(), NOON) == (None, None)
    assert due_times(Target(0, 0), always_open(), NOON) == (None, None)
    assert not Promise(None).broken(NOON)


def test_a_promise_that_never_falls_due_keeps_no_case_from_opening():
    closed = Calendar(ZoneInfo("UTC"), {})
    assert due_times(Target(1, 0), closed, NOON) == (None, None)
    assert unreachable(Target(1, 0), closed, NOON)
    assert unreachable(Target(0, 1), closed, NOON)
    assert not unreachable(Target(0, 0), closed, NOON)
    assert not unreachable(Target(1, 1), always_open(), NOON)


def test_a_promise_is_broken_after_its_due_time_not_at_it():
    assert not Promise(NOON).broken(NOON)
    assert Promise(NOON).broken(NOON + timedelta(microseconds=1))
    assert Promise(NOON, NOON + MINUTE).broken(NOON)
    assert not Promise(NOON, NOON).broken(NOON + MINUTE)
