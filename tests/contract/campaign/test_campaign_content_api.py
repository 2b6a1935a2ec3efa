"""ContentService over a real port: previews, tests, how links are counted, uploaded coupons."""

from __future__ import annotations

from email import message_from_bytes, policy
from typing import Any

import pytest
from rapport.campaign.v1 import campaign_pb2 as pb
from rapport_client import errors

from tests.support.campaign_desk import Desk
from tests.support.campaign_fakes import Directory
from tests.support.stack import Served

MJML = (
    "<mjml><mj-body><mj-section><mj-column><mj-text>Chào {{ contact.given_name }}</mj-text></mj-column>"
    "</mj-section></mj-body></mjml>"
)


@pytest.fixture
def template(api: Any) -> str:
    """A template in two languages."""
    contents = [
        {
            "subject": "Hi {{ contact.given_name }}",
            "text": "{{ event.total | money }} at {{ event.time | time }} https://shop.test/a",
            "html": "<style>p{color:red}</style><p>Hi</p>",
        },
        {"language_code": "vi", "subject": "Chào", "text": "Chào", "mjml": MJML},
    ]
    return str(api.create_template(template_id="two", template={"contents": contents}).template.name)


def test_preview_content(api: Any, directory: Directory, template: str) -> None:
    name = directory.add(given_name="Lan", time_zone="Asia/Ho_Chi_Minh", language_code="en")
    event = {"time": "2026-03-01T01:30:00+00:00", "total": {"amount": 1234.5, "currency_code": "USD"}}
    made = api.preview_content(template=template, contact=name, event=event)
    assert (made.subject, made.language_code) == ("Hi Lan", "")
    assert made.text == "1,234.50\u00a0USD at 08:30 https://shop.test/a"
    assert list(made.links) == ["https://shop.test/a"]
    assert '<p style="color: red;">Hi</p>' in made.html
    other = api.preview_content(template=template, contact=name, language_code="vi-VN")
    assert other.language_code == "vi"
    assert "Chào Lan</div>" in other.html
    assert api.get_template(name=template).template.contents[1].mjml == MJML


def test_preview_content_refuses_what_it_cannot_show(api: Any, directory: Directory, template: str) -> None:
    name = directory.add()
    with pytest.raises(errors.NotFound):
        api.preview_content(template="templates/none", contact=name)
    with pytest.raises(errors.InvalidArgument) as caught:
        api.preview_content(template=template, contact=name, event={"time": "noon"})
    assert "event.time" in caught.value.message
    with pytest.raises(errors.InvalidArgument) as caught:
        api.preview_content(template=template, contact=name, event={"total": "much"})
    assert caught.value.reason == "RENDER_FAILED"
    assert "text, line 1" in caught.value.message


def test_create_template_refuses_mjml_with_its_line(api: Any) -> None:
    content = {"subject": "s", "text": "t", "mjml": "<mjml>\n<mj-body>{{ x | nope }}</mj-body></mjml>"}
    with pytest.raises(errors.InvalidArgument) as caught:
        api.create_template(template_id="bad", template={"contents": [content]})
    assert caught.value.reason == "INVALID_TEMPLATE"
    assert [item.field for item in caught.value.violations] == ["template.contents[0].mjml"]
    assert "line 2" in caught.value.message


def test_send_test_message(desk: Desk, api: Any, directory: Directory, template: str) -> None:
    name = directory.add(given_name="Lan")
    content = {"template": template, "contact": name, "language_code": "vi"}
    asked = {
        "content": content,
        "channel": "email.smtp",
        "addresses": ["me@shop.test", "you@shop.test"],
        "request_id": "t1",
    }
    before = len(desk.smtp.received())
    sent = api.send_test_message(**asked).messages
    assert [item.subject for item in sent] == ["[Test] Chào"] * 2
    assert [item.contact for item in sent] == ["", ""]
    assert {item.topic for item in sent} == {"transactional"}
    desk.send()
    api.send_test_message(**asked)
    desk.send()
    mails = desk.smtp.received()[before:]
    assert sorted(mail.to for mail in mails) == ["me@shop.test", "you@shop.test"]
    parsed: Any = message_from_bytes(mails[0].raw, policy=policy.default)
    assert "Chào Lan</div>" in parsed.get_body(("html",)).get_content()
    assert parsed["List-Unsubscribe"] is None
    with pytest.raises(errors.AlreadyExists) as caught:
        api.send_test_message(**{**asked, "content": {**content, "language_code": ""}})
    assert caught.value.reason == "REQUEST_ID_REUSED"
    for bad in ([], ["a@shop.test", "a@shop.test"], [""]):
        with pytest.raises(errors.InvalidArgument):
            api.send_test_message(**{**asked, "addresses": bad, "request_id": "t2"})
    with pytest.raises(errors.NotFound):
        api.send_test_message(**{**asked, "channel": "pigeon.post", "request_id": "t3"})


def test_set_link_settings_and_get_link_settings(desk: Desk, api: Any) -> None:
    desk.template()
    name = desk.campaign()
    empty = api.get_link_settings(origin=name).settings
    assert (empty.origin, empty.utm_source, empty.HasField("track_clicks")) == (name, "", False)
    given = {"origin": name, "utm_source": "mail", "utm_campaign": "spring", "track_clicks": False}
    stored = api.set_link_settings(settings=given).settings
    assert api.get_link_settings(origin=name).settings == stored
    assert (stored.utm_source, stored.utm_campaign, stored.track_clicks) == ("mail", "spring", False)
    assert stored.HasField("track_clicks")
    assert not stored.HasField("track_opens")
    assert not api.set_link_settings(settings={"origin": name}).settings.HasField("track_clicks")
    with pytest.raises(errors.NotFound):
        api.get_link_settings(origin="campaigns/none")
    with pytest.raises(errors.InvalidArgument):
        api.set_link_settings(settings={"origin": "x"})


def test_get_link_settings_of_an_origin(desk: Desk, api: Any) -> None:
    desk.template()
    assert api.get_link_settings(origin=desk.campaign()).settings.utm_medium == ""


def test_import_coupons(desk: Desk, api: Any) -> None:
    pool = desk.pool()
    made = api.import_coupons(pool=pool, codes=["ABCD-1", "ABCD-2"], request_id="i1")
    assert (made.added_count, made.free_count) == (2, 2)
    assert api.import_coupons(pool=pool, codes=["ABCD-1", "ABCD-2"], request_id="i1") == made
    with pytest.raises(errors.AlreadyExists) as caught:
        api.import_coupons(pool=pool, codes=["ABCD-3", "abcd1"])
    assert caught.value.reason == "COUPON_EXISTS"
    with pytest.raises(errors.InvalidArgument) as bad:
        api.import_coupons(pool=pool, codes=["x"])
    assert bad.value.reason == "INVALID_CODES"
    assert api.get_coupon_stock(pool=pool).free_count == 2


def test_get_coupon_stock(desk: Desk, api: Any, directory: Directory) -> None:
    pool = desk.pool()
    assert not api.get_coupon_stock(pool=pool).imported
    api.import_coupons(pool=pool, codes=["ABCD-1", "ABCD-2"])
    desk.template(text="{{ coupon }}")
    sent: pb.Message = desk.coupon()
    assert sent.coupon_code in ("ABCD-1", "ABCD-2")
    stock = api.get_coupon_stock(pool=pool)
    assert (stock.imported, stock.free_count) == (True, 1)
    with pytest.raises(errors.NotFound):
        api.get_coupon_stock(pool="couponPools/none")


def test_launch_campaign_warns_of_too_few_coupons(desk: Desk, api: Any, directory: Directory) -> None:
    pool = desk.pool()
    api.import_coupons(pool=pool, codes=["ABCD-1"])
    desk.template(text="{{ coupon }}")
    name = desk.campaign(coupon_pool=pool)
    directory.add()
    assert not api.launch_campaign(name=name, validate_only=True).warnings
    directory.add()
    [warning] = api.launch_campaign(name=name, validate_only=True).warnings
    assert warning.startswith("COUPON_POOL_EMPTY: couponPools/gift has 1 codes for an audience of 2")


def test_launch_campaign_warns_of_too_few_coupons_of_a_variant(
    desk: Desk, api: Any, directory: Directory
) -> None:
    pool = desk.pool()
    api.import_coupons(pool=pool, codes=["ABCD-1"])
    desk.template(text="{{ coupon }}")
    name = desk.campaign()
    variants = [{"id": "a"}, {"id": "b", "coupon_pool": pool}]
    api.create_experiment(campaign=name, experiment={"variants": variants})
    for _ in range(2):
        directory.add()
    # About half of them get a code.
    assert not api.launch_campaign(name=name, validate_only=True).warnings
    directory.add()
    [warning] = api.launch_campaign(name=name, validate_only=True).warnings
    assert warning.startswith("COUPON_POOL_EMPTY: couponPools/gift has 1 codes for an audience of 2")


SOMEBODY = "contacts/00000000-0000-4000-8000-000000000000"
CONTENT: dict[str, Any] = {"template": "templates/none", "contact": SOMEBODY}
CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "preview_content": ("campaign.read", CONTENT),
    "send_test_message": (
        "campaign.launch",
        {"content": CONTENT, "channel": "email.smtp", "addresses": ["a@shop.test"], "request_id": "r"},
    ),
    "get_link_settings": ("campaign.read", {"origin": "campaigns/none"}),
    "set_link_settings": ("campaign.write", {"settings": {"origin": "campaigns/none"}}),
    "import_coupons": ("campaign.write", {"pool": "couponPools/none", "codes": ["ABCD1"]}),
    "get_coupon_stock": ("campaign.read", {"pool": "couponPools/none"}),
}


@pytest.mark.parametrize("method", list(CALLS))
def test_each_rpc_asks_for_its_permission_and_no_more(served: Served, method: str) -> None:
    permission, arguments = CALLS[method]
    every = {"campaign.read", "campaign.write", "campaign.launch"}
    with pytest.raises(errors.PermissionDenied):
        getattr(served.client_with(*(every - {permission})), method)(**arguments)
    with pytest.raises(errors.NotFound):
        getattr(served.client_with(permission), method)(**arguments)
