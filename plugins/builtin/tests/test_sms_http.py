"""sms.http against a true HTTP server: the contract, the shapes of two kinds of provider, reports, hostile values."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs

import pytest
import rapport_builtin.sms
from rapport_sdk import (
    CallbackRefused,
    CallbackRequest,
    DeliveryReport,
    DeliveryStatus,
    OutboundMessage,
    Outcome,
    SendResult,
)
from rapport_testing import ChannelContract, HttpServer, assert_plugin_conforms
from rapport_testing.channels import Received
from rapport_testing.http import Reply, Request

from services.kit.plugins import OpenChannel, PluginError, PluginManager

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BODY = '{"to": "{to}", "from": "{sender}", "text": "{text}", "ref": "{message_id}", "kind": "{encoding}"}'
FORM = '{"To": "{to}", "From": "{sender}", "Body": "{text}"}'
FORM_SHAPE = {
    "FORMAT": "form",
    "BODY": FORM,
    "USER": "account",
    "PASSWORD": "s3cret",
    "ID_PATH": "sid",
    "REPORT_ID_PATH": "MessageId",
    "REPORT_STATUS_PATH": "MessageStatus",
    "REPORT_REASON_PATH": "ErrorCode",
    "REPORT_DELIVERED": "delivered",
    "REPORT_FAILED": "undelivered,failed",
}
STATUS_SHAPE = {
    "BODY": BODY,
    "HEADERS": '{"X-Key": "key {secret}"}',
    "SECRET": "s3cret",
    "ID_PATH": "messages.0.message-id",
    "STATUS_PATH": "messages.0.status",
    "ACCEPTED": "0",
    "PERMANENT": "3,6,7",
    "REPORT_ID_PATH": "client-ref",
    "REPORT_STATUS_PATH": "status",
    "REPORT_DELIVERED": "delivered",
    "REPORT_FAILED": "expired",
    "REPORT_INVALID": "rejected",
    "REPORT_SECRET": "let-me-in",
    "REPORT_SECRET_HEADER": "X-Report-Key",
}


def read(request: Request) -> Received:
    if request.headers["content-type"] == "application/json":
        data = json.loads(request.body)
        return Received(data["ref"], data["to"], data["text"], request.body)
    fields = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
    return Received("", fields["To"], fields["Body"], request.body)


def environment(server: HttpServer, **values: str) -> dict[str, str]:
    given = {
        "URL": f"{server.url}/send",
        "BODY": BODY,
        "SENDER": "Shop",
        "MAX_SEGMENTS": "100",
        "ALLOW_HTTP": "true",
        "ALLOW_NETWORKS": "127.0.0.1",
        "TIMEOUT": "10",
    }
    return {f"RAPPORT_PLUGIN_SMS_{name}": value for name, value in (given | values).items()}


def open_channel(server: HttpServer, **values: str) -> OpenChannel:
    manager = PluginManager(["sms"], environment=environment(server, **values))
    manager.load()
    return manager.open_channel("sms.http")


def message(to: str = "+84 90 123 4567", number: int = 0, **fields: str) -> OutboundMessage:
    return OutboundMessage(message_id=f"m{number}", to=to, **{"text": "Hello", **fields})


def send(server: HttpServer, item: OutboundMessage, **values: str) -> SendResult:
    channel = open_channel(server, **values)
    try:
        [result] = channel.send([item], now=NOW)
        return result
    finally:
        channel.close()


@pytest.fixture
def server() -> Iterator[HttpServer]:
    with HttpServer(read) as running:
        yield running


class TestContract(ChannelContract):
    addresses = ("+84901234561", "+84901234562", "+84901234563")

    @pytest.fixture
    def channel_name(self) -> str:
        return "sms.http"

    @pytest.fixture
    def channel_server(self, server: HttpServer) -> HttpServer:
        return server

    @pytest.fixture
    def channel_environment(self, channel_server: HttpServer) -> Mapping[str, str]:
        return environment(channel_server)

    # The provider had the whole request when it broke the connection: only it knows what it did.
    def test_connection_lost_before_handing_over_is_temporary(
        self, open_channel: OpenChannel, channel_server: HttpServer
    ) -> None:
        channel_server.behave("drop_before")
        assert self.outcomes(open_channel, self.batch()[0]) == [Outcome.UNKNOWN]
        assert channel_server.received() == []


def test_plugin_conforms() -> None:
    assert assert_plugin_conforms(rapport_builtin.sms, "sms").name == "sms"


def test_a_provider_that_takes_forms(server: HttpServer) -> None:
    server.reply = lambda request: Reply(201, None, b'{"sid": "SM1", "status": "queued"}')
    text = "Chào anh & chị = 100% {to}"
    result = send(server, message(text=text), **FORM_SHAPE)
    assert (result.outcome, result.provider_id) == (Outcome.ACCEPTED, "SM1")
    [request] = server.requests
    assert parse_qs(request.body.decode()) == {"To": ["+84901234567"], "From": ["Shop"], "Body": [text]}
    assert request.headers["authorization"] == f"Basic {base64.b64encode(b'account:s3cret').decode()}"


@pytest.mark.parametrize(
    ("body", "outcome", "provider_id"),
    [
        (b'{"messages": [{"message-id": "A1", "status": "0"}]}', Outcome.ACCEPTED, "A1"),
        (b'{"messages": [{"message-id": "A1", "status": 0}]}', Outcome.ACCEPTED, "A1"),
        (b'{"messages": [{"status": "0"}]}', Outcome.ACCEPTED, "m0"),
        (b'{"messages": [{"status": "1"}]}', Outcome.TEMPORARY, ""),
        (b'{"messages": [{"status": "3"}]}', Outcome.PERMANENT, ""),
        (b'{"messages": []}', Outcome.UNKNOWN, ""),
        (b"not json", Outcome.UNKNOWN, ""),
        (b"[" * 60_000, Outcome.UNKNOWN, ""),
    ],
)
def test_a_provider_whose_answer_holds_the_status(
    server: HttpServer, body: bytes, outcome: Outcome, provider_id: str
) -> None:
    server.reply = lambda request: Reply(200, None, body)
    result = send(server, message(), **STATUS_SHAPE)
    assert (result.outcome, result.provider_id) == (outcome, provider_id)
    assert server.requests[0].headers["x-key"] == "key s3cret"
    assert json.loads(server.requests[0].body)["kind"] == "gsm7"


@pytest.mark.parametrize(
    ("status", "body", "shape", "expected"),
    [
        (400, b'{"code": 21211}', FORM_SHAPE, (Outcome.PERMANENT, True)),
        (400, b'{"code": 21610}', FORM_SHAPE, (Outcome.PERMANENT, False)),
        (400, b"not json", FORM_SHAPE, (Outcome.PERMANENT, False)),
        (201, b'{"sid": "SM1"}', FORM_SHAPE, (Outcome.ACCEPTED, False)),
        (201, b'{"sid": "SM1", "code": "21211"}', FORM_SHAPE, (Outcome.PERMANENT, True)),
        # About us or the moment, whatever else is said.
        (429, b'{"code": 21211}', FORM_SHAPE, (Outcome.TEMPORARY, False)),
        (500, b'{"code": 21211}', FORM_SHAPE, (Outcome.TEMPORARY, False)),
        (200, b'{"messages": [{"status": "6"}]}', STATUS_SHAPE, (Outcome.PERMANENT, True)),
        (200, b'{"messages": [{"status": "3"}]}', STATUS_SHAPE, (Outcome.PERMANENT, False)),
        (200, b'{"messages": [{"status": "0"}]}', STATUS_SHAPE, (Outcome.ACCEPTED, False)),
    ],
)
def test_answers_that_say_that_the_number_is_bad(
    server: HttpServer,
    status: int,
    body: bytes,
    shape: Mapping[str, str],
    expected: tuple[Outcome, bool],
) -> None:
    server.reply = lambda request: Reply(status, None, body)
    said = (
        {"BAD_NUMBER_PATH": "code", "BAD_NUMBER": "21211,21614"}
        if shape is FORM_SHAPE
        else {"BAD_NUMBER": "6"}
    )
    result = send(server, message(), **shape, **said)
    assert (result.outcome, result.bad_address) == expected
    assert not result.bad_address or "bad number" in result.reason


@pytest.mark.parametrize(
    ("shape", "problem"),
    [
        ({"BAD_NUMBER": "6"}, "set bad_number_path"),
        ({**STATUS_SHAPE, "BAD_NUMBER": "0,6"}, "accepted and bad_number both list 0"),
    ],
)
def test_a_mapping_that_contradicts_itself_is_refused(
    server: HttpServer, shape: Mapping[str, str], problem: str
) -> None:
    with pytest.raises(PluginError, match=problem):
        open_channel(server, **shape)


def test_a_provider_that_asks_to_wait(server: HttpServer) -> None:
    server.reply = lambda request: Reply(429, {"Retry-After": "7"})
    result = send(server, message())
    assert (result.outcome, result.retry_after) == (Outcome.TEMPORARY, timedelta(seconds=7))


@pytest.mark.parametrize(
    "to",
    [
        "",
        "ann@mail.test",
        "+0123456",
        "12",
        "+84901234567890123",
        "+84\r\n901234567",
        "+８４９０１２３４５６７",
    ],
)
def test_what_is_no_number_is_permanent(server: HttpServer, to: str) -> None:
    assert send(server, message(to)).outcome is Outcome.PERMANENT
    assert server.requests == []


def test_a_text_that_takes_too_many_segments_is_not_sent(server: HttpServer) -> None:
    assert send(server, message(text="a" * 306), MAX_SEGMENTS="2").outcome is Outcome.ACCEPTED
    result = send(server, message(text="a" * 307), MAX_SEGMENTS="2")
    assert (result.outcome, len(server.requests)) == (Outcome.PERMANENT, 1)
    assert "3 segments (gsm7)" in result.reason


def test_values_stay_within_their_place(server: HttpServer) -> None:
    evil = '", "to": "+1999999999", "x": "{secret}'
    send(
        server, message(text=evil), SECRET="s3cret", URL=f"{server.url}/send?ref={{message_id}}&text={{text}}"
    )
    [request] = server.requests
    assert json.loads(request.body)["text"] == evil
    assert json.loads(request.body)["to"] == "+84901234567"
    assert b"s3cret" not in request.body
    assert parse_qs(request.path.partition("?")[2]) == {"ref": ["m0"], "text": [evil]}
    header = send(server, message(text="a\r\nX-Evil: 1"), HEADERS='{"X-Text": "{text}"}')
    assert (header.outcome, len(server.requests)) == (Outcome.PERMANENT, 1)


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("BODY", "{", "not JSON"),
        ("BODY", "[]", "not a JSON object"),
        ("BODY", '{"a": ["{tex}"]}', "no placeholder {tex}"),
        ("HEADERS", '{"a": "{key}"}', "no placeholder {key}"),
        ("URL", "https://sms.test/{who}", "no placeholder {who}"),
        ("MAX_SEGMENTS", "0", "max_segments"),
        ("ALLOW_NETWORKS", "10.0.0.1/8", "host bits"),
    ],
)
def test_a_mistaken_setting_keeps_the_channel_shut(
    server: HttpServer, name: str, value: str, problem: str
) -> None:
    with pytest.raises(PluginError, match=problem.replace("{", r"\{")):
        open_channel(server, **{name: value})


def callback(
    server: HttpServer, body: bytes, kind: str, shape: Mapping[str, str], **headers: str
) -> list[DeliveryReport]:
    channel = open_channel(server, **shape)
    request = CallbackRequest(body, kind, {name.replace("_", "-"): value for name, value in headers.items()})
    try:
        return channel.parse_callback(request, now=NOW)
    finally:
        channel.close()


def test_reports_as_forms(server: HttpServer) -> None:
    form = "application/x-www-form-urlencoded; charset=utf-8"
    shape = {**FORM_SHAPE, "TRUST_ALL_REPORTS": "true"}
    failed = callback(server, b"MessageId=m1&MessageStatus=undelivered&ErrorCode=30003", form, shape)
    assert failed == [DeliveryReport("m1", DeliveryStatus.BOUNCED, False, "30003")]
    assert callback(server, b"MessageId=m1&MessageStatus=queued", form, shape) == []
    with pytest.raises(PluginError, match="names no message"):
        callback(server, b"MessageStatus=delivered", form, shape)


@pytest.mark.parametrize("headers", [{}, {"authorization": ""}, {"authorization": "anything"}])
def test_without_a_secret_no_report_is_believed(server: HttpServer, headers: dict[str, str]) -> None:
    body, form = b"MessageId=m1&MessageStatus=delivered", "application/x-www-form-urlencoded"
    with pytest.raises(CallbackRefused, match="no report_secret is set"):
        callback(server, body, form, FORM_SHAPE, **headers)


def test_a_secret_counts_even_where_all_reports_would_be_trusted(server: HttpServer) -> None:
    shape = {**STATUS_SHAPE, "TRUST_ALL_REPORTS": "true"}
    body = b'{"client-ref": "m1", "status": "delivered"}'
    with pytest.raises(CallbackRefused, match="secret"):
        callback(server, body, "application/json", shape)
    assert callback(server, body, "application/json", shape, x_report_key="let-me-in")


def test_reports_as_json_need_the_secret(server: HttpServer) -> None:
    body = b'{"client-ref": "m1", "status": "rejected"}'
    found = callback(server, body, "application/json", STATUS_SHAPE, x_report_key="let-me-in")
    assert found == [DeliveryReport("m1", DeliveryStatus.BOUNCED, True, "")]
    for headers in ({}, {"x_report_key": "let-me"}, {"x_report_key": "ключ"}):
        with pytest.raises(CallbackRefused, match="secret"):
            callback(server, body, "application/json", STATUS_SHAPE, **headers)
    for junk in (b"", b"\xff", b"[" * 100_000):
        with pytest.raises(PluginError):
            callback(server, junk, "application/json", STATUS_SHAPE, x_report_key="let-me-in")
