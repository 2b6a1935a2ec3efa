"""What came back of messages, over a real port."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from rapport.campaign.v1 import tracking_pb2 as pb
from rapport_client import errors
from rapport_client.client import service_descriptors

from services.campaign.usecases import audience, interactions
from tests.support.campaign_desk import Desk
from tests.support.campaign_tracking import SentMessage, Tracked
from tests.support.stack import NOW

READ, WRITE = "campaign.tracking.read", "campaign.tracking.write"
PERMISSIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "list_interactions": (READ, {}),
    "reclassify_interactions": (WRITE, {"rule": "MANY_LINKS", "verdict": "VERDICT_HUMAN"}),
    "get_engagement": (READ, {"origin": "campaigns/none"}),
    "report_delivery": ("campaign.reports.write", {"raw": b"Subject: hi\n\nhello"}),
    "list_delivery_reports": (READ, {}),
    "list_quarantine": ("campaign.quarantine.read", {}),
    "drop_quarantined": ("campaign.quarantine.write", {"names": [f"quarantine/{uuid4()}"]}),
}


@pytest.fixture
def tracked(desk: Desk) -> Tracked:
    """The ledger behind the port."""
    return Tracked(desk.served.runtime, desk)  # type: ignore[arg-type]


@pytest.fixture
def message(desk: Desk, api: Any, tracked: Tracked) -> SentMessage:
    """A message that was sent to a contact an hour ago."""
    desk.template()
    contact = desk.directory.add()
    name = desk.campaign()
    desk.launch(name)
    desk.send()
    [sent] = api.list_messages(origin=name).messages
    key = UUID(sent.name.partition("/")[2])
    tracked.advance(hours=1)
    reply = audience.reply_address(desk.served.runtime, key)
    return SentMessage(
        key, UUID(contact.partition("/")[2]), desk.directory.addresses[contact, "email"], name, reply
    )


def test_each_rpc_asks_for_its_permission_and_no_more(desk: Desk) -> None:
    [service] = [item for item in service_descriptors("campaign") if item.name == "TrackingService"]
    assert len(service.methods) == len(PERMISSIONS)
    every = {permission for permission, _ in PERMISSIONS.values()}
    for method, (permission, arguments) in PERMISSIONS.items():
        with pytest.raises(errors.PermissionDenied) as caught:
            getattr(desk.served.client_with(*(every - {permission})), method)(**arguments)
        assert caught.value.metadata["permission"] == permission
        getattr(desk.served.client_with(permission), method)(**arguments)


def test_list_interactions(api: Any, tracked: Tracked, message: SentMessage) -> None:
    tracked.record(tracked.hit(message, "open"), tracked.hit(message, link=3, after=5))
    interactions.record_hits(tracked.runtime, [tracked.hit(message, link=4)])
    found = list(api.list_interactions.iterate(message=f"messages/{message.id}", page_size=1))
    assert [(item.kind, item.link, item.verdict) for item in found] == [
        (pb.Interaction.KIND_CLICK, 4, pb.Interaction.VERDICT_PENDING),
        (pb.Interaction.KIND_CLICK, 3, pb.Interaction.VERDICT_HUMAN),
        (pb.Interaction.KIND_OPEN, -1, pb.Interaction.VERDICT_HUMAN),
    ]
    assert found[0].contact == f"contacts/{message.contact_id}"
    assert (found[0].origin, found[0].agent) == (message.origin, "browser")
    for question in (
        {"contact": f"contacts/{message.contact_id}", "kind": "KIND_OPEN"},
        {"origin": message.origin, "verdict": "VERDICT_PENDING"},
    ):
        assert len(api.list_interactions(**question).interactions) == 1
    assert not api.list_interactions(contact=f"contacts/{uuid4()}").interactions


def test_reclassify_interactions(api: Any, tracked: Tracked, message: SentMessage) -> None:
    tracked.record(tracked.hit(message))
    answer = api.reclassify_interactions(
        origin=message.origin, verdict="VERDICT_SCANNER", reason="a new gateway"
    )
    assert (answer.changed_count, answer.reversed_count, answer.told_count) == (1, 1, 0)
    [item] = api.list_interactions().interactions
    assert (item.verdict, item.rule) == (pb.Interaction.VERDICT_SCANNER, "MANUAL: a new gateway")
    times = {"start_time": NOW, "end_time": NOW + timedelta(days=1)}
    answer = api.reclassify_interactions(**times, rule="MANUAL", verdict="VERDICT_HUMAN")
    assert (answer.changed_count, answer.reversed_count, answer.told_count) == (1, 0, 1)
    with pytest.raises(errors.InvalidArgument) as caught:
        api.reclassify_interactions(verdict="VERDICT_HUMAN")
    assert caught.value.reason == "NO_SELECTION"
    with pytest.raises(errors.InvalidArgument):
        api.reclassify_interactions(origin=message.origin, verdict="VERDICT_PENDING")


def test_get_engagement(api: Any, tracked: Tracked, message: SentMessage) -> None:
    tracked.record(tracked.hit(message, link=3), tracked.hit(message, "open", agent="scanner", source=None))
    api.report_delivery(raw=tracked.complaint(message))
    found = api.get_engagement(origin=message.origin)
    assert (found.origin, found.sent_count, found.complained_count) == (message.origin, 1, 1)
    assert (found.click_count, found.unique_click_count, found.unique_open_count) == (1, 1, 1)
    assert (found.open_count, found.scanner_count, found.pending_count) == (0, 1, 0)
    assert [(item.link, item.click_count, item.unique_click_count) for item in found.links] == [(3, 1, 1)]


def test_report_delivery(api: Any, tracked: Tracked, message: SentMessage) -> None:
    outcome = pb.ReportDeliveryResponse
    answer = api.report_delivery(raw=tracked.bounce(message), recipient=message.reply)
    assert (answer.outcome, answer.message) == (outcome.OUTCOME_RECORDED, f"messages/{message.id}")
    [entry] = api.list_suppressions().suppressions
    assert (entry.address, entry.reason) == (message.address, "BOUNCE")
    forged = tracked.bounce(message, reply="reply+x@shop.test")
    assert api.report_delivery(raw=forged).outcome == outcome.OUTCOME_UNPROVEN
    assert api.report_delivery(raw=b"Subject: hi\n\nhello").outcome == outcome.OUTCOME_IGNORED
    with pytest.raises(errors.InvalidArgument):
        api.report_delivery()


def test_list_delivery_reports(api: Any, tracked: Tracked, message: SentMessage) -> None:
    api.report_delivery(raw=tracked.bounce(message, status="4.4.7"), recipient=message.reply)
    api.report_delivery(
        raw=tracked.bounce(message, detail=f"smtp; 550 {message.address}"), recipient=message.reply
    )
    found = list(api.list_delivery_reports.iterate(message=f"messages/{message.id}", page_size=1))
    assert [(item.kind, item.suppressed) for item in found] == [
        (pb.DeliveryReport.KIND_BOUNCED, True),
        (pb.DeliveryReport.KIND_SOFT_BOUNCED, False),
    ]
    assert message.address not in found[0].reason
    assert len(api.list_delivery_reports(origin=message.origin, kind="KIND_BOUNCED").delivery_reports) == 1
    assert not api.list_delivery_reports(origin="campaigns/none").delivery_reports


def test_list_quarantine_and_drop_quarantined(api: Any, tracked: Tracked, message: SentMessage) -> None:
    for _ in range(2):
        answer = api.report_delivery(raw=tracked.bounce(message, action=""), recipient=message.reply)
        assert answer.outcome == pb.ReportDeliveryResponse.OUTCOME_QUARANTINED
    found = list(api.list_quarantine.iterate(page_size=1))
    assert [(item.source, "Action" in item.reason) for item in found] == [("mail", True)] * 2
    assert found[0].size_bytes == len(found[0].content)
    names = [item.name for item in found]
    assert api.drop_quarantined(names=names).dropped_count == 2
    assert api.drop_quarantined(names=names).dropped_count == 0


def test_list_quarantine(api: Any) -> None:
    assert not api.list_quarantine().reports


def test_drop_quarantined(api: Any) -> None:
    with pytest.raises(errors.InvalidArgument):
        api.drop_quarantined(names=["messages/x"])
