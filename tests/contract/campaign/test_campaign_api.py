"""Every RPC of CampaignService over a real port, with its errors."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from rapport.campaign.v1 import campaign_pb2 as pb
from rapport_client import errors

from services.campaign.domain.coupons import Coupon, new_code
from services.campaign.models import campaign, message
from services.campaign.store import coupons as coupon_store
from services.kit.names import new_id
from tests.support.campaign import NOW, World, neighbours
from tests.support.postgres import DatabaseFactory
from tests.support.stack import Served, create_schema, serve

CONTENT = {"subject": "Hi {{ contact.given_name }}", "text": "Your code: {{ coupon }}"}
CAMPAIGN = {
    "segment": "segments/all",
    "template": "templates/base",
    "channel": "email.smtp",
    "topic": "marketing",
}
SEND = {"send": {"template": "templates/base", "channel": "email.smtp", "topic": "marketing"}}
JOURNEY = {
    "trigger": {"event_type": "order.placed"},
    "steps": [{"wait": {"duration": timedelta(days=1)}}, SEND],
}
MAIL = {
    "channel": "email.smtp",
    "topic": "transactional",
    "subject": "s",
    "text": "t",
    "address": "somebody@mail.test",
}


@pytest.fixture(scope="module")
def world() -> World:
    """What the neighbours know."""
    return World(members={"segments/all": []})


@pytest.fixture(scope="module")
def served(make_module_database: DatabaseFactory, world: World) -> Iterator[Served]:
    """Campaign with the template and the pool `base`."""
    url = make_module_database("campaign")
    create_schema("campaign", url)
    with neighbours(world) as address:
        settings = {"address": address, "plugins_allow": "email,recipients"}
        with serve("campaign", url, now=NOW, settings=settings) as running:
            running.client.create_template(template_id="base", template={"contents": [CONTENT]})
            running.client.create_coupon_pool(coupon_pool_id="base", coupon_pool={"prefix": "B"})
            yield running


@pytest.fixture
def api(served: Served) -> Any:
    """The client of campaign."""
    return served.client


def ident() -> str:
    return f"x{uuid4().hex}"


def fields(caught: pytest.ExceptionInfo[errors.RapportError]) -> set[str]:
    return {violation.field for violation in caught.value.violations}


def issue(served: Served, pool: str, contact: str = "") -> str:
    code = new_code("B")
    with served.runtime.db.transaction() as connection:
        given = Coupon(
            code=code,
            pool_id=pool,
            contact_id=UUID(contact.partition("/")[2]) if contact else new_id(),
            message_id=new_id(),
            issue_time=NOW,
            redeem_time=None,
            order_id=None,
        )
        coupon_store.issue(connection, [given])
    return code


READ, WRITE, LAUNCH = "campaign.read", "campaign.write", "campaign.launch"
CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "create_template": (WRITE, {"template_id": "base", "template": {"contents": [CONTENT]}}),
    "get_template": (READ, {"name": "templates/none"}),
    "list_templates": (READ, {}),
    "update_template": (
        WRITE,
        {"template": {"name": "templates/none", "display_name": "x"}, "update_mask": ["display_name"]},
    ),
    "preview_template": (READ, {"name": "templates/none", "contact": f"contacts/{uuid4()}"}),
    "create_coupon_pool": (WRITE, {"coupon_pool_id": "base", "coupon_pool": {"prefix": "A"}}),
    "get_coupon_pool": (READ, {"name": "couponPools/none"}),
    "list_coupon_pools": (READ, {}),
    "redeem_coupon": ("campaign.coupons.redeem", {"code": "NONE", "order": f"orders/{uuid4()}"}),
    "create_campaign": (
        WRITE,
        {"campaign_id": "perm", "campaign": CAMPAIGN | {"template": "templates/none"}},
    ),
    "get_campaign": (READ, {"name": "campaigns/none"}),
    "list_campaigns": (READ, {}),
    "launch_campaign": (LAUNCH, {"name": "campaigns/none"}),
    "pause_campaign": (LAUNCH, {"name": "campaigns/none"}),
    "resume_campaign": (LAUNCH, {"name": "campaigns/none"}),
    "cancel_campaign": (LAUNCH, {"name": "campaigns/none"}),
    "create_journey": (WRITE, {"journey_id": "Bad", "journey": JOURNEY}),
    "get_journey": (READ, {"name": "journeys/none"}),
    "list_journeys": (READ, {}),
    "activate_journey": (LAUNCH, {"name": "journeys/none"}),
    "deactivate_journey": (LAUNCH, {"name": "journeys/none"}),
    "add_suppressions": (
        "campaign.suppressions.write",
        {"suppressions": [{"kind": "email", "address": "perm@mail.test"}]},
    ),
    "remove_suppressions": (
        "campaign.suppressions.write",
        {"suppressions": [{"kind": "email", "address": "perm@mail.test"}]},
    ),
    "list_suppressions": ("campaign.suppressions.read", {}),
    "send_message": ("campaign.messages.send", MAIL | {"channel": "none"}),
    "get_message": (READ, {"name": f"messages/{uuid4()}"}),
    "list_messages": (READ, {}),
    "resolve_message": (LAUNCH, {"name": f"messages/{uuid4()}", "resolution": 1}),
}


@pytest.mark.parametrize("method", CALLS)
def test_each_rpc_asks_for_its_permission_and_no_more(served: Served, method: str) -> None:
    permission, arguments = CALLS[method]
    with pytest.raises(errors.Unauthenticated):
        getattr(served.client_with(token="wrong"), method)(**arguments)
    others = {needed for needed, _ in CALLS.values()} - {permission}
    with pytest.raises(errors.PermissionDenied):
        getattr(served.client_with(*others), method)(**arguments)
    try:
        getattr(served.client_with(permission), method)(**arguments)
    except (errors.NotFound, errors.AlreadyExists, errors.InvalidArgument):
        assert method not in ("list_templates", "list_messages", "add_suppressions")


def test_create_template(api: Any) -> None:
    key = ident()
    arguments = {
        "template_id": key,
        "template": {"display_name": "D", "contents": [CONTENT, CONTENT | {"language_code": "vi"}]},
    }
    made = api.create_template(**arguments, request_id=key).template
    assert (made.name, made.display_name, len(made.contents)) == (f"templates/{key}", "D", 2)
    assert made.create_time.ToDatetime(tzinfo=NOW.tzinfo) == NOW
    assert made.etag
    assert api.create_template(**arguments, request_id=key).template == made
    with pytest.raises(errors.AlreadyExists):
        api.create_template(**arguments)
    with pytest.raises(errors.InvalidArgument) as caught:
        api.create_template(template_id=ident(), template=arguments["template"], request_id=key)
    assert caught.value.reason == "REQUEST_ID_REUSED"


@pytest.mark.parametrize(
    ("contents", "field", "text"),
    [
        ([CONTENT | {"text": "a\n{% if %}"}], "template.contents[0].text", "line 2"),
        ([CONTENT | {"html": "{{ x | nope }}"}], "template.contents[0].html", "nope"),
        ([CONTENT | {"language_code": "vi"}], "template.contents", "fallback"),
        ([CONTENT, CONTENT], "template.contents[1].language_code", "twice"),
        ([CONTENT | {"subject": "{% include 'x' %}"}], "template.contents[0].subject", "include"),
    ],
)
def test_create_template_refuses(api: Any, contents: list[dict[str, str]], field: str, text: str) -> None:
    with pytest.raises(errors.InvalidArgument, match=text) as caught:
        api.create_template(template_id=ident(), template={"contents": contents})
    assert (caught.value.reason, fields(caught)) == ("INVALID_TEMPLATE", {field})


def test_create_template_refuses_a_bad_id(api: Any) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        api.create_template(template_id="Bad Id", template={"contents": [CONTENT]})
    assert fields(caught) == {"template_id"}


def test_get_template(api: Any) -> None:
    assert api.get_template(name="templates/base").template.contents[0].subject == CONTENT["subject"]
    with pytest.raises(errors.NotFound):
        api.get_template(name="templates/none")
    with pytest.raises(errors.InvalidArgument):
        api.get_template(name="campaigns/base")


def test_list_templates(api: Any) -> None:
    keys = sorted(ident() for _ in range(3))
    for key in keys:
        api.create_template(template_id=key, template={"contents": [CONTENT]})
    names = [item.name for item in api.list_templates.iterate(page_size=2)]
    assert names == sorted(names)
    assert {f"templates/{key}" for key in keys} <= set(names)
    with pytest.raises(errors.InvalidArgument) as caught:
        api.list_templates(page_token="bogus")
    assert caught.value.reason == "INVALID_PAGE_TOKEN"


def test_update_template(api: Any) -> None:
    key = ident()
    made = api.create_template(template_id=key, template={"contents": [CONTENT]}).template
    change = {"name": made.name, "display_name": "new"}
    changed = api.update_template(template=change, update_mask=["display_name"], etag=made.etag).template
    assert (changed.display_name, changed.contents) == ("new", made.contents)
    assert changed.etag != made.etag
    with pytest.raises(errors.Aborted) as stale:
        api.update_template(template=change, update_mask=["display_name"], etag=made.etag)
    assert stale.value.reason == "ETAG_MISMATCH"
    with pytest.raises(errors.InvalidArgument) as caught:
        api.update_template(
            template={"name": made.name, "contents": [CONTENT | {"text": "{{"}]}, update_mask=["contents"]
        )
    assert caught.value.reason == "INVALID_TEMPLATE"
    with pytest.raises(errors.InvalidArgument) as caught:
        api.update_template(template=change, update_mask=["create_time"])
    assert fields(caught) == {"update_mask"}
    with pytest.raises(errors.NotFound):
        api.update_template(template={"name": "templates/none"}, update_mask=["display_name"])


def test_preview_template(api: Any, world: World) -> None:
    [name] = world.add(given_name="<b>Lan", language_code="vi-VN", segment="segments/other")
    key = ident()
    contents = [
        CONTENT,
        CONTENT | {"language_code": "vi", "html": "{{ contact.given_name }} {{ event.total.amount }}"},
    ]
    api.create_template(template_id=key, template={"contents": contents})
    made = api.preview_template(name=f"templates/{key}", contact=name)
    assert (made.subject, made.html, made.language_code) == ("Hi <b>Lan", "&lt;b&gt;Lan ", "vi")
    assert made.text == "Your code: EXAMPLE-CODE"
    for missing in ({"name": "templates/none", "contact": name}, {"contact": f"contacts/{uuid4()}"}):
        with pytest.raises(errors.NotFound):
            api.preview_template(**({"name": f"templates/{key}"} | missing))
    bad = ident()
    api.create_template(template_id=bad, template={"contents": [CONTENT | {"text": "a\n{{ 1 / 0 }}"}]})
    with pytest.raises(errors.InvalidArgument, match="line 2") as caught:
        api.preview_template(name=f"templates/{bad}", contact=name)
    assert caught.value.reason == "RENDER_FAILED"


def test_create_coupon_pool(api: Any) -> None:
    key = ident()
    made = api.create_coupon_pool(
        coupon_pool_id=key, coupon_pool={"prefix": "MAY", "personal": True}
    ).coupon_pool
    assert (made.name, made.prefix, made.personal, made.issued_count) == (
        f"couponPools/{key}",
        "MAY",
        True,
        0,
    )
    with pytest.raises(errors.AlreadyExists):
        api.create_coupon_pool(coupon_pool_id=key, coupon_pool={"prefix": "MAY"})
    with pytest.raises(errors.InvalidArgument) as caught:
        api.create_coupon_pool(coupon_pool_id=ident(), coupon_pool={"prefix": "may"})
    assert fields(caught) == {"coupon_pool.prefix"}


def test_get_coupon_pool(served: Served, api: Any) -> None:
    key = ident()
    api.create_coupon_pool(coupon_pool_id=key, coupon_pool={"prefix": "B"})
    code = issue(served, key)
    issue(served, key)
    api.redeem_coupon(code=code, order=f"orders/{uuid4()}")
    pool = api.get_coupon_pool(name=f"couponPools/{key}").coupon_pool
    assert (pool.issued_count, pool.redeemed_count) == (2, 1)
    with pytest.raises(errors.NotFound):
        api.get_coupon_pool(name="couponPools/none")


def test_list_coupon_pools(api: Any) -> None:
    keys = [ident() for _ in range(3)]
    for key in keys:
        api.create_coupon_pool(coupon_pool_id=key, coupon_pool={"prefix": "B"})
    names = [item.name for item in api.list_coupon_pools.iterate(page_size=2)]
    assert names == sorted(names)
    assert {f"couponPools/{key}" for key in keys} <= set(names)


def test_redeem_coupon(served: Served, api: Any) -> None:
    first, second = f"orders/{uuid4()}", f"orders/{uuid4()}"
    code = issue(served, "base")
    typed = f" {code[:5].lower()}-{code[5:].lower()} "
    done = api.redeem_coupon(code=typed, order=first).coupon
    assert (done.code, done.pool, done.order) == (code, "couponPools/base", first)
    assert api.redeem_coupon(code=code, order=first).coupon == done
    with pytest.raises(errors.FailedPrecondition) as caught:
        api.redeem_coupon(code=code, order=second)
    assert caught.value.reason == "COUPON_REDEEMED"
    with pytest.raises(errors.NotFound) as missing:
        api.redeem_coupon(code=new_code("B"), order=first)
    assert missing.value.reason == "COUPON_NOT_FOUND"


def test_redeem_coupon_heeds_owner_and_expiry(served: Served, api: Any) -> None:
    key, owner = ident(), f"contacts/{uuid4()}"
    expiry = NOW + timedelta(days=1)
    api.create_coupon_pool(coupon_pool_id=key, coupon_pool={"personal": True, "expire_time": expiry})
    code, late = issue(served, key, owner), issue(served, key, owner)
    for other in ({}, {"contact": f"contacts/{uuid4()}"}):
        with pytest.raises(errors.FailedPrecondition) as caught:
            api.redeem_coupon(code=code, order=f"orders/{uuid4()}", **other)
        assert caught.value.reason == "COUPON_OF_ANOTHER_CONTACT"
    assert api.redeem_coupon(code=code, order=f"orders/{uuid4()}", contact=owner).coupon.contact == owner
    served.clock.instant = expiry
    try:
        with pytest.raises(errors.FailedPrecondition) as caught:
            api.redeem_coupon(code=late, order=f"orders/{uuid4()}", contact=owner)
        assert caught.value.reason == "COUPON_EXPIRED"
    finally:
        served.clock.instant = NOW


def test_create_campaign(api: Any) -> None:
    key = ident()
    given = CAMPAIGN | {"coupon_pool": "couponPools/base", "display_name": "Spring"}
    made = api.create_campaign(campaign_id=key, campaign=given, request_id=key).campaign
    assert (made.name, made.state, made.counts.audience) == (f"campaigns/{key}", pb.Campaign.STATE_DRAFT, 0)
    assert (made.segment, made.template, made.coupon_pool) == (
        "segments/all",
        "templates/base",
        "couponPools/base",
    )
    assert api.create_campaign(campaign_id=key, campaign=given, request_id=key).campaign == made
    with pytest.raises(errors.AlreadyExists):
        api.create_campaign(campaign_id=key, campaign=given)
    for missing in ({"template": "templates/none"}, {"coupon_pool": "couponPools/none"}):
        with pytest.raises(errors.NotFound):
            api.create_campaign(campaign_id=ident(), campaign=given | missing)
    with pytest.raises(errors.InvalidArgument, match=r"email\.smtp") as caught:
        api.create_campaign(campaign_id=ident(), campaign=given | {"channel": "pigeon"})
    assert (caught.value.reason, fields(caught)) == ("UNKNOWN_CHANNEL", {"campaign.channel"})
    for field, bad in (("topic", "Bad Topic"), ("segment", "all"), ("template", "base")):
        with pytest.raises(errors.InvalidArgument) as caught:
            api.create_campaign(campaign_id=ident(), campaign=given | {field: bad})
        assert fields(caught) == {f"campaign.{field}"}


def make(api: Any) -> str:
    return str(api.create_campaign(campaign_id=ident(), campaign=CAMPAIGN).campaign.name)


def test_get_campaign(api: Any) -> None:
    name = make(api)
    assert api.get_campaign(name=name).campaign.topic == "marketing"
    with pytest.raises(errors.NotFound):
        api.get_campaign(name="campaigns/none")


def test_list_campaigns(api: Any) -> None:
    made = {make(api) for _ in range(3)}
    names = [item.name for item in api.list_campaigns.iterate(page_size=2)]
    assert names == sorted(names)
    assert made <= set(names)


def test_launch_campaign(api: Any) -> None:
    name, request_id = make(api), uuid4().hex
    operation = api.launch_campaign(name=name, request_id=request_id).operation
    assert (operation.kind, operation.done) == ("launch_campaign", False)
    assert api.launch_campaign(name=name, request_id=request_id).operation.name == operation.name
    found = api.get_campaign(name=name).campaign
    assert found.state == pb.Campaign.STATE_PLANNING
    assert found.launch_time.ToDatetime(tzinfo=NOW.tzinfo) == NOW
    with pytest.raises(errors.FailedPrecondition) as caught:
        api.launch_campaign(name=name)
    assert caught.value.reason == "CAMPAIGN_STATE"
    with pytest.raises(errors.NotFound):
        api.launch_campaign(name="campaigns/none")
    with pytest.raises(errors.InvalidArgument) as reused:
        api.launch_campaign(name=make(api), request_id=request_id)
    assert reused.value.reason == "REQUEST_ID_REUSED"


def refuses(call: Any, name: str) -> None:
    with pytest.raises(errors.FailedPrecondition) as caught:
        call(name=name)
    assert caught.value.reason == "CAMPAIGN_STATE"
    with pytest.raises(errors.NotFound):
        call(name="campaigns/none")


def test_pause_campaign(api: Any) -> None:
    name = make(api)
    refuses(api.pause_campaign, name)
    api.launch_campaign(name=name)
    for _ in range(2):
        assert api.pause_campaign(name=name).campaign.state == pb.Campaign.STATE_PAUSED


def test_resume_campaign(served: Served, api: Any) -> None:
    name = make(api)
    refuses(api.resume_campaign, name)
    api.launch_campaign(name=name)
    api.pause_campaign(name=name)
    assert api.resume_campaign(name=name).campaign.state == pb.Campaign.STATE_PLANNING
    api.pause_campaign(name=name)
    with served.runtime.db.transaction() as connection:
        connection.execute(
            sa.update(campaign).where(campaign.c.id == name.partition("/")[2]).values(planned=True)
        )
    for _ in range(2):
        assert api.resume_campaign(name=name).campaign.state == pb.Campaign.STATE_SENDING


def test_cancel_campaign(served: Served, api: Any) -> None:
    name = make(api)
    api.launch_campaign(name=name)
    for _ in range(2):
        assert api.cancel_campaign(name=name).campaign.state == pb.Campaign.STATE_CANCELLED
    with served.runtime.db.transaction() as connection:
        connection.execute(
            sa.update(campaign).where(campaign.c.id == name.partition("/")[2]).values(state="done")
        )
    refuses(api.cancel_campaign, name)


def test_create_journey(api: Any) -> None:
    key = ident()
    trigger = {
        "event_type": "segment.entered",
        "segment": "segments/vip",
        "reentry_after": timedelta(days=30),
    }
    made = api.create_journey(journey_id=key, journey=JOURNEY | {"trigger": trigger}).journey
    assert (made.name, made.active, made.started_count) == (f"journeys/{key}", False, 0)
    assert made.trigger.reentry_after.ToTimedelta() == timedelta(days=30)
    assert [step.WhichOneof("action") for step in made.steps] == ["wait", "send"]
    with pytest.raises(errors.AlreadyExists):
        api.create_journey(journey_id=key, journey=JOURNEY)
    for bad in ({"template": "templates/none"}, {"coupon_pool": "couponPools/none"}):
        with pytest.raises(errors.NotFound):
            api.create_journey(
                journey_id=ident(), journey=JOURNEY | {"steps": [{"send": SEND["send"] | bad}]}
            )


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"steps": [{"wait": {"duration": timedelta(0)}}, SEND]}, "journey.steps[0].wait.duration"),
        ({"steps": [{"wait": {"duration": timedelta(1)}}]}, "journey.steps"),
        ({"steps": [SEND, {}]}, "journey.steps[1]"),
        ({"steps": [{"send": SEND["send"] | {"channel": "pigeon"}}]}, "journey.steps[0].send.channel"),
        ({"steps": [{"send": SEND["send"] | {"topic": "No Topic"}}]}, "journey.steps[0].send.topic"),
        ({"trigger": {"event_type": "Nonsense"}}, "journey.trigger.event_type"),
        ({"trigger": {"event_type": "segment.left"}}, "journey.trigger.segment"),
        ({"trigger": {"event_type": "order.placed", "segment": "segments/a"}}, "journey.trigger.segment"),
        (
            {"trigger": {"event_type": "order.placed", "reentry_after": timedelta(-1)}},
            "journey.trigger.reentry_after",
        ),
    ],
)
def test_create_journey_refuses(api: Any, change: dict[str, Any], field: str) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        api.create_journey(journey_id=ident(), journey=JOURNEY | change)
    assert (caught.value.reason, fields(caught)) == ("INVALID_JOURNEY", {field})


def test_get_journey(api: Any) -> None:
    key = ident()
    api.create_journey(journey_id=key, journey=JOURNEY)
    assert api.get_journey(name=f"journeys/{key}").journey.trigger.event_type == "order.placed"
    with pytest.raises(errors.NotFound):
        api.get_journey(name="journeys/none")


def test_list_journeys(api: Any) -> None:
    keys = [ident() for _ in range(3)]
    for key in keys:
        api.create_journey(journey_id=key, journey=JOURNEY)
    names = [item.name for item in api.list_journeys.iterate(page_size=2)]
    assert names == sorted(names)
    assert {f"journeys/{key}" for key in keys} <= set(names)


def test_activate_journey(api: Any) -> None:
    key = ident()
    api.create_journey(journey_id=key, journey=JOURNEY)
    for _ in range(2):
        assert api.activate_journey(name=f"journeys/{key}").journey.active
    with pytest.raises(errors.NotFound):
        api.activate_journey(name="journeys/none")


def test_deactivate_journey(api: Any) -> None:
    key = ident()
    api.create_journey(journey_id=key, journey=JOURNEY)
    api.activate_journey(name=f"journeys/{key}")
    assert not api.deactivate_journey(name=f"journeys/{key}").journey.active
    with pytest.raises(errors.NotFound):
        api.deactivate_journey(name="journeys/none")


def test_add_suppressions(api: Any) -> None:
    address = f"{ident()}@mail.test"
    given = [
        {"kind": "email", "address": address, "reason": "hard bounce"},
        {"kind": "email", "address": address.upper()},
    ]
    assert api.add_suppressions(suppressions=given).added_count == 1
    assert api.add_suppressions(suppressions=given).added_count == 0
    with pytest.raises(errors.InvalidArgument) as caught:
        api.add_suppressions(suppressions=[{"kind": "email", "address": "  "}])
    assert fields(caught) == {"suppressions[0].address"}
    with pytest.raises(errors.InvalidArgument):
        api.add_suppressions(suppressions=[])


def test_remove_suppressions(api: Any) -> None:
    address = f"{ident()}@mail.test"
    api.add_suppressions(suppressions=[{"kind": "email", "address": address}])
    given = [{"kind": "email", "address": address.upper()}, {"kind": "email", "address": "unknown@mail.test"}]
    assert api.remove_suppressions(suppressions=given).removed_count == 1
    assert api.remove_suppressions(suppressions=given).removed_count == 0


def test_list_suppressions(api: Any) -> None:
    given = [{"kind": "email", "address": f"{ident()}@mail.test", "reason": "complaint"} for _ in range(5)]
    api.add_suppressions(suppressions=given)
    found = list(api.list_suppressions.iterate(page_size=2))
    assert [item.address for item in found] == sorted(item.address for item in found)
    assert {item["address"] for item in given} <= {item.address for item in found}
    assert found[0].create_time.ToDatetime(tzinfo=NOW.tzinfo) == NOW


def test_send_message(api: Any) -> None:
    request_id = uuid4().hex
    sent = api.send_message(**MAIL, request_id=request_id).message
    assert (sent.state, sent.origin) == (pb.Message.STATE_PLANNED, f"requests/{request_id}")
    assert sent.contact == ""
    assert sent.external_id == f"<{sent.name.partition('/')[2]}@rapport.localhost>"
    assert api.send_message(**MAIL, request_id=request_id).message == sent
    with pytest.raises(errors.AlreadyExists) as caught:
        api.send_message(**(MAIL | {"text": "other"}), request_id=request_id)
    assert caught.value.reason == "REQUEST_ID_REUSED"
    with pytest.raises(errors.NotFound):
        api.send_message(**(MAIL | {"channel": "pigeon"}))
    contact = f"contacts/{uuid4()}"
    assert api.send_message(**(MAIL | {"contact": contact, "address": ""})).message.contact == contact


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"address": ""}, "address"),
        ({"topic": "marketing"}, "topic"),
        ({"subject": "a\r\nBcc: x@mail.test"}, "subject"),
        ({"reply_to": "a@b.test\nX: y"}, "reply_to"),
        ({"in_reply_to": "<a@b.test>\r\nX: y"}, "in_reply_to"),
        ({"address": "a@b.test\r\nRCPT TO:<c@d.test>"}, "address"),
        ({"topic": "Not A Topic"}, "topic"),
    ],
)
def test_send_message_refuses(api: Any, change: dict[str, str], field: str) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        api.send_message(**(MAIL | change))
    assert fields(caught) == {field}


def test_get_message(api: Any) -> None:
    sent = api.send_message(**MAIL).message
    assert api.get_message(name=sent.name).message == sent
    with pytest.raises(errors.NotFound):
        api.get_message(name=f"messages/{uuid4()}")


def test_list_messages(api: Any) -> None:
    contact = f"contacts/{uuid4()}"
    sent = [api.send_message(**(MAIL | {"contact": contact})).message for _ in range(5)]
    found = list(api.list_messages.iterate(contact=contact, page_size=2))
    assert found == sent[::-1]
    assert list(api.list_messages.iterate(origin=sent[2].origin)) == [sent[2]]
    assert list(api.list_messages.iterate(contact=contact, state=pb.Message.STATE_SENT)) == []
    assert len(list(api.list_messages.iterate(contact=contact, state=pb.Message.STATE_PLANNED))) == 5
    page = api.list_messages(contact=contact, page_size=2)
    with pytest.raises(errors.InvalidArgument) as caught:
        api.list_messages(page_size=2, page_token=page.next_page_token)
    assert caught.value.reason == "PAGE_TOKEN_MISMATCH"


def test_resolve_message(served: Served, api: Any) -> None:
    def unknown() -> str:
        sent = api.send_message(**MAIL).message
        key = sent.name.partition("/")[2]
        with served.runtime.db.transaction() as connection:
            connection.execute(sa.update(message).where(message.c.id == key).values(state="unknown"))
        return str(sent.name)

    resolution = pb.ResolveMessageRequest
    for decision, state in (
        (resolution.RESOLUTION_SENT, pb.Message.STATE_SENT),
        (resolution.RESOLUTION_RETRY, pb.Message.STATE_PLANNED),
    ):
        name = unknown()
        for _ in range(2):
            assert api.resolve_message(name=name, resolution=decision).message.state == state
    planned = api.send_message(**MAIL).message.name
    with pytest.raises(errors.FailedPrecondition) as caught:
        api.resolve_message(name=planned, resolution=resolution.RESOLUTION_SENT)
    assert caught.value.reason == "MESSAGE_STATE"
    with pytest.raises(errors.NotFound):
        api.resolve_message(name=f"messages/{uuid4()}", resolution=1)
    with pytest.raises(errors.InvalidArgument):
        api.resolve_message(name=planned)
