"""Send policies, rate limits and the states of channels over a real port."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from rapport.campaign.v1 import limits_pb2 as pb
from rapport_client import errors

from services.kit.wire import from_duration, from_timestamp, to_duration
from tests.support.campaign_desk import Desk
from tests.support.stack import NOW

DAY = to_duration(timedelta(days=1))


def policy(key: str = "default", **fields: Any) -> pb.SendPolicy:
    given = {
        "quiet_hours": [pb.DaySpan(start_minute=1320, end_minute=480)],
        "send_windows": [pb.DaySpan(start_minute=540, end_minute=1200, days=[1, 2, 3, 4, 5])],
        "caps": [pb.FrequencyCap(count=3, period=DAY, per_channel=True)],
        "over_cap": pb.OVER_CAP_DEFER,
    }
    return pb.SendPolicy(name=f"sendPolicies/{key}", **(given | fields))


def limit(key: str = "all", **fields: Any) -> pb.RateLimit:
    return pb.RateLimit(name=f"rateLimits/{key}", **({"channels": ["email.smtp"], "count": 100} | fields))


def set_policy(api: Any, *arguments: Any, **fields: Any) -> pb.SendPolicy:
    return api.set_send_policy(policy=policy(*arguments, **fields)).policy


def set_limit(api: Any, *arguments: Any, **fields: Any) -> pb.RateLimit:
    return api.set_rate_limit(limit=limit(*arguments, **fields)).limit


def violated(caught: pytest.ExceptionInfo[errors.RapportError]) -> set[str]:
    return {violation.field for violation in caught.value.violations}


def test_set_send_policy(desk: Desk, api: Any) -> None:
    made = set_policy(api, include_transactional=True)
    assert from_timestamp(made.create_time) == from_timestamp(made.update_time) == NOW
    given = policy(include_transactional=True)
    assert pb.SendPolicy(name=made.name, include_transactional=True) == pb.SendPolicy(
        name=given.name, include_transactional=made.include_transactional
    )
    assert (list(made.quiet_hours), list(made.send_windows), list(made.caps), made.over_cap) == (
        list(given.quiet_hours),
        list(given.send_windows),
        list(given.caps),
        pb.OVER_CAP_DEFER,
    )
    desk.served.clock.instant = NOW + timedelta(hours=1)
    changed = set_policy(api, caps=[], over_cap=0, etag=made.etag)
    assert (list(changed.caps), changed.over_cap, changed.include_transactional) == (
        [],
        pb.OVER_CAP_SUPPRESS,
        False,
    )
    assert (from_timestamp(changed.create_time), from_timestamp(changed.update_time)) == (
        NOW,
        NOW + timedelta(hours=1),
    )
    with pytest.raises(errors.Aborted) as caught:
        set_policy(api, etag=made.etag)
    assert caught.value.reason == "ETAG_MISMATCH"
    with pytest.raises(errors.Aborted):
        set_policy(api, "new", topic="news", etag="1-1")
    with pytest.raises(errors.AlreadyExists) as taken:
        set_policy(api, "second")
    assert (taken.value.reason, taken.value.metadata["resource"]) == ("SCOPE_TAKEN", "sendPolicies/default")
    assert set_policy(api, "second", topic="news").topic == "news"
    with pytest.raises(errors.AlreadyExists):
        set_policy(api, "second")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"topic": "No Topic"}, "policy.topic"),
        ({"quiet_hours": [pb.DaySpan(start_minute=0, end_minute=1440)]}, "policy.quiet_hours"),
        ({"quiet_hours": [pb.DaySpan(start_minute=60, end_minute=60)]}, "policy.quiet_hours[0].end_minute"),
        (
            {"send_windows": [pb.DaySpan(start_minute=0, end_minute=60, days=[8])]},
            "policy.send_windows[0].days",
        ),
        (
            {"send_windows": [pb.DaySpan(start_minute=1440, end_minute=60)]},
            "policy.send_windows[0].start_minute",
        ),
        ({"caps": [pb.FrequencyCap(count=1)]}, "policy.caps[0].period"),
        (
            {"caps": [pb.FrequencyCap(count=1, period=to_duration(timedelta(days=367)))]},
            "policy.caps[0].period",
        ),
        ({"caps": [pb.FrequencyCap(period=DAY)]}, "policy.caps[0].count"),
        ({"name": "sendPolicies/Big"}, "policy.name"),
        ({"name": "policies/x"}, "policy.name"),
    ],
)
def test_set_send_policy_refuses(api: Any, fields: dict[str, Any], field: str) -> None:
    given = policy()
    for name, value in fields.items():
        if isinstance(value, list):
            del getattr(given, name)[:]
            getattr(given, name).extend(value)
        else:
            setattr(given, name, value)
    with pytest.raises(errors.InvalidArgument) as caught:
        api.set_send_policy(policy=given)
    assert violated(caught) == {field}
    assert list(api.list_send_policies().policies) == []


def test_get_send_policy(api: Any) -> None:
    made = set_policy(api)
    assert api.get_send_policy(name=made.name).policy == made
    with pytest.raises(errors.NotFound):
        api.get_send_policy(name="sendPolicies/none")


def test_list_send_policies(api: Any) -> None:
    for key in ("c", "a", "b"):
        set_policy(api, key, topic=key)
    assert [item.name for item in api.list_send_policies.iterate(page_size=2)] == [
        "sendPolicies/a",
        "sendPolicies/b",
        "sendPolicies/c",
    ]


def test_delete_send_policy(api: Any) -> None:
    made = set_policy(api)
    with pytest.raises(errors.Aborted):
        api.delete_send_policy(name=made.name, etag="0-0")
    for _ in range(2):
        api.delete_send_policy(name=made.name, etag=made.etag)
    assert list(api.list_send_policies().policies) == []
    again = set_policy(api)
    with pytest.raises(errors.Aborted):
        # One that was made anew has not the etag of its predecessor unless both were made in the same moment.
        set_policy(api, etag=f"9{again.etag}")


def test_set_rate_limit(api: Any) -> None:
    made = set_limit(api)
    assert (made.count, from_duration(made.period), made.burst, made.domain) == (
        100,
        timedelta(seconds=1),
        20,
        "",
    )
    minute = to_duration(timedelta(minutes=1))
    slow = set_limit(
        api, channels=["email.smtp", "sms.http"], count=1, period=minute, domain="gmail.com", etag=made.etag
    )
    assert (slow.count, slow.period, slow.burst, list(slow.channels)) == (
        1,
        minute,
        1,
        ["email.smtp", "sms.http"],
    )
    assert slow.etag != made.etag
    with pytest.raises(errors.Aborted):
        set_limit(api, etag=made.etag)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"count": 0}, "limit.count"),
        ({"count": 5001}, "limit.count"),
        ({"count": 1, "period": to_duration(timedelta(hours=2))}, "limit.count"),
        ({"period": to_duration(timedelta(0))}, "limit.period"),
        ({"channels": []}, "limit.channels"),
        ({"channels": ["email.smtp", ""]}, "limit.channels"),
        ({"domain": "*.gmail.com"}, "limit.domain"),
        ({"domain": "Gmail.com"}, "limit.domain"),
        ({"burst": 100_001}, "limit.burst"),
        ({"name": "rateLimits/1"}, "limit.name"),
    ],
)
def test_set_rate_limit_refuses(api: Any, fields: dict[str, Any], field: str) -> None:
    values = {"name": "rateLimits/all", "channels": ["email.smtp"], "count": 100} | fields
    with pytest.raises(errors.InvalidArgument) as caught:
        api.set_rate_limit(limit=pb.RateLimit(**values))
    assert violated(caught) == {field}
    assert list(api.list_rate_limits().limits) == []


def test_get_rate_limit(api: Any) -> None:
    made = set_limit(api, domain="*")
    assert api.get_rate_limit(name=made.name).limit == made
    with pytest.raises(errors.NotFound):
        api.get_rate_limit(name="rateLimits/none")


def test_list_rate_limits(api: Any) -> None:
    for key in ("c", "a", "b"):
        set_limit(api, key)
    names = [item.name for item in api.list_rate_limits.iterate(page_size=2)]
    assert names == ["rateLimits/a", "rateLimits/b", "rateLimits/c"]


def test_delete_rate_limit(api: Any) -> None:
    made = set_limit(api)
    with pytest.raises(errors.Aborted):
        api.delete_rate_limit(name=made.name, etag="0-0")
    for _ in range(2):
        api.delete_rate_limit(name=made.name)
    assert list(api.list_rate_limits().limits) == []


def test_list_channel_states(desk: Desk, api: Any) -> None:
    assert list(api.list_channel_states().states) == []
    desk.template()
    desk.directory.add()
    desk.tell()
    # Messages count from the sender's beginning, so also those of tests before this one.
    before = sum(state.sent_count for state in api.list_channel_states(channel="email.smtp").states)
    desk.launch(desk.campaign())
    desk.send()
    desk.tell()
    [state] = api.list_channel_states(channel="email.smtp").states
    assert (state.channel, state.domain, state.circuit, state.sent_count, state.failure_count) == (
        "email.smtp",
        "",
        pb.ChannelState.CIRCUIT_CLOSED,
        before + 1,
        0,
    )
    assert from_duration(state.message_duration) > timedelta(0)
    assert from_timestamp(state.update_time) == NOW
    assert list(api.list_channel_states(channel="sms.http").states) == []


def test_limits_need_their_permission(desk: Desk) -> None:
    reader = desk.served.client_with("campaign.read", "campaign.write")
    assert list(reader.list_send_policies().policies) == []
    for call in (
        lambda: set_policy(reader),
        lambda: set_limit(reader),
        lambda: reader.delete_send_policy(name="sendPolicies/x"),
        lambda: reader.delete_rate_limit(name="rateLimits/x"),
    ):
        with pytest.raises(errors.PermissionDenied):
            call()


def test_quiet_hours_show_in_the_counts_of_a_campaign(desk: Desk, api: Any) -> None:
    set_policy(api, send_windows=[], caps=[], quiet_hours=[pb.DaySpan(start_minute=720, end_minute=780)])
    desk.template()
    desk.directory.add()
    name = desk.campaign()
    desk.launch(name)
    desk.send()
    found = api.get_campaign(name=name).campaign.counts
    assert (found.planned, dict(found.waiting_by_reason)) == (1, {"QUIET_HOURS": 1})
