"""What holds for each RPC of campaign: its permission, and the fields that must be there."""

from __future__ import annotations

import re
from typing import Any
from uuid import uuid4

import grpc
import pytest
from rapport_client import errors
from rapport_client.client import service_descriptors

from tests.support.campaign_desk import CONTENT, draft
from tests.support.stack import Served

CONTACT = f"contacts/{uuid4()}"
JOURNEY = {
    "trigger": {"event_type": "order.placed"},
    "steps": [{"send": {"template": "templates/none", "channel": "email.smtp", "topic": "marketing"}}],
}
SCHEDULE = {"start_time": "2100-01-01T09:00"}
ADDRESS = {"kind": "email", "address": "a@mail.test"}
SINGLE = {
    "contact": CONTACT,
    "channel": "email.smtp",
    "topic": "transactional",
    "subject": "Hello",
    "text": "Hello",
    "request_id": "doors",
}
WRITE, READ, LAUNCH = "campaign.write", "campaign.read", "campaign.launch"

CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "create_template": (WRITE, {"template_id": "doors", "template": {"contents": [CONTENT]}}),
    "get_template": (READ, {"name": "templates/none"}),
    "list_templates": (READ, {}),
    "update_template": (
        WRITE,
        {"template": {"name": "templates/none", "display_name": "x"}, "update_mask": ["display_name"]},
    ),
    "preview_template": (READ, {"name": "templates/none", "contact": CONTACT}),
    "create_coupon_pool": (WRITE, {"coupon_pool_id": "doors", "coupon_pool": {"prefix": "A"}}),
    "get_coupon_pool": (READ, {"name": "couponPools/none"}),
    "list_coupon_pools": (READ, {}),
    "redeem_coupon": ("campaign.coupons.redeem", {"code": "NONE", "order": f"orders/{uuid4()}"}),
    "create_campaign": (WRITE, {"campaign_id": "doors", "campaign": draft()}),
    "get_campaign": (READ, {"name": "campaigns/none"}),
    "list_campaigns": (READ, {}),
    "launch_campaign": (LAUNCH, {"name": "campaigns/none"}),
    "pause_campaign": (LAUNCH, {"name": "campaigns/none"}),
    "resume_campaign": (LAUNCH, {"name": "campaigns/none"}),
    "cancel_campaign": (LAUNCH, {"name": "campaigns/none"}),
    "create_journey": (WRITE, {"journey_id": "doors", "journey": JOURNEY}),
    "get_journey": (READ, {"name": "journeys/none"}),
    "list_journeys": (READ, {}),
    "activate_journey": (LAUNCH, {"name": "journeys/none"}),
    "deactivate_journey": (LAUNCH, {"name": "journeys/none"}),
    "add_suppressions": ("campaign.suppressions.write", {"suppressions": [ADDRESS]}),
    "remove_suppressions": ("campaign.suppressions.write", {"suppressions": [ADDRESS]}),
    "list_suppressions": ("campaign.suppressions.read", {}),
    "send_message": ("campaign.messages.send", SINGLE),
    "get_message": (READ, {"name": f"messages/{uuid4()}"}),
    "list_messages": (READ, {}),
    "resolve_message": (LAUNCH, {"name": f"messages/{uuid4()}", "resolution": "RESOLUTION_SENT"}),
    "resolve_messages": (LAUNCH, {"origin": "campaigns/none", "resolution": "RESOLUTION_SENT"}),
    "list_message_resolutions": (READ, {}),
    "validate_journey": (READ, {"journey": JOURNEY}),
    "update_journey": (WRITE, {"journey": {"name": "journeys/none", **JOURNEY}}),
    "list_journey_versions": (READ, {"name": "journeys/none"}),
    "migrate_journey": (LAUNCH, {"name": "journeys/none"}),
    "pause_journey": (LAUNCH, {"name": "journeys/none"}),
    "resume_journey": (LAUNCH, {"name": "journeys/none"}),
    "cancel_journey": (LAUNCH, {"name": "journeys/none"}),
    "remove_journey_contacts": (LAUNCH, {"name": "journeys/none", "contacts": [f"contacts/{uuid4()}"]}),
    "list_journey_entries": (READ, {"journey": "journeys/none"}),
    "get_journey_entry": (READ, {"name": f"journeyEntries/{uuid4()}"}),
    "get_journey_flow": (READ, {"name": "journeys/none"}),
    "schedule_campaign": (LAUNCH, {"name": "campaigns/none", "schedule": SCHEDULE}),
    "unschedule_campaign": (LAUNCH, {"name": "campaigns/none"}),
    "get_campaign_schedule": (READ, {"name": "campaigns/none"}),
    "preview_schedule": (READ, {"schedule": SCHEDULE}),
    "list_campaign_runs": (READ, {"name": "campaigns/none"}),
}
EVERY = {permission for permission, _ in CALLS.values()}
LISTS = (
    "list_templates",
    "list_coupon_pools",
    "list_campaigns",
    "list_journeys",
    "list_suppressions",
    "list_message_resolutions",
)
NEED_NOTHING_THERE = {
    "create_template",
    "create_coupon_pool",
    "add_suppressions",
    "remove_suppressions",
    "send_message",
    "list_messages",
    "validate_journey",
    "list_journey_entries",
    "preview_schedule",
    *LISTS,
}

REQUIRED: dict[str, set[str]] = {
    "create_template": {"template_id", "template"},
    "get_template": {"name"},
    "update_template": {"template", "update_mask"},
    "preview_template": {"name", "contact"},
    "create_coupon_pool": {"coupon_pool_id", "coupon_pool"},
    "get_coupon_pool": {"name"},
    "redeem_coupon": {"code", "order"},
    "create_campaign": {"campaign_id", "campaign"},
    "get_campaign": {"name"},
    "launch_campaign": {"name"},
    "pause_campaign": {"name"},
    "resume_campaign": {"name"},
    "cancel_campaign": {"name"},
    "create_journey": {"journey_id", "journey"},
    "get_journey": {"name"},
    "activate_journey": {"name"},
    "deactivate_journey": {"name"},
    "add_suppressions": {"suppressions"},
    "remove_suppressions": {"suppressions"},
    "send_message": {"channel", "topic", "subject", "text", "request_id"},
    "get_message": {"name"},
    "resolve_message": {"name", "resolution"},
    "resolve_messages": {"origin", "resolution"},
    "validate_journey": {"journey"},
    "update_journey": {"journey"},
    "list_journey_versions": {"name"},
    "migrate_journey": {"name"},
    "pause_journey": {"name"},
    "resume_journey": {"name"},
    "cancel_journey": {"name"},
    "remove_journey_contacts": {"name", "contacts"},
    "get_journey_entry": {"name"},
    "get_journey_flow": {"name"},
    "schedule_campaign": {"name", "schedule"},
    "unschedule_campaign": {"name"},
    "get_campaign_schedule": {"name"},
    "preview_schedule": {"schedule"},
    "list_campaign_runs": {"name"},
}


def fields(caught: pytest.ExceptionInfo[errors.RapportError]) -> set[str]:
    return {violation.field for violation in caught.value.violations}


def test_each_rpc_is_listed_here() -> None:
    names = {
        re.sub(r"(?<!^)(?=[A-Z])", "_", method.name).lower()
        for service in service_descriptors("campaign")
        for method in service.methods
        # The others have files of their own.
        if service.name in {"CampaignService", "JourneyService", "ScheduleService"}
    }
    assert set(CALLS) == names
    assert set(REQUIRED) | {*LISTS, "list_messages", "list_journey_entries"} == names


@pytest.mark.parametrize("method", list(CALLS))
def test_each_rpc_asks_for_its_permission_and_no_more(served: Served, method: str) -> None:
    permission, arguments = CALLS[method]
    with pytest.raises(errors.Unauthenticated):
        getattr(served.client_with(token="wrong"), method)(**arguments)
    with pytest.raises(errors.PermissionDenied) as caught:
        getattr(served.client_with(*(EVERY - {permission}), "contacts.*"), method)(**arguments)
    assert caught.value.metadata["permission"] == permission
    call = getattr(served.client_with(permission), method)
    if method in NEED_NOTHING_THERE:
        call(**arguments)
    else:
        # Past the door, where nothing of what it names is there.
        with pytest.raises(errors.NotFound):
            call(**arguments)


@pytest.mark.parametrize("method", list(REQUIRED))
def test_each_rpc_names_the_fields_that_are_missing(served: Served, method: str) -> None:
    # Without the client library, which fills in a request id.
    name = "".join(part.title() for part in method.split("_"))
    [found] = [
        each for service in service_descriptors("campaign") for each in service.methods if each.name == name
    ]
    with grpc.insecure_channel(f"127.0.0.1:{served.ports.api}") as channel:
        call = channel.unary_unary(f"/{found.containing_service.full_name}/{name}")
        token = served.token
        with pytest.raises(grpc.RpcError) as caught:
            call(b"", metadata=[("authorization", f"Bearer {token}")], timeout=20)
    error = errors.from_rpc_error(caught.value)
    assert isinstance(error, errors.InvalidArgument)
    assert {violation.field for violation in error.violations} == REQUIRED[method]


@pytest.mark.parametrize(
    ("method", "arguments", "missing"),
    [
        ("create_template", {"template_id": "a", "template": {}}, {"template.contents"}),
        (
            "create_template",
            {"template_id": "a", "template": {"contents": [{}]}},
            {"template.contents[0].subject", "template.contents[0].text"},
        ),
        (
            "create_campaign",
            {"campaign_id": "a", "campaign": {}},
            {"campaign.segment", "campaign.template", "campaign.channel", "campaign.topic"},
        ),
        ("create_journey", {"journey_id": "a", "journey": {}}, {"journey.trigger", "journey.steps"}),
        (
            "create_journey",
            {"journey_id": "a", "journey": {"trigger": {}, "steps": [{"wait": {}}, {"send": {}}]}},
            {
                "journey.trigger.event_type",
                "journey.steps[0].wait.duration",
                "journey.steps[1].send.template",
                "journey.steps[1].send.channel",
                "journey.steps[1].send.topic",
            },
        ),
        (
            "add_suppressions",
            {"suppressions": [ADDRESS, {}]},
            {"suppressions[1].kind", "suppressions[1].address"},
        ),
        (
            "remove_suppressions",
            {"suppressions": [{"kind": "email"}, {"address": "a@mail.test"}]},
            {"suppressions[0].address", "suppressions[1].kind"},
        ),
        (
            "update_template",
            {"template": {"name": "templates/a"}, "update_mask": ["contents"]},
            {"template.contents"},
        ),
    ],
)
def test_missing_fields_further_down_are_named_with_their_place(
    api: Any, method: str, arguments: dict[str, Any], missing: set[str]
) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        getattr(api, method)(**arguments)
    assert fields(caught) == missing


@pytest.mark.parametrize(
    "method", [name for name, (_, arguments) in CALLS.items() if set(arguments) == {"name"}]
)
def test_malformed_names_are_refused(api: Any, method: str) -> None:
    collection = CALLS[method][1]["name"].partition("/")[0]
    for bad in ("a", f"{collection}/", "contacts/a", "/", f"{collection}/a/b", f"{collection}/{'a' * 64}"):
        with pytest.raises(errors.InvalidArgument) as caught:
            getattr(api, method)(name=bad)
        assert fields(caught) == {"name"}


@pytest.mark.parametrize("method", [*LISTS, "list_messages"])
def test_pages_are_bounded_and_page_tokens_are_our_own(api: Any, method: str) -> None:
    for size in (-1, 1001):
        with pytest.raises(errors.InvalidArgument) as caught:
            getattr(api, method)(page_size=size)
        assert fields(caught) == {"page_size"}
    for token in ("nonsense", "AAAA", "ü"):
        with pytest.raises(errors.InvalidArgument) as caught:
            getattr(api, method)(page_token=token)
        assert caught.value.reason == "INVALID_PAGE_TOKEN"
    empty = getattr(api, method)(page_size=1000)
    assert not empty.next_page_token
