"""webhook.post against a true HTTP server: the contract, signatures, redirects, bounds, and where it may connect."""

from __future__ import annotations

import base64
import hmac
import json
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import rapport_builtin.webhook
from hypothesis import given, settings
from hypothesis import strategies as st
from rapport_builtin.web import targets as targets_module
from rapport_builtin.web.targets import TargetRefused, Targets, is_public, networks
from rapport_sdk import OutboundMessage, Outcome, SendResult
from rapport_testing import ChannelContract, assert_plugin_conforms
from rapport_testing.channels import Received
from rapport_testing.http import HttpServer, Reply, Request

from services.kit.plugins import OpenChannel, PluginError, PluginManager

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CERTS = Path(__file__).parent / "certs"
KEYS = [bytes(range(24)), bytes(range(32))]
SECRETS = ["whsec_" + base64.b64encode(key).decode() for key in KEYS]


def read(request: Request) -> Received:
    data = json.loads(request.body)["data"]
    return Received(request.headers["webhook-id"], data["to"], data["text"], request.body)


def environment(**values: str) -> dict[str, str]:
    given = {"SECRETS": SECRETS[0], "ALLOW_HTTP": "true", "ALLOW_NETWORKS": "127.0.0.1", "TIMEOUT": "10"}
    return {f"RAPPORT_PLUGIN_WEBHOOK_{name}": value for name, value in (given | values).items()}


def open_channel(**values: str) -> OpenChannel:
    manager = PluginManager(["webhook"], environment=environment(**values))
    manager.load()
    return manager.open_channel("webhook.post")


def message(to: str, number: int = 0, **fields: str) -> OutboundMessage:
    return OutboundMessage(message_id=f"m{number}", to=to, **{"text": "Hello", **fields})


def post(to: str, **values: str) -> SendResult:
    channel = open_channel(**values)
    try:
        [result] = channel.send([message(to)], now=NOW)
        return result
    finally:
        channel.close()


@pytest.fixture
def server() -> Iterator[HttpServer]:
    with HttpServer(read) as running:
        yield running


class TestContract(ChannelContract):
    @pytest.fixture
    def channel_name(self) -> str:
        return "webhook.post"

    @pytest.fixture
    def channel_server(self, server: HttpServer) -> HttpServer:
        return server

    @pytest.fixture
    def channel_environment(self, channel_server: HttpServer) -> Mapping[str, str]:
        return environment(URL=f"{channel_server.url}/take")

    # The server had the whole request when it broke the connection: only it knows what it did.
    def test_connection_lost_before_handing_over_is_temporary(
        self, open_channel: OpenChannel, channel_server: HttpServer
    ) -> None:
        channel_server.behave("drop_before")
        assert self.outcomes(open_channel, self.batch()[0]) == [Outcome.UNKNOWN]
        assert channel_server.received() == []


def test_plugin_conforms() -> None:
    assert assert_plugin_conforms(rapport_builtin.webhook, "webhook").name == "webhook"


def test_requests_are_signed_with_every_secret_as_the_specification_says(server: HttpServer) -> None:
    post(f"{server.url}/hook", SECRETS=",".join(SECRETS))
    [request] = server.requests
    signed = b"m0." + str(int(NOW.timestamp())).encode() + b"." + request.body
    expected = [f"v1,{base64.b64encode(hmac.new(key, signed, sha256).digest()).decode()}" for key in KEYS]
    assert request.headers["webhook-signature"].split(" ") == expected
    assert (request.headers["webhook-id"], request.headers["webhook-timestamp"]) == ("m0", "1767225600")
    assert json.loads(request.body)["timestamp"] == NOW.isoformat()


def test_one_connection_serves_many_messages_and_a_closed_one_costs_nothing(server: HttpServer) -> None:
    channel = open_channel(URL=server.url)
    for start in (0, 3):
        results = channel.send([message("a", start + number) for number in range(3)], now=NOW)
        assert {result.outcome for result in results} == {Outcome.ACCEPTED}
    assert (server.connections, len(server.received())) == (1, 6)
    server.disconnect()
    [again] = channel.send([message("a", 6)], now=NOW)
    channel.close()
    assert (again.outcome, server.connections) == (Outcome.ACCEPTED, 2)


@pytest.mark.parametrize("secrets", ["", "whsec_%%%", "whsec_c2hvcnQ="])
def test_a_channel_without_a_proper_secret_does_not_open(secrets: str) -> None:
    with pytest.raises(PluginError, match="secret") as error:
        open_channel(SECRETS=secrets)
    assert "c2hvcnQ" not in str(error.value)


@pytest.mark.parametrize(
    ("status", "headers", "outcome", "wait"),
    [
        (204, {}, Outcome.ACCEPTED, None),
        (429, {"Retry-After": "120"}, Outcome.TEMPORARY, timedelta(seconds=120)),
        (503, {"Retry-After": "Thu, 01 Jan 2026 00:05:00 GMT"}, Outcome.TEMPORARY, timedelta(minutes=5)),
        (503, {"Retry-After": "soon"}, Outcome.TEMPORARY, None),
        (500, {}, Outcome.TEMPORARY, None),
        (401, {}, Outcome.TEMPORARY, None),
        (410, {}, Outcome.PERMANENT, None),
        (422, {"Retry-After": "5"}, Outcome.PERMANENT, None),
        (302, {"Location": "/elsewhere"}, Outcome.PERMANENT, None),
    ],
)
def test_outcome_by_status(
    server: HttpServer, status: int, headers: dict[str, str], outcome: Outcome, wait: timedelta | None
) -> None:
    server.reply = lambda request: Reply(status, headers, b"" if status == 204 else b"{}")
    result = post(server.url)
    assert (result.outcome, result.retry_after) == (outcome, wait)
    assert outcome is Outcome.ACCEPTED or str(status) in result.reason
    assert len(server.requests) == 1


def test_redirects_keep_the_message_and_end(server: HttpServer) -> None:
    def answer(request: Request) -> Reply:
        hop = int(request.path.rpartition("/")[2])
        return Reply(308, {"Location": f"/hop/{hop + 1}"}) if hop < 3 else Reply()

    server.reply = answer
    assert post(f"{server.url}/hop/0").outcome is Outcome.ACCEPTED
    assert [request.path for request in server.requests] == [f"/hop/{hop}" for hop in range(4)]
    assert len({(request.method, request.body) for request in server.requests}) == 1
    server.reply = lambda request: Reply(307, {"Location": "/again/0"})
    result = post(f"{server.url}/again/0")
    assert (result.outcome, "redirects" in result.reason) == (Outcome.PERMANENT, True)


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.2:9/",
        "http://[::ffff:127.0.0.1]:9/",
        "file:///etc/passwd",
        "http://u:p@127.0.0.1/",
        "http://:0/",
    ],
)
def test_a_redirect_leads_nowhere_that_is_not_allowed(server: HttpServer, location: str) -> None:
    server.reply = lambda request: Reply(307, {"Location": location})
    result = post(server.url)
    assert result.outcome is Outcome.PERMANENT
    assert result.reason.startswith("target refused")


REFUSED = [
    "http://10.0.0.1/",
    "http://127.0.0.1/",
    "http://169.254.169.254/latest/meta-data/",
    "http://0.0.0.0/",
    "http://224.0.0.1/",
    "http://100.64.0.1/",
    "http://[::1]/",
    "http://[::]/",
    "http://[fe80::1]/",
    "http://[fc00::1]/",
    "http://[::ffff:10.0.0.1]/",
    "http://[64:ff9b::a00:1]/",
    "http://[2002:a00:1::]/",
    "http://2130706433/",
    "http://0x7f.1/",
    "http://localhost/",
]


@pytest.mark.parametrize("url", REFUSED)
def test_addresses_that_are_not_public_are_refused(url: str) -> None:
    result = post(url, ALLOW_NETWORKS="")
    assert result.outcome is Outcome.PERMANENT
    assert "not allowed" in result.reason


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://a.test/",
        "//a.test/",
        "http://a b/",
        "http://a.test/\r\nX: y",
        "http://a.test:99999/",
        "mailto:a@b",
    ],
)
def test_what_is_no_url_is_permanent(url: str) -> None:
    assert post(url).outcome is Outcome.PERMANENT


def test_http_is_refused_unless_it_is_allowed(server: HttpServer) -> None:
    assert post(server.url, ALLOW_HTTP="false").outcome is Outcome.PERMANENT
    assert server.requests == []


def test_a_name_is_resolved_once_and_the_connection_goes_to_what_was_checked(server: HttpServer) -> None:
    asked: list[str] = []
    numeric = socket.getaddrinfo

    def rebinding(host: str, *rest: Any, **options: Any) -> list[Any]:
        if host != "rebound.test":
            return numeric(host, *rest, **options)
        asked.append(host)
        address = "127.0.0.1" if len(asked) == 1 else "127.0.0.2"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, server.port))]

    with patch.object(targets_module.socket, "getaddrinfo", rebinding):
        assert post(f"http://rebound.test:{server.port}/").outcome is Outcome.ACCEPTED
    assert asked == ["rebound.test"]
    assert server.requests[0].headers["host"] == f"rebound.test:{server.port}"


def test_a_name_without_an_address_is_temporary() -> None:
    away = socket.gaierror(-3, "try again")
    with patch.object(targets_module.socket, "getaddrinfo", side_effect=away):
        result = post("https://away.test/")
    assert (result.outcome, "no address" in result.reason) == (Outcome.TEMPORARY, True)


def test_a_mistaken_target_of_ours_fails_no_message(server: HttpServer) -> None:
    assert post("anybody", URL="http://10.0.0.1/").outcome is Outcome.TEMPORARY
    with pytest.raises(PluginError, match="scheme"):
        open_channel(URL="ftp://shop.test/")


def test_a_lost_answer_is_tried_again_when_receivers_are_idempotent(server: HttpServer) -> None:
    server.behave("drop_after")
    assert post(server.url, URL=server.url).outcome is Outcome.UNKNOWN
    assert post(server.url, URL=server.url, IDEMPOTENT="true").outcome is Outcome.TEMPORARY


def test_what_the_channel_can_do_follows_from_its_settings() -> None:
    known = open_channel(IDEMPOTENT="true", ALLOW_HTTP="false").capabilities
    assert (known.idempotent, known.url_schemes) == (True, ("https",))
    known = open_channel().capabilities
    assert (known.idempotent, known.url_schemes) == (False, ("https", "http"))


def test_a_call_that_names_its_url_goes_there_whatever_the_settings_say(server: HttpServer) -> None:
    with HttpServer(read) as ours:
        channel = open_channel(URL=ours.url)
        named = message("contact-7", 1, target=server.url)
        both = channel.send([message("contact-7"), named], now=NOW)
        assert [item.outcome for item in both] == [Outcome.ACCEPTED] * 2
        assert [request.headers["webhook-id"] for request in ours.requests] == ["m0"]
        assert [request.headers["webhook-id"] for request in server.requests] == ["m1"]
    # Neither's trouble is the other's: ours is away, theirs is not allowed.
    refused = message("contact-7", 2, target="http://10.0.0.1/")
    made = channel.send([message("contact-7"), named, refused, message("contact-8", 3)], now=NOW)
    channel.close()
    assert [item.outcome.value for item in made] == ["temporary", "accepted", "permanent", "temporary"]
    assert made[3].reason.startswith("not tried")


def test_tls_verifies_the_name() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTS / "cert.pem", CERTS / "key.pem")
    with HttpServer(read, tls=context) as server:
        ca_file = str(CERTS / "cert.pem")
        assert post(server.url, CA_FILE=ca_file).outcome is Outcome.ACCEPTED
        unknown = post(server.url)
        there = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", server.port))]
        # Also what connects to the address asks so, with the address for a name.
        with patch.object(targets_module.socket, "getaddrinfo", return_value=there):
            other = post(f"https://other.test:{server.port}/", CA_FILE=ca_file)
        assert (unknown.outcome, other.outcome) == (Outcome.TEMPORARY, Outcome.TEMPORARY)
        assert "certificate" in unknown.reason.lower()
        assert "other.test" in other.reason
        assert len(server.requests) == 1


def drip(answer: bytes, stop: threading.Event) -> tuple[socket.socket, threading.Thread]:
    """Serve one connection: take the request, answer, then send a byte now and then until the test is over."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            try:
                connection.sendall(answer)
                while not stop.wait(0.02):
                    connection.sendall(b"x")
            except OSError:
                pass  # the client has had enough

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return listener, thread


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (b"HTTP/1.1 200 OK\r\nX-Slow: ", Outcome.UNKNOWN),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", Outcome.ACCEPTED),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n" + b"y" * 200_000, Outcome.ACCEPTED),
        (b"no http at all\r\n\r\n", Outcome.UNKNOWN),
    ],
)
def test_an_answer_without_end_is_cut_short(answer: bytes, outcome: Outcome) -> None:
    stop = threading.Event()
    listener, thread = drip(answer, stop)
    with listener:
        result = post(f"http://127.0.0.1:{listener.getsockname()[1]}/", TIMEOUT="0.3")
        stop.set()
        thread.join(30)
    assert result.outcome is outcome
    assert not thread.is_alive()


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_no_address_of_ipv4_is_reached_by_way_of_ipv6(number: int) -> None:
    inner = ip_address(number)
    for text in (f"::ffff:{inner}", f"::{inner}", f"64:ff9b::{inner}"):
        assert not is_public(ip_address(text))
    assert not is_public(ip_address((0x2002 << 112) | (number << 80)))


def test_a_resolver_that_answers_only_forbidden_addresses_is_refused_and_one_that_mixes_is_narrowed() -> None:
    targets = Targets(networks(["127.0.0.1"]), plain=True)
    mixed = [(2, 1, 6, "", (address, 80)) for address in ("10.0.0.1", "127.0.0.1", "192.168.0.1")]
    with patch.object(targets_module.socket, "getaddrinfo", return_value=mixed):
        assert targets.resolve("mixed.test", 80, 5) == ["127.0.0.1"]
    with (
        patch.object(targets_module.socket, "getaddrinfo", return_value=mixed[:1]),
        pytest.raises(TargetRefused),
    ):
        targets.resolve("inner.test", 80, 5)
