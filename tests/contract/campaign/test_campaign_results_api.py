"""Results over a real port: orders attributed to messages, budgets, costs, the funnel; and who may call what."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from rapport.campaign.v1 import results_pb2 as pb
from rapport_client import errors
from rapport_client.client import service_descriptors

from services.campaign.models import kit
from services.campaign.usecases import attribution
from services.kit.names import parse_name
from services.kit.operations import OperationContext
from services.kit.operations import store as operations
from services.kit.wire import from_duration, from_timestamp
from tests.support.campaign_desk import Desk
from tests.support.campaign_fakes import DENIED, Directory
from tests.support.campaign_orders import placed, returned, tell
from tests.support.stack import NOW, Served

Model = pb.AttributionRule
LATER = NOW + timedelta(hours=1)
EUR, VND = {"currency_code": "EUR", "units": 10}, {"currency_code": "VND", "units": 50}


def money(found: Any) -> dict[str, tuple[int, str, str, str, str, str, str]]:
    return {
        item.currency_code: (
            item.orders,
            item.gross,
            item.returned,
            item.revenue,
            item.cost,
            item.profit,
            item.roi,
        )
        for item in found.money
    }


def recompute(desk: Desk, operation: Any) -> attribution.Recomputed:
    key = parse_name(operation.name, "operations")
    with desk.served.runtime.db.transaction() as connection:
        claimed = operations.claim(connection, kit, key)
    assert claimed is not None
    context = OperationContext(desk.served.runtime.db, kit, claimed)
    return attribution.recompute(desk.served.runtime, context)


@pytest.fixture
def sent(desk: Desk, directory: Directory) -> str:
    """A campaign that was sent to ten people."""
    for _ in range(10):
        directory.add()
    desk.template()
    name = desk.campaign()
    desk.launch(name)
    assert desk.send() == 10
    return name


def test_set_attribution_rule(api: Any) -> None:
    stored = api.set_attribution_rule(rule={"model": "MODEL_LINEAR", "window": timedelta(days=3)}).rule
    assert (stored.model, stored.revision) == (Model.MODEL_LINEAR, 1)
    assert stored.touch == Model.TOUCH_SENT
    again = api.set_attribution_rule(rule={"model": "MODEL_LINEAR", "window": timedelta(days=3)}).rule
    assert again == stored
    assert api.set_attribution_rule(rule={}).rule.revision == 2
    clicks = api.set_attribution_rule(rule={"touch": "TOUCH_CLICK"}).rule
    assert (clicks.touch, clicks.revision) == (Model.TOUCH_CLICK, 3)
    assert api.get_attribution_rule().rule == clicks
    for length in (timedelta(minutes=1), timedelta(days=366)):
        with pytest.raises(errors.InvalidArgument):
            api.set_attribution_rule(rule={"window": length})


def test_get_attribution_rule(api: Any) -> None:
    found = api.get_attribution_rule().rule
    assert (found.model, found.revision) == (Model.MODEL_LAST_TOUCH, 0)
    assert from_duration(found.window) == timedelta(days=7)
    stored = api.set_attribution_rule(rule={"model": "MODEL_COUPON_FIRST"}).rule
    assert api.get_attribution_rule().rule == stored


def test_recompute_attribution(desk: Desk, api: Any, directory: Directory, sent: str) -> None:
    """A new rule holds for new orders; the operation makes all orders follow it."""
    second = desk.campaign("second")
    desk.served.clock.instant = NOW + timedelta(hours=1)
    desk.launch(second)
    assert desk.send() == 10
    contact = next(iter(directory.people))
    tell(desk.served.runtime, [placed(contact, 100, NOW + timedelta(hours=2))])
    assert money(api.get_funnel(origin=second))["VND"][0] == 1
    assert not api.get_funnel(origin=sent).money
    api.set_attribution_rule(rule={"model": "MODEL_LINEAR"})
    assert api.get_funnel(origin=second).outdated_conversions == 1
    first = api.recompute_attribution(request_id="one").operation
    assert api.recompute_attribution(request_id="one").operation.name == first.name
    assert recompute(desk, first) == attribution.Recomputed(orders=1, conversions=2, rule_revision=1)
    for origin in (sent, second):
        found = api.get_funnel(origin=origin)
        assert (money(found)["VND"][1], found.outdated_conversions) == ("50", 0)


def test_set_budget(desk: Desk, api: Any, sent: str) -> None:
    assert api.set_budget(origin=sent, budget=EUR).budget.units == 10
    assert money(api.get_funnel(origin=sent)) == {"EUR": (0, "0", "0", "0", "10", "-10", "-1")}
    assert not api.set_budget(origin=sent).HasField("budget")
    assert not api.get_funnel(origin=sent).money
    for arguments, error in (
        ({"origin": "campaigns/none", "budget": EUR}, errors.NotFound),
        ({"origin": "contacts/none", "budget": EUR}, errors.InvalidArgument),
        ({"origin": sent, "budget": {"currency_code": "EUR", "units": -1}}, errors.InvalidArgument),
    ):
        with pytest.raises(error):
            api.set_budget(**arguments)


def test_set_channel_cost(api: Any, sent: str) -> None:
    cost = {"channel": "email.smtp", "amount": {"currency_code": "VND", "nanos": 500_000_000}}
    assert api.set_channel_cost(cost=cost).cost.amount.nanos == 500_000_000
    [channel] = api.get_funnel(origin=sent).channels
    assert (channel.channel, channel.sent, channel.money[0].cost) == ("email.smtp", 10, "5")
    with pytest.raises(errors.InvalidArgument):
        api.set_channel_cost(cost={"channel": "x", "amount": {"currency_code": "VND", "units": -1}})


def test_a_new_cost_changes_no_result_of_the_past(
    desk: Desk, api: Any, directory: Directory, sent: str
) -> None:
    def cost(units: int, **more: Any) -> Any:
        amount = {"currency_code": "VND", "units": units}
        return api.set_channel_cost(cost={"channel": "email.smtp", "amount": amount, **more}).cost

    def costs(origin: str) -> list[tuple[str, str]]:
        return [(item.currency_code, item.cost) for item in api.get_funnel(origin=origin).money]

    # What was sent before anybody said what it costs costs that.
    first = cost(4)
    assert costs(sent) == [("VND", "40")]
    desk.served.clock.instant = NOW + timedelta(days=1)
    assert cost(4) == first
    cost(6)
    later = desk.campaign("later")
    desk.launch(later)
    desk.send()
    assert (costs(sent), costs(later)) == ([("VND", "40")], [("VND", "60")])
    desk.served.clock.instant = NOW + timedelta(days=2)
    cost(0)
    assert (costs(sent), costs(later)) == ([("VND", "40")], [("VND", "60")])
    assert not api.list_channel_costs().costs
    assert [item.amount.units for item in api.list_channel_costs().history] == [4, 6, 0]
    # A mistake is put right by naming the time.
    cost(5, start_time=NOW + timedelta(days=1))
    assert (costs(sent), costs(later)) == ([("VND", "40")], [("VND", "50")])


def test_list_channel_costs(api: Any) -> None:
    for channel in ("sms", "email.smtp"):
        api.set_channel_cost(cost={"channel": channel, "amount": VND})
    assert [item.channel for item in api.list_channel_costs().costs] == ["email.smtp", "sms"]
    api.set_channel_cost(cost={"channel": "sms", "amount": {"currency_code": "VND"}})
    [left] = api.list_channel_costs().costs
    assert (left.channel, left.amount.units) == ("email.smtp", 50)


def test_get_funnel(desk: Desk, api: Any, directory: Directory, sent: str) -> None:
    """Every member stands somewhere; revenue is exact, returns are deducted, and each currency has its own return."""
    directory.add(consent=DENIED)
    directory.add(address="")
    api.create_experiment(
        campaign=desk.campaign("second"),
        experiment={"variants": [{"id": "a"}], "hold_out_percent": 50},
    )
    desk.launch("campaigns/second")
    desk.send()
    found = api.get_funnel(origin="campaigns/second")
    parts = (
        found.held_out,
        found.suppressed,
        found.waiting,
        found.cancelled,
        found.failed,
        found.unknown,
        found.sent,
    )
    assert found.audience == sum(parts) == 12
    assert found.suppressed == sum(found.suppressed_by_reason.values())
    assert set(found.suppressed_by_reason) <= {"CONSENT_DENIED", "NO_ADDRESS"}
    assert (found.engagement_known, found.opened, found.clicked) == (False, 0, 0)

    first, second = list(directory.people)[:2]
    api.set_attribution_rule(rule={"model": "MODEL_FIRST_TOUCH"})
    bought = placed(first, "100.25", LATER)
    tell(
        desk.served.runtime,
        [
            bought,
            placed(first, 20, LATER, currency="EUR"),
            placed(second, 40, NOW + timedelta(days=8)),
            returned(bought, "0.25", NOW + timedelta(days=30)),
        ],
    )
    api.set_budget(origin=sent, budget=EUR)
    api.set_channel_cost(cost={"channel": "email.smtp", "amount": {"currency_code": "VND", "units": 4}})
    found = api.get_funnel(origin=sent)
    assert (found.converted, found.sent) == (1, 10)
    assert money(found) == {
        "VND": (1, "100.25", "0.25", "100", "40", "60", "1.5"),
        "EUR": (1, "20", "0", "20", "10", "10", "1"),
    }
    [channel] = found.channels
    assert money(channel)["EUR"] == (1, "20", "0", "20", "0", "20", "")
    assert from_timestamp(found.as_of_time) == NOW
    with pytest.raises(errors.NotFound):
        api.get_funnel(origin="journeys/none")


def test_a_coupon_brings_its_message_the_order(desk: Desk, api: Any, directory: Directory, sent: str) -> None:
    desk.pool()
    message = desk.coupon(next(iter(directory.people)))
    api.set_attribution_rule(rule={"model": "MODEL_COUPON_FIRST"})
    stranger = directory.add(segment="")
    late = NOW + timedelta(days=100)
    tell(desk.served.runtime, [placed(stranger, 70, late, coupon=message.coupon_code.lower())])
    assert money(api.get_funnel(origin=message.origin))["VND"][1] == "70"
    assert not api.get_funnel(origin=sent).money


POLICIES, WRITE, READ = "campaign.policies.write", "campaign.write", "campaign.read"
NONE = "campaigns/none"
CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "set_approval_policy": (POLICIES, {"policy": {}}),
    "list_approval_policies": (READ, {}),
    "delete_approval_policy": (POLICIES, {}),
    "request_approval": (WRITE, {"name": NONE}),
    "approve_campaign": ("campaign.approve", {"name": NONE}),
    "reject_campaign": ("campaign.approve", {"name": NONE, "comment": "no"}),
    "approve_journey": ("campaign.approve", {"name": "journeys/none"}),
    "reject_journey": ("campaign.approve", {"name": "journeys/none", "comment": "no"}),
    "check_approval": (READ, {"name": NONE}),
    "list_approvals": (READ, {}),
    "plan_experiment": (READ, {"baseline_rate": 0.1, "minimal_effect": 0.1}),
    "create_experiment": (WRITE, {"campaign": NONE, "experiment": {"variants": [{"id": "a"}, {"id": "b"}]}}),
    "get_experiment": (READ, {"campaign": NONE}),
    "delete_experiment": (WRITE, {"campaign": NONE}),
    "declare_winner": ("campaign.launch", {"campaign": NONE, "variant": "a"}),
    "get_experiment_results": (READ, {"campaign": NONE}),
    "set_hold_out": (POLICIES, {"hold_out": {"percent": 1}}),
    "get_hold_out": (READ, {}),
    "get_hold_out_results": (READ, {}),
    "get_journey_results": (READ, {"name": "journeys/none"}),
    "set_attribution_rule": (POLICIES, {"rule": {"include_transactional": True}}),
    "get_attribution_rule": (READ, {}),
    "recompute_attribution": (POLICIES, {}),
    "set_budget": (WRITE, {"origin": NONE}),
    "set_channel_cost": (POLICIES, {"cost": {"channel": "x", "amount": VND}}),
    "list_channel_costs": (READ, {}),
    "get_funnel": (READ, {"origin": NONE}),
}
OWN = {"ApprovalService", "ExperimentService", "ResultService"}


def test_each_rpc_of_approvals_experiments_and_results_is_listed_here() -> None:
    found = {
        method.name.lower()
        for service in service_descriptors("campaign")
        if service.name in OWN
        for method in service.methods
    }
    assert {name.replace("_", "") for name in CALLS} == found


@pytest.mark.parametrize("method", list(CALLS))
def test_each_rpc_of_results_asks_for_its_permission_and_no_more(served: Served, method: str) -> None:
    permission, arguments = CALLS[method]
    others = {item for item, _ in CALLS.values()} - {permission}
    with pytest.raises(errors.PermissionDenied) as caught:
        getattr(served.client_with(*others), method)(**arguments)
    assert caught.value.metadata["permission"] == permission
    call = getattr(served.client_with(permission), method)
    if {NONE, "journeys/none"} & {value for value in arguments.values() if isinstance(value, str)}:
        with pytest.raises(errors.NotFound):
            call(**arguments)
    elif method == "get_hold_out_results":
        with pytest.raises(errors.FailedPrecondition, match="NO_HOLD_OUT"):
            call(**arguments)
    else:
        assert call(**arguments) is not None
