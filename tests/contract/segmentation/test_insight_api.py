"""TestRules and every RPC of InsightService over a real port, with their errors."""

from __future__ import annotations

from typing import Any

import pytest
from rapport.segmentation.v1 import insight_pb2 as pb
from rapport.segmentation.v1 import segmentation_pb2
from rapport_client import errors

from services.kit.wire import from_timestamp
from services.segmentation.usecases import plugin_changes, previewing, traits
from tests.support.segmentation import NOW, Progress, World, contact, contact_id, days, order
from tests.support.stack import Served

CALLS: dict[str, dict[str, Any]] = {
    "test_rules": {"cases": "cases: [{name: x, rule: 'true', expect: member}]"},
    "get_distribution": {"rule": "true", "attribute": "kind"},
    "get_cohort_retention": {},
    "get_rfm_grid": {},
}


@pytest.mark.parametrize("method", list(CALLS))
def test_each_rpc_asks_for_its_permission_and_no_more(served: Served, method: str) -> None:
    with pytest.raises(errors.Unauthenticated):
        getattr(served.client_with(token="wrong"), method)(**CALLS[method])
    with pytest.raises(errors.PermissionDenied):
        getattr(served.client_with("segmentation.write", "contacts.*"), method)(**CALLS[method])
    getattr(served.client_with("segmentation.read"), method)(**CALLS[method])


def test_test_rules(api: Any, seg: World) -> None:
    answer = api.test_rules(
        cases="""
cases:
  - {name: one, rule: contact.region_code == "NO", contact: {region_code: NO}, expect: member}
  - {name: two, rule: contact.agee > 1, expect: member}
  - name: three
    rule: contact.traits.rfm_recency > 3 && loyalty.tier(contact) == "gold"
    contact: {traits: {rfm_recency: 4}}
    plugins: {loyalty.tier: gold}
    expect: member
""",
        file_name="x.yaml",
    )
    one, two, three = answer.results
    member, invalid = segmentation_pb2.RULE_VERDICT_MEMBER, segmentation_pb2.RULE_VERDICT_INVALID
    assert (one.name, one.sql, one.cel, one.expected, one.ok) == ("one", member, member, member, True)
    assert (one.message, one.cel_limited, one.line) == ("", False, 3)
    assert (two.sql, two.cel, two.expected, two.ok) == (invalid, invalid, member, False)
    assert "did you mean age?" in two.message
    assert three.ok, three


def test_test_rules_refuses_a_wrong_file(api: Any) -> None:
    for cases, said in (
        ("cases: [{name: x, rule: 'true'}]", "x.yaml, line 1, case 'x': expect is missing"),
        ("cases: [", "x.yaml, line 1: this is no YAML"),
        ("cases: []", "x.yaml, line 1: there are no cases"),
    ):
        with pytest.raises(errors.InvalidArgument) as caught:
            api.test_rules(cases=cases, file_name="x.yaml")
        assert caught.value.reason == "INVALID_CASES"
        assert said in caught.value.violations[0].description
    for cases in ("", "x" * 500_001):
        with pytest.raises(errors.InvalidArgument):
            api.test_rules(cases=cases)


@pytest.fixture
def shop(seg: World) -> World:
    """Ten contacts, of whom the first four are in Vietnam and have ordered: number n n+1 times."""
    seg.deliver(
        *(contact(contact_id(n), region_code="VN" if n < 4 else "US", tags=["new"]) for n in range(10))
    )
    seg.deliver(
        *(order(contact_id(n), NOW - days(40 * m), f"{n}.05") for n in range(4) for m in range(n + 1))
    )
    seg.define("buyers", "events.order_placed.size() > 0")
    return seg


def test_get_distribution(api: Any, shop: World) -> None:
    answer = api.get_distribution(segment="segments/buyers", attribute="region_code")
    assert (answer.attribute, answer.type) == ("region_code", "string")
    assert (answer.member_count, answer.contact_count) == (4, 10)
    first, second = answer.groups
    assert (first.value, first.member_count, first.contact_count) == ("VN", 4, 4)
    assert (first.member_share, first.contact_share, first.lift) == (1.0, 0.4, 2.5)
    assert (first.significant, second.value, second.lift) == (False, "US", 0.0)
    assert from_timestamp(answer.as_of_time) == NOW
    spent = api.get_distribution(rule="true", attribute="contact.total_spent", bin_limits=[2, 6.15])
    assert [(g.bin.low, g.bin.high, g.member_count) for g in spent.groups] == [
        ("", "2", 7), ("2", "6.15", 1), ("6.15", "", 2),
    ]  # fmt: skip
    born = api.get_distribution(rule="true", attribute="birth_date", period=pb.CALENDAR_PERIOD_YEAR)
    assert [(g.missing, g.member_count) for g in born.groups] == [(True, 10)]
    tags = api.get_distribution(rule="true", attribute="tags")
    assert (tags.type, tags.groups[0].value) == ("list(string)", "new")


def test_get_distribution_refuses_what_cannot_be(api: Any, seg: World) -> None:
    for arguments, kind, reason in (
        ({"attribute": "kind"}, errors.InvalidArgument, "INVALID_ARGUMENT"),
        ({"rule": "true"}, errors.InvalidArgument, "INVALID_FIELDS"),
        ({"rule": "true", "attribute": "knd"}, errors.InvalidArgument, "UNKNOWN_ATTRIBUTE"),
        ({"rule": "tru", "attribute": "kind"}, errors.InvalidArgument, "INVALID_RULE"),
        ({"rule": "true", "attribute": "age", "bin_limits": [2, 1]}, errors.InvalidArgument, "INVALID_BINS"),
        ({"rule": "true", "attribute": "age", "bin_count": 101}, errors.InvalidArgument, "INVALID_FIELDS"),
        ({"segment": "segments/none", "attribute": "kind"}, errors.NotFound, "NOT_FOUND"),
    ):
        with pytest.raises(kind) as caught:
            api.get_distribution(**arguments)
        assert caught.value.reason == reason, arguments


def test_get_cohort_retention(api: Any, shop: World) -> None:
    answer = api.get_cohort_retention(segment="segments/buyers")
    assert answer.time_zone == "UTC"
    assert from_timestamp(answer.as_of_time) == NOW
    # Orders at 0, 40, 80 and 120 days before 1 March: in March, January, December and November.
    assert [(c.start_date, c.contact_count, [p.active_count for p in c.periods]) for c in answer.cohorts] == [
        ("2025-11-01", 1, [1, 1, 1, 0, 1]),
        ("2025-12-01", 1, [1, 1, 0, 1]),
        ("2026-01-01", 1, [1, 0, 1]),
        ("2026-03-01", 1, [1]),
    ]
    oldest = answer.cohorts[0].periods
    assert [p.amount for p in oldest] == ["3.05", "3.05", "3.05", "0", "3.05"]
    assert [p.complete for p in oldest] == [True, True, True, True, False]
    assert oldest[1].start_date == "2025-12-01"
    weeks = api.get_cohort_retention(rule="true", period=pb.CALENDAR_PERIOD_WEEK, cohort_count=1)
    assert [(c.start_date, c.contact_count) for c in weeks.cohorts] == [("2026-02-23", 1)]
    for arguments, reason in (
        ({"first_event_type": "order.place"}, "UNKNOWN_EVENT_TYPE"),
        ({"active_event_type": "nothing"}, "UNKNOWN_EVENT_TYPE"),
        ({"period": pb.CALENDAR_PERIOD_YEAR}, "INVALID_ARGUMENT"),
        ({"cohort_count": 121}, "INVALID_FIELDS"),
    ):
        with pytest.raises(errors.InvalidArgument) as caught:
            api.get_cohort_retention(**arguments)
        assert caught.value.reason == reason
    with pytest.raises(errors.NotFound):
        api.get_cohort_retention(segment="segments/none")


def test_get_rfm_grid(api: Any, shop: World) -> None:
    before = api.get_rfm_grid()
    assert (before.unscored_count, before.HasField("score_time")) == (10, False)
    plugin_changes.notice_plugins(shop.service)
    traits.refresh(shop.service, segmentation_pb2.RefreshTraitsRequest(), Progress())
    answer = api.get_rfm_grid(rule='contact.region_code == "VN"')
    assert [(c.recency, c.frequency) for c in answer.cells] == [
        (r, f) for r in (5, 4, 3, 2, 1) for f in (5, 4, 3, 2, 1)
    ]
    assert answer.unscored_count == 0
    assert from_timestamp(answer.score_time) == NOW
    assert from_timestamp(answer.as_of_time) == NOW
    counts = {(c.recency, c.frequency): (c.contact_count, c.amount) for c in answer.cells if c.contact_count}
    expected: dict[tuple[int, int], tuple[int, str]] = {}
    for n in range(4):
        scores = api.get_profile(contact=f"contacts/{contact_id(n)}").traits
        spent = f"{(n + 1) * n}.{5 * (n + 1):02d}".rstrip("0")
        expected[scores["rfm_recency"], scores["rfm_frequency"]] = (1, spent)
    assert counts == expected
    assert api.get_rfm_grid().unscored_count == 6
    with pytest.raises(errors.NotFound):
        api.get_rfm_grid(segment="segments/none")


def test_all_are_bounded_in_time(api: Any, shop: World, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.deliver(*(order(contact_id(1), NOW - days(0.01 * n)) for n in range(400)))
    monkeypatch.setattr(previewing, "LONGEST_SECONDS", 0.05)
    slow = "events.order_placed.exists(a, events.order_placed.exists(b, events.order_placed.exists(c, "
    slow += "a.time != b.time && b.time != c.time && a.amount + b.amount + c.amount > 1e9)))"
    for method, arguments in (
        ("get_distribution", {"attribute": "kind"}),
        ("get_cohort_retention", {}),
        ("get_rfm_grid", {}),
    ):
        with pytest.raises(errors.ResourceExhausted) as caught:
            getattr(api, method)(rule=slow, **arguments)
        assert caught.value.reason == "RULE_TOO_COSTLY"
