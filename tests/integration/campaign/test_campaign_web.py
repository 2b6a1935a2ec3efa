"""The links of messages over a real port: what strangers may ask for, and what nobody may."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rapport.campaign.v1 import events_pb2
from rapport_sdk import CallbackRefused, CallbackRequest

from services.campaign.domain.interactions import CLICK, OPEN, UNSUBSCRIBE
from services.campaign.domain.links import link_token, open_token, unsubscribe_token
from services.campaign.domain.utm import LinkSettings
from services.campaign.domain.web_texts import TEXTS, Text
from services.campaign.models import delivery_report, interaction, kit, quarantine, suppression
from services.campaign.store import links
from services.campaign.web import PluginCallbacks, WebProcess
from services.kit.plugins import PluginManager
from services.kit.runtime import Runtime
from tests.support.campaign import NOW, ROOT, World
from tests.support.campaign_tracking import SentMessage, Tracked
from tests.support.rabbit import clean_environment
from tests.support.toy import free_base_port
from tests.support.waiting import until

BROWSER = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"}
PRINTABLE = st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="/?#%\\")
ONE_CLICK = {"List-Unsubscribe": "One-Click"}
SECRET = "between-us-and-the-relay"
SMS = {
    "RAPPORT_PLUGIN_SMS_URL": "https://sms.test",
    "RAPPORT_PLUGIN_SMS_BODY": '{"to": "{to}"}',
    "RAPPORT_PLUGIN_SMS_REPORT_ID_PATH": "id",
    "RAPPORT_PLUGIN_SMS_REPORT_STATUS_PATH": "status",
    "RAPPORT_PLUGIN_SMS_REPORT_INVALID": "gone",
}
"""A provider of SMS that reports, and with which no secret was agreed on."""


@dataclass
class Door:
    """A web process on a free port, and somebody who visits it."""

    process: WebProcess
    client: httpx.Client
    world: Tracked = field(repr=False)

    @property
    def runtime(self) -> Runtime:
        return self.world.runtime

    def seen(self, *columns: Any) -> list[Any]:
        """Return what was written, once all hits are."""
        until(lambda: not self.process.hits._waiting, "the hits are written")
        with self.runtime.db.read() as connection:
            return [tuple(row) for row in connection.execute(sa.select(*columns).order_by(interaction.c.id))]

    def events(self, kind: str) -> list[Any]:
        with self.runtime.db.read() as connection:
            return list(connection.execute(sa.select(kit.outbox).where(kit.outbox.c.type == kind)))


@pytest.fixture(scope="module")
def open_door(module_tracked: Tracked) -> Iterator[Door]:
    environment = {"RAPPORT_PLUGIN_EMAIL_REPORT_SECRET": SECRET, **SMS}
    manager = PluginManager(("email", "sms"), (), environment)
    manager.load()
    process = WebProcess(module_tracked.runtime, manager, port=0, metrics_port=0)
    process.start()
    with httpx.Client(base_url=f"http://127.0.0.1:{process.port}", headers=BROWSER, timeout=10) as client:
        yield Door(process, client, module_tracked)
    process.stop()


@pytest.fixture
def door(open_door: Door) -> Door:
    open_door.world.empty()
    return open_door


@pytest.fixture
def message(door: Door) -> SentMessage:
    return door.world.sent()


def test_a_pixel_is_always_answered_and_counts_when_it_is_ours(door: Door) -> None:
    message = door.world.sent()
    signer = door.runtime.signer
    for name in (open_token(signer, message.id), "x" * 26, link_token(signer, message.id, 0, None)):
        answer = door.client.get(f"/o/{name}.gif")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/gif")
        assert answer.content.startswith(b"GIF89a")
        assert "no-store" in answer.headers["cache-control"]
        assert "set-cookie" not in answer.headers
    assert door.seen(interaction.c.message_id, interaction.c.kind, interaction.c.contact_id) == [
        (message.id, OPEN, message.contact_id)
    ]


def test_a_click_leads_where_the_signed_token_or_the_template_says(door: Door) -> None:
    message = door.world.sent()
    signer = door.runtime.signer
    door.world.link("hello", 3, "https://shop.test/sale?x=1")
    own = "https://shop.test/đặt-hàng?a=%20b#c"
    for number, url, expected in (
        (3, None, "https://shop.test/sale?x=1"),
        (4, own, "https://shop.test/%C4%91%E1%BA%B7t-h%C3%A0ng?a=%20b#c"),
    ):
        answer = door.client.get(f"/c/{link_token(signer, message.id, number, url)}")
        assert (answer.status_code, answer.headers["location"]) == (302, expected)
        assert answer.headers["referrer-policy"] == "no-referrer"
    assert door.seen(interaction.c.kind, interaction.c.link) == [(CLICK, 3), (CLICK, 4)]


def test_head_is_no_click_and_a_link_that_nobody_knows_leads_nowhere(door: Door) -> None:
    message = door.world.sent()
    known = link_token(door.runtime.signer, message.id, 0, "https://shop.test/")
    assert door.client.head(f"/c/{known}").status_code == 302
    unknown = door.client.get(f"/c/{link_token(door.runtime.signer, message.id, 9, None)}")
    assert (unknown.status_code, "location" in unknown.headers) == (404, False)
    assert door.seen(interaction.c.kind) == []


def test_a_link_of_a_message_that_never_left_is_followed_but_not_counted(door: Door) -> None:
    message = door.world.sent(state="planned")
    answer = door.client.get(f"/c/{link_token(door.runtime.signer, message.id, 0, 'https://shop.test/')}")
    assert answer.status_code == 302
    assert door.seen(interaction.c.kind) == []


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from("cou"),
    change=st.one_of(
        st.tuples(st.integers(0, 60), st.sampled_from("Az09-_")),
        st.text(
            st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="/?#%\\"),
            min_size=1,
            max_size=80,
        ),
    ),
)
def test_forged_tokens_open_nothing(open_door: Door, message: SentMessage, kind: str, change: Any) -> None:
    signer = open_door.runtime.signer
    tokens = {
        "c": link_token(signer, message.id, 1, "https://shop.test/"),
        "o": open_token(signer, message.id),
        "u": unsubscribe_token(signer, message.contact_id, "marketing", message.id),
    }
    token = tokens[kind]
    if isinstance(change, tuple):
        at, char = change[0] % len(token), change[1]
        forged = token[:at] + char + token[at + 1 :]
    else:
        forged = change
    if forged == token or forged in (".", ".."):
        return
    path = httpx.URL(open_door.client.base_url, raw_path=f"/{kind}/{forged}".encode())
    visit = (
        open_door.client.get if kind != "u" else lambda where: open_door.client.post(where, data=ONE_CLICK)
    )
    answer = visit(path)
    assert answer.status_code in ((200,) if kind == "o" else (404, 405))
    assert "location" not in answer.headers
    assert not open_door.events("unsubscribe.requested")


def test_every_other_use_of_a_token_is_forged(door: Door) -> None:
    """A token for one use is worth nothing for another."""
    message = door.world.sent()
    signer = door.runtime.signer
    tokens = [
        link_token(signer, message.id, 1, None),
        open_token(signer, message.id),
        unsubscribe_token(signer, message.contact_id, "marketing", message.id),
        signer.sign("u", message.contact_id.bytes),
    ]
    for at, token in enumerate(tokens):
        if at != 0:
            assert door.client.get(f"/c/{token}").status_code == 404
        if at != 2:
            assert door.client.post(f"/u/{token}", data=ONE_CLICK).status_code == 404
        door.client.get(f"/o/{token}.gif" if at != 1 else f"/o/{token}.png")
    assert door.seen(interaction.c.kind) == []


def test_one_click_unsubscribes_once_and_a_get_never(door: Door) -> None:
    message = door.world.sent()
    path = f"/u/{unsubscribe_token(door.runtime.signer, message.contact_id, 'marketing', message.id)}"
    page = door.client.get(path)
    assert (page.status_code, '<form method="post">' in page.text) == (200, True)
    assert not door.events("unsubscribe.requested")
    for body in (ONE_CLICK, {**ONE_CLICK, "from": "page"}):
        answer = door.client.post(path, data=body)
        assert (answer.status_code, "set-cookie" in answer.headers) == (200, False)
    [event] = door.events("unsubscribe.requested")
    wish = events_pb2.UnsubscribeRequested.FromString(bytes(event.data))
    assert (wish.channel, wish.topic, wish.source) == ("email", "marketing", "one-click")
    assert (event.contact_id, wish.message) == (message.contact_id, f"messages/{message.id}")
    assert door.seen(interaction.c.kind, interaction.c.verdict) == [(UNSUBSCRIBE, "human")]


@pytest.mark.parametrize(
    ("link", "accepted", "language"),
    [
        ("", "", "en"),
        ("", "fr, vi-VN;q=0.9, en;q=0.8", "vi"),
        ("", "zh-TW", "zh-Hant"),
        ("zh-Hans", "vi", "zh-Hans"),
        ("<script>", "de", "en"),
    ],
)
def test_pages_for_people_are_in_their_language(door: Door, link: str, accepted: str, language: str) -> None:
    message, texts = door.world.sent(), TEXTS[language]
    path = (
        f"/u/{unsubscribe_token(door.runtime.signer, message.contact_id, 'marketing', message.id)}?l={link}"
    )
    headers = {"Accept-Language": accepted}
    page = door.client.get(path, headers=headers)
    pressed = door.client.post(path, headers=headers, data={**ONE_CLICK, "from": "page"})
    for answer, said in ((page, Text.PRESS), (pressed, Text.NO_MORE)):
        assert (answer.status_code, answer.headers["content-language"]) == (200, language)
        assert f'<html lang="{language}">' in answer.text
        assert texts[said] in answer.text
    assert f"<button>{texts[Text.UNSUBSCRIBE]}</button>" in page.text
    assert len(door.events("unsubscribe.requested")) == 1
    for nowhere, said in ((f"/u/nobody?l={link}", Text.BAD_LINK), (f"/x?l={link}", Text.NOTHING_HERE)):
        assert texts[said] in door.client.get(nowhere, headers=headers).text
    # What only programs see stays as it is.
    refused = door.client.post(path, headers=headers, content=b"")
    assert ('<html lang="en">' in refused.text, refused.status_code) == (True, 400)


def test_a_repeated_one_click_takes_back_no_later_consent_and_a_person_may(door: Door) -> None:
    message = door.world.sent()
    path = f"/u/{unsubscribe_token(door.runtime.signer, message.contact_id, 'marketing', message.id)}"
    assert door.client.post(path, data=ONE_CLICK).status_code == 200
    # The contact may have consented again meanwhile, and some program sends what it sent before.
    door.world.advance(minutes=11)
    assert door.client.post(path, data=ONE_CLICK).status_code == 200
    assert len(door.events("unsubscribe.requested")) == 1
    # Somebody presses the button, and the first click by another mail, though of the same age, is a wish too.
    assert door.client.post(path, data={**ONE_CLICK, "from": "page"}).status_code == 200
    assert len(door.events("unsubscribe.requested")) == 2
    other = door.world.sent()
    path = f"/u/{unsubscribe_token(door.runtime.signer, other.contact_id, 'marketing', other.id)}"
    assert door.client.post(path, data=ONE_CLICK).status_code == 200
    assert len(door.events("unsubscribe.requested")) == 3


def test_one_click_as_a_form_with_parts_and_without_a_message(door: Door) -> None:
    contact = door.world.sent().contact_id
    path = f"/u/{unsubscribe_token(door.runtime.signer, contact, 'news', None)}"
    assert door.client.post(path, files={"List-Unsubscribe": (None, "One-Click")}).status_code == 200
    [event] = door.events("unsubscribe.requested")
    assert events_pb2.UnsubscribeRequested.FromString(bytes(event.data)).topic == "news"


@pytest.mark.parametrize(
    ("method", "path", "body", "code"),
    [
        ("POST", "/u/{u}", b"", 400),
        ("POST", "/u/{u}", b"List-Unsubscribe=" + b"x" * 200 + b"One-Click", 400),
        ("POST", "/u/{u}", b"List-Unsubscribe=One-Click" + b"&" * 5000, 413),
        ("PUT", "/u/{u}", b"List-Unsubscribe=One-Click", 405),
        ("DELETE", "/c/{u}", b"", 405),
        ("POST", "/o/{u}.gif", b"", 405),
        ("GET", "/callbacks/email.smtp", b"", 405),
        ("GET", "/c/" + "A" * 5000, b"", 404),
        ("GET", "/c/%2e%2e%2fetc%2fpasswd", b"", 404),
        ("GET", "/<script>alert(1)</script>", b"", 404),
        ("GET", "/", b"", 404),
        ("POST", "/callbacks/email.pigeon", b"x", 404),
        ("POST", "/callbacks/email.smtp", b"x" * (2 << 20), 413),
    ],
)
def test_what_is_not_served_is_refused(door: Door, method: str, path: str, body: bytes, code: int) -> None:
    contact = door.world.sent().contact_id
    token = unsubscribe_token(door.runtime.signer, contact, "marketing", None)
    answer = door.client.request(method, path.replace("{u}", token), content=body)
    assert answer.status_code == code
    assert not [word for word in ("alert", token, "passwd") if word in answer.text]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert not door.events("unsubscribe.requested")


def test_a_header_without_end_is_refused(door: Door) -> None:
    with socket.create_connection(("127.0.0.1", door.process.port), timeout=10) as connection:
        connection.sendall(b"GET /o/x.gif HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 40_000)
        assert connection.recv(100).startswith(b"HTTP/1.1 400 ")


def test_providers_report_and_what_they_send_askew_is_kept(door: Door) -> None:
    message = door.world.sent()
    proof = {"Authorization": SECRET}
    good = door.client.post("/callbacks/email.smtp", content=door.world.bounce(message), headers=proof)
    assert (good.status_code, good.text) == (200, "1\n")
    for _ in range(2):
        askew = door.world.bounce(message, action="")
        bad = door.client.post("/callbacks/email.smtp", content=askew, headers=proof)
        assert bad.status_code == 400
    ordinary = door.client.post("/callbacks/email.smtp", content=b"Subject: hi\n\nHello", headers=proof)
    assert (ordinary.status_code, ordinary.text) == (200, "0\n")
    with door.runtime.db.read() as connection:
        assert connection.execute(sa.select(delivery_report.c.kind)).all() == [("bounced",)]
        assert connection.execute(sa.select(quarantine.c.source)).all() == [("callbacks/email.smtp",)] * 2


@pytest.mark.parametrize(
    "proof",
    [
        {},
        {"Authorization": ""},
        {"Authorization": SECRET[:-1]},
        {"Authorization": b"\xff\xfe"},
        {"X": SECRET},
    ],
)
def test_who_knows_a_message_id_alone_is_not_believed(door: Door, proof: dict[str, str | bytes]) -> None:
    message = door.world.sent()
    # What anybody can write who got an answer to a mail of ours; and what would fill the quarantine.
    for content in (door.world.bounce(message), door.world.bounce(message, action=""), b"", b"\xff" * 1000):
        answer = door.client.post("/callbacks/email.smtp", content=content, headers=proof)
        assert answer.status_code == 403
        assert SECRET not in answer.text
    with door.runtime.db.read() as connection:
        assert connection.execute(sa.select(delivery_report.c.kind)).all() == []
        assert connection.execute(sa.select(quarantine.c.source)).all() == []
        assert connection.execute(sa.select(suppression.c.address)).all() == []


def test_without_a_secret_no_report_is_taken(open_door: Door) -> None:
    manager = PluginManager(("email",), (), {})
    manager.load()
    callbacks = PluginCallbacks(open_door.runtime, manager)
    assert not callbacks.accepts("email.smtp")
    with pytest.raises(CallbackRefused):
        callbacks.parse("email.smtp", CallbackRequest(b"Subject: hi", headers={"authorization": ""}))
    callbacks.close()


def test_a_provider_of_sms_is_not_believed_without_a_secret(door: Door) -> None:
    message = door.world.sent()
    report = {"id": str(message.id), "status": "gone"}
    for proof in ({}, {"Authorization": ""}, {"Authorization": SECRET}):
        assert door.client.post("/callbacks/sms.http", json=report, headers=proof).status_code == 403
    with door.runtime.db.read() as connection:
        assert connection.execute(sa.select(delivery_report.c.kind)).all() == []
        assert connection.execute(sa.select(quarantine.c.source)).all() == []


def test_health_and_metrics_are_on_a_port_of_their_own(door: Door) -> None:
    assert door.client.get("/healthz").status_code == 404
    base = f"http://127.0.0.1:{door.process.metrics_port}"
    assert httpx.get(f"{base}/healthz").text == "ok\n"
    door.client.get("/robots.txt")
    door.client.get("/o/x.gif")
    assert 'rapport_campaign_web_requests_total{code="200",page="open"}' in httpx.get(f"{base}/metrics").text


def test_addresses_come_from_proxies_that_are_believed_only(door: Door) -> None:
    """The keyed hash of a place is the same for one place, and says nothing of it."""
    message = door.world.sent()
    path = f"/o/{open_token(door.runtime.signer, message.id)}.gif"
    door.client.get(path, headers={"X-Forwarded-For": "203.0.113.7"})
    door.client.get(path)
    [(first,), (second,)] = door.seen(interaction.c.source_hash)
    assert bytes(first) == bytes(second)
    assert len(bytes(first)) == 8
    assert urlsplit(str(door.client.base_url)).hostname == "127.0.0.1"


def test_the_process_writes_what_it_saw_before_it_ends(
    database_url: str, tmp_path: Path, runtime: Runtime
) -> None:
    world = Tracked(runtime, World())
    message = world.sent()
    base = free_base_port()
    environment = {
        **clean_environment(),
        "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "protos", ROOT / "protos" / "gen"))),
        "RAPPORT_DATA_DIR": str(tmp_path),
        "RAPPORT_BASE_PORT": str(base),
        "RAPPORT_CAMPAIGN_DATABASE_URL": database_url,
        "RAPPORT_SECRET_KEY": "k" * 32,
        "RAPPORT_PLUGINS_ALLOW": "email",
    }
    with (tmp_path / "web.log").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "services.campaign.web"],
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=output,
        )
    try:
        until(lambda: answers(f"http://127.0.0.1:{base + 47}/healthz"), "the process is fit")
        path = f"/o/{open_token(runtime.signer, message.id)}.gif"
        assert httpx.get(f"http://127.0.0.1:{base + 46}{path}", headers=BROWSER).status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, (tmp_path / "web.log").read_text()
    finally:
        process.kill()
        process.wait()
    with runtime.db.read() as connection:
        assert connection.execute(sa.select(interaction.c.kind)).scalar_one() == OPEN


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def test_a_static_link_has_the_parameters_of_its_campaign(door: Door) -> None:
    message = door.world.sent()
    door.world.link("hello", 3, "https://shop.test/sale?x=1")
    with door.runtime.db.transaction() as connection:
        links.save_settings(
            connection, LinkSettings(origin=message.origin, utm_source="news", utm_campaign="spring"), NOW
        )
    answer = door.client.get(f"/c/{link_token(door.runtime.signer, message.id, 3, None)}")
    assert answer.headers["location"] == "https://shop.test/sale?x=1&utm_source=news&utm_campaign=spring"
