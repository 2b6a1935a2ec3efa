"""Content on its way out: tracked links that lead where the template says, headers, uploaded coupons."""

from __future__ import annotations

import re
from concurrent import futures
from dataclasses import replace
from email import message_from_bytes, policy
from email.message import EmailMessage
from html import unescape
from threading import Barrier

import pytest
import sqlalchemy as sa
from rapport_testing.smtp import SmtpServer

from services.campaign.domain.links import BadToken, read_link, read_open, read_unsubscribe
from services.campaign.domain.rendering import Content
from services.campaign.domain.utm import LinkSettings
from services.campaign.models import coupon_code, message
from services.campaign.store import coupons as store
from services.campaign.store.links import destination
from services.campaign.usecases import campaigns, coupons, link_settings, templates, upkeep
from services.campaign.usecases.messages import SingleMessage, send_message
from services.campaign.usecases.sending import Sender
from services.kit.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from services.kit.locks import Locks
from services.kit.names import new_id, parse_name
from services.kit.plugins import PluginManager
from services.kit.runtime import Runtime
from tests.support.campaign import World, counts, make_campaign, make_pool, make_template, plan

WEB = "https://go.shop.test"
TEXT = "Sale: https://shop.test/sale?x=1. Yours: https://shop.test/for/{{ contact.locality }}"
HTML = (
    '<html><body><a href="https://shop.test/sale?x=1">a</a>'
    '<a href="https://shop.test/p/{{ contact.locality }}?b=1&amp;c=2">b</a>'
    '<a href="mailto:help@shop.test">m</a><a href="{{ links.unsubscribe }}">stop</a></body></html>'
)


@pytest.fixture
def public(runtime: Runtime) -> Runtime:
    """A runtime whose links people reach."""
    return replace(runtime, settings=runtime.settings.model_copy(update={"public_web_url": WEB}))


def send(runtime: Runtime, manager: PluginManager) -> None:
    locks = Locks(runtime.db.engine)
    sender = Sender(runtime, manager, locks)
    while sender.run_once():
        pass
    sender.close()
    locks.close()


def parsed(raw: bytes) -> EmailMessage:
    made = message_from_bytes(raw, policy=policy.default)
    assert isinstance(made, EmailMessage)
    return made


def bodies(mail: EmailMessage) -> tuple[str, str]:
    text, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert text is not None
    return text.get_content(), html.get_content() if html is not None else ""


def leads_to(runtime: Runtime, url: str) -> str | None:
    assert url.startswith(f"{WEB}/c/"), url
    with runtime.db.read() as connection:
        return destination(connection, read_link(runtime.signer, url.removeprefix(f"{WEB}/c/")))


def test_links_are_tracked_and_lead_where_the_template_says(
    public: Runtime, world: World, manager: PluginManager, smtp: SmtpServer
) -> None:
    [name] = world.add(locality="Hà Nội", language_code="vi-VN")
    make_template(public, text=TEXT, html=HTML)
    make_campaign(public)
    link_settings.set_settings(
        public, LinkSettings(origin="campaigns/spring", utm_source="mail", utm_campaign="é 1")
    )
    plan(public)
    send(public, manager)
    [mail] = smtp.received()
    with public.db.read() as connection:
        [row] = connection.execute(sa.select(message)).all()
    text, html = bodies(parsed(mail.raw))
    utm = "utm_source=mail&utm_campaign=%C3%A9+1"
    in_text = re.findall(r"https://\S+", text)
    assert [leads_to(public, url.rstrip(".")) for url in in_text] == [
        f"https://shop.test/sale?x=1&{utm}",
        f"https://shop.test/for/Hà%20Nội?{utm}",
    ]
    first, second, help_, stop = map(unescape, re.findall(r'href="([^"]*)"', html))
    assert leads_to(public, first) == f"https://shop.test/sale?x=1&{utm}"
    assert leads_to(public, second) == f"https://shop.test/p/Hà%20Nội?b=1&c=2&{utm}"
    assert help_ == "mailto:help@shop.test"
    # Static ones are short: their address stays with us, and a later version of the template does not change it.
    assert len(first) < 62
    with public.db.transaction() as connection:
        changed = [Content("", "s", "https://shop.test/other", "")]
        templates.update_template(public, connection, "hello", ["contents"], "", changed, "")
    assert leads_to(public, first) == f"https://shop.test/sale?x=1&{utm}"
    [pixel] = re.findall(r'<img src="([^"]*)" width="1" height="1"', html)
    assert html.rstrip().endswith("></body></html>")
    assert read_open(public.signer, pixel.removeprefix(f"{WEB}/o/").removesuffix(".gif")) == row.id
    with pytest.raises(BadToken):
        read_link(public.signer, pixel.removeprefix(f"{WEB}/o/").removesuffix(".gif"))

    headers = parsed(mail.raw)
    web, leave = re.findall("<([^>]*)>", str(headers["List-Unsubscribe"]))
    assert web == stop
    assert leave.startswith("mailto:u+marketing.")
    assert headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    token, _, language = web.removeprefix(f"{WEB}/u/").partition("?l=")
    asked = read_unsubscribe(public.signer, token)
    assert (asked.contact_id, asked.topic, asked.message_id) == (
        parse_name(name, "contacts"),
        "marketing",
        row.id,
    )
    assert language == "vi"
    assert headers["List-Id"] == "<marketing.shop.test>"
    assert headers["Precedence"] == "bulk"
    assert headers["Auto-Submitted"] is None


def test_transactional_and_single_messages_are_not_tracked(
    public: Runtime, world: World, manager: PluginManager, smtp: SmtpServer
) -> None:
    [name] = world.add()
    make_template(public, text=TEXT, html=HTML)
    make_campaign(public, topic="transactional")
    plan(public)
    send_message(
        public,
        SingleMessage(
            contact_id=parse_name(name, "contacts"),
            channel="email.smtp",
            topic="transactional",
            subject="Re: you",
            text="see https://shop.test/x",
            reply_to="",
            in_reply_to="",
            address="",
        ),
        "r",
    )
    survey = SingleMessage(
        contact_id=parse_name(name, "contacts"),
        channel="email.smtp",
        topic="transactional",
        subject="How was it?",
        text="1 to 5",
        reply_to="",
        in_reply_to="",
        address="",
        automatic=True,
    )
    send_message(public, survey, "survey")
    with pytest.raises(AlreadyExists):
        send_message(public, replace(survey, automatic=False), "survey")
    send(public, manager)
    mails = {str(mail["Subject"]): mail for mail in (parsed(item.raw) for item in smtp.received())}
    assert len(mails) == 3
    for mail in mails.values():
        assert WEB not in mail.as_string()
        assert mail["List-Unsubscribe"] is None
        assert mail["Precedence"] is None
    # A person wrote the answer; a machine the receipt.
    assert mails["Re: you"]["Auto-Submitted"] is None
    assert mails["Hi Sam"]["Auto-Submitted"] == mails["How was it?"]["Auto-Submitted"] == "auto-generated"
    assert "https://shop.test/sale?x=1" in bodies(mails["Hi Sam"])[0]


def test_tracking_may_be_switched_off_and_parameters_stay(
    public: Runtime, world: World, manager: PluginManager, smtp: SmtpServer
) -> None:
    world.add(locality="x")
    make_template(public, text=TEXT, html=HTML)
    make_campaign(public)
    link_settings.set_settings(
        public,
        LinkSettings(origin="campaigns/spring", utm_medium="email", track_clicks=False, track_opens=False),
    )
    plan(public)
    send(public, manager)
    [mail] = smtp.received()
    text, html = bodies(parsed(mail.raw))
    assert "https://shop.test/sale?x=1&utm_medium=email. " in text
    assert 'href="https://shop.test/p/x?b=1&amp;c=2&amp;utm_medium=email"' in html
    assert "/c/" not in html
    assert "<img" not in html


def test_settings_are_for_what_exists(runtime: Runtime) -> None:
    for origin in ("campaigns/none", "journeys/none"):
        with pytest.raises(NotFound):
            link_settings.set_settings(runtime, LinkSettings(origin=origin))
        with pytest.raises(NotFound):
            link_settings.get_settings(runtime, origin)
    with pytest.raises(InvalidArgument):
        link_settings.get_settings(runtime, "requests/x")
    with pytest.raises(InvalidArgument, match="line break"):
        link_settings.set_settings(runtime, LinkSettings(origin="campaigns/x", utm_source="a\r\nb"))


def upload(runtime: Runtime, *codes: str, pool: str = "gift") -> int:
    with runtime.db.transaction() as connection:
        return coupons.import_codes(connection, pool, codes)


def test_uploaded_codes_go_out_once_each_until_there_are_none(
    runtime: Runtime, world: World, sender: Sender, smtp: SmtpServer
) -> None:
    make_pool(runtime)
    assert upload(runtime, "Summer-1", "summer 2".replace(" ", "_"), "SUMMER3") == 3
    make_template(runtime, text="code={{ coupon }}")
    make_campaign(runtime, coupon_pool_id="gift")
    world.add(4)
    world.add(given_name="x", address="not an address")
    plan(runtime)
    while sender.run_once():
        pass
    got = sorted(item.text.strip().removeprefix("code=") for item in smtp.received())
    found = counts(runtime)
    with runtime.db.read() as connection:
        reasons = connection.scalars(sa.select(message.c.reason).where(message.c.state == "failed")).all()
    assert found.of("sent") == len(got)
    empty = [reason for reason in reasons if reason.startswith("COUPON_POOL_EMPTY: couponPools/gift")]
    assert empty
    assert set(got) <= {"Summer-1", "summer_2", "SUMMER3"}
    assert len(set(got)) == len(got)
    order = new_id()
    redeemed = coupons.redeem_coupon(runtime, got[0].lower(), None, order)
    assert redeemed.order_id == order
    with pytest.raises(FailedPrecondition, match="another order"):
        coupons.redeem_coupon(runtime, got[0], None, new_id())


def test_codes_that_no_message_carries_are_not_redeemed_and_not_taken_twice(runtime: Runtime) -> None:
    make_pool(runtime)
    make_pool(runtime, "other")
    upload(runtime, "AAAA1")
    with pytest.raises(NotFound, match="no coupon"):
        coupons.redeem_coupon(runtime, "AAAA1", None, new_id())
    for pool in ("gift", "other"):
        with pytest.raises(AlreadyExists, match="aa-aa1"):
            upload(runtime, "aa-aa1", "BBBB1", pool=pool)
    assert upload(runtime, "BBBB1") == 2
    with pytest.raises(InvalidArgument) as caught:
        upload(runtime, "CCCC1", "a", "with space", "cccc-1", "ü" * 5)
    assert [item.field for item in caught.value.violations] == [f"codes[{index}]" for index in (1, 2, 3, 4)]
    with pytest.raises(NotFound):
        upload(runtime, "DDDD1", pool="none")


def test_a_pool_that_made_codes_takes_none(
    runtime: Runtime, world: World, sender: Sender, smtp: SmtpServer
) -> None:
    make_pool(runtime)
    make_template(runtime)
    make_campaign(runtime, coupon_pool_id="gift")
    world.add()
    plan(runtime)
    sender.run_once()
    with pytest.raises(FailedPrecondition) as caught:
        upload(runtime, "AAAA1")
    assert caught.value.reason == "COUPON_POOL_GENERATES"


def test_senders_at_once_never_share_a_code_nor_leave_one(runtime: Runtime) -> None:
    make_pool(runtime)
    upload(runtime, *(f"CODE{number:04}" for number in range(200)))
    batches = [[new_id() for _ in range(30)] for _ in range(8)]
    gate = Barrier(len(batches))

    def reserve(keys: list) -> dict:
        gate.wait()
        with runtime.db.transaction() as connection:
            return store.reserve(connection, "gift", keys)

    with futures.ThreadPoolExecutor(len(batches)) as pool:
        given = list(pool.map(reserve, batches))
    codes = [code for some in given for code in some.values()]
    # 240 messages, 200 codes: each code has one message, and none stays behind.
    assert len(codes) == len(set(codes)) == 200
    with runtime.db.transaction() as connection:
        again = store.reserve(connection, "gift", batches[0])
        assert again == given[0]
        store.release(connection, list(again))
        assert store.free_count(connection, "gift") == len(again)


def test_what_is_cancelled_gives_its_code_back(runtime: Runtime, world: World) -> None:
    make_pool(runtime)
    upload(runtime, "AAAA1")
    make_template(runtime)
    make_campaign(runtime, coupon_pool_id="gift")
    world.add()
    plan(runtime)
    with runtime.db.transaction() as connection:
        key = connection.scalars(sa.select(message.c.id)).one()
        store.reserve(connection, "gift", [key])
    upkeep.recover_messages(runtime)
    with runtime.db.read() as connection:
        assert store.free_count(connection, "gift") == 0
    campaigns.change_state(runtime, "cancel", "spring")
    upkeep.recover_messages(runtime)
    with runtime.db.read() as connection:
        assert store.free_count(connection, "gift") == 1
        assert connection.scalar(sa.select(sa.func.count()).select_from(coupon_code)) == 1
