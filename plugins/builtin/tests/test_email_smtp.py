"""email.smtp against a true SMTP server: the contract, logging in, TLS, idle connections, reply codes."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest
import rapport_builtin.email
import rapport_builtin.recipients
import rapport_builtin.rfm
from rapport_sdk import OutboundMessage, Outcome, SendResult
from rapport_testing import ChannelContract, SmtpServer, assert_plugin_conforms

from services.kit.plugins import OpenChannel, PluginError, PluginManager

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CERTS = Path(__file__).parent / "certs"


def environment(server: SmtpServer, **settings: str) -> dict[str, str]:
    given = {
        "SMTP_HOST": server.host,
        "SMTP_PORT": str(server.port),
        "SMTP_SECURITY": "none",
        "SMTP_TIMEOUT": "10",
    } | settings
    return {f"RAPPORT_PLUGIN_EMAIL_{name}": value for name, value in given.items()}


def open_channel(variables: Mapping[str, str]) -> OpenChannel:
    manager = PluginManager(["email"], environment=variables)
    manager.load()
    return manager.open_channel("email.smtp")


def mail(number: int = 0, **fields: str) -> OutboundMessage:
    given = {"to": "ann@test.test", "from_address": "shop@test.test", "subject": "News", "text": "Hello"}
    return OutboundMessage(message_id=f"m{number}", **{**given, **fields})


def send_one(channel: OpenChannel, message: OutboundMessage) -> SendResult:
    (result,) = channel.send([message], now=NOW)
    return result


@pytest.fixture
def server() -> Iterator[SmtpServer]:
    with SmtpServer() as running:
        yield running


@pytest.fixture
def channel(server: SmtpServer) -> Iterator[OpenChannel]:
    opened = open_channel(environment(server))
    yield opened
    opened.close()


class TestContract(ChannelContract):
    @pytest.fixture
    def channel_name(self) -> str:
        return "email.smtp"

    @pytest.fixture
    def channel_server(self, server: SmtpServer) -> SmtpServer:
        return server

    @pytest.fixture
    def channel_environment(self, channel_server: SmtpServer) -> Mapping[str, str]:
        return environment(channel_server)


class TestContractWhenTheServerRefusesAfterTheData(TestContract):
    @pytest.fixture
    def channel_server(self) -> Iterator[SmtpServer]:
        with SmtpServer(at="data") as running:
            yield running

    # The message was handed over when the connection broke: only the server knows.
    def test_connection_lost_before_handing_over_is_temporary(
        self, open_channel: OpenChannel, channel_server: SmtpServer
    ) -> None:
        channel_server.behave("drop_before")
        assert self.outcomes(open_channel, self.batch()[0]) == [Outcome.UNKNOWN]


class TestContractOfAServerThatPipelines(TestContract):
    @pytest.fixture
    def channel_server(self) -> Iterator[SmtpServer]:
        with SmtpServer(pipelining=True) as running:
            yield running


def test_a_lost_confirmation_does_not_touch_the_mail_announced_behind_it() -> None:
    with SmtpServer(at="data", pipelining=True) as running:
        channel = open_channel(environment(running))
        running.behave("drop_after", to="bad@test.test")
        running.behave("permanent", to="no@test.test")
        batch = [
            mail(0),
            mail(1, to="bad@test.test"),
            mail(2),
            mail(3, to="nobody"),
            mail(4, to="no@test.test"),
            mail(5),
        ]
        outcomes = [str(result.outcome) for result in channel.send(batch, now=NOW)]
        channel.close()
    assert outcomes == ["accepted", "unknown", "accepted", "permanent", "permanent", "accepted"]
    assert [item.message_id for item in running.received()] == ["m0", "m1", "m2", "m5"]
    assert running.connections == 2


def test_only_a_recipient_that_is_refused_is_a_bad_address(channel: OpenChannel, server: SmtpServer) -> None:
    server.behave("permanent", to="gone@test.test")
    refused, fine, malformed = channel.send(
        [mail(0, to="gone@test.test"), mail(1), mail(2, to="nobody")], now=NOW
    )
    assert (refused.outcome, refused.bad_address) == (Outcome.PERMANENT, True)
    assert (fine.bad_address, malformed.outcome, malformed.bad_address) == (False, Outcome.PERMANENT, False)
    with SmtpServer(at="data") as late:
        late.behave("permanent")
        opened = open_channel(environment(late))
        result = send_one(opened, mail())
        opened.close()
    # The server took the recipient: what it refuses is the mail.
    assert (result.outcome, result.bad_address) == (Outcome.PERMANENT, False)


def test_plugins_conform() -> None:
    for module, name in (
        (rapport_builtin.email, "email"),
        (rapport_builtin.rfm, "rfm"),
        (rapport_builtin.recipients, "recipients"),
    ):
        assert assert_plugin_conforms(module, name).name == name


def test_one_connection_serves_many_batches(channel: OpenChannel, server: SmtpServer) -> None:
    for start in (0, 3):
        results = channel.send([mail(start + number) for number in range(3)], now=NOW)
        assert {result.outcome for result in results} == {Outcome.ACCEPTED}
    assert (server.connections, len(server.received())) == (1, 6)


def test_a_connection_closed_while_idle_costs_nothing(channel: OpenChannel, server: SmtpServer) -> None:
    assert send_one(channel, mail(0)).outcome is Outcome.ACCEPTED
    server.disconnect()
    assert send_one(channel, mail(1)).outcome is Outcome.ACCEPTED
    assert [item.message_id for item in server.received()] == ["m0", "m1"]
    assert server.connections == 2


def test_the_rest_of_the_batch_is_not_tried_once_the_server_is_gone(
    channel: OpenChannel, server: SmtpServer
) -> None:
    server.stop()
    first, second = channel.send([mail(0), mail(1)], now=NOW)
    assert (first.outcome, second.outcome) == (Outcome.TEMPORARY, Outcome.TEMPORARY)
    assert "no session with" in first.reason
    assert second.reason.startswith("not tried")


def test_result_names_the_mail_even_when_unknown(channel: OpenChannel, server: SmtpServer) -> None:
    assert send_one(channel, mail(0)).provider_id == "<m0@test.test>"
    server.behave("drop_after")
    unknown = send_one(channel, mail(1))
    assert (unknown.outcome, unknown.provider_id) == (Outcome.UNKNOWN, "<m1@test.test>")


def test_bounces_go_to_their_own_address(channel: OpenChannel, server: SmtpServer) -> None:
    assert send_one(channel, mail(bounce_address="bounces@test.test")).outcome is Outcome.ACCEPTED
    assert b"From: shop@test.test" in server.received()[0].raw


@pytest.mark.parametrize(
    "to", ["", "ann", "ann@", "@test.test", "a b@test.test", "ann@te st", "ann@test..test"]
)
def test_what_is_no_address_is_permanent(channel: OpenChannel, server: SmtpServer, to: str) -> None:
    result = send_one(channel, mail(to=to))
    assert (result.outcome, server.received()) == (Outcome.PERMANENT, [])
    assert "to" in result.reason


class TestTls:
    @pytest.fixture
    def server(self) -> Iterator[SmtpServer]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTS / "cert.pem", CERTS / "key.pem")
        with SmtpServer(tls=context, login=("rapport", "s3cret")) as running:
            yield running

    def send(self, server: SmtpServer, **settings: str) -> SendResult:
        given = {
            "SMTP_SECURITY": "starttls",
            "SMTP_CA_FILE": str(CERTS / "cert.pem"),
            "SMTP_USER": "rapport",
            "SMTP_PASSWORD": "s3cret",
        }
        channel = open_channel(environment(server, **given | settings))
        try:
            return send_one(channel, mail())
        finally:
            channel.close()

    def test_logs_in_over_starttls(self, server: SmtpServer) -> None:
        assert self.send(server).outcome is Outcome.ACCEPTED
        assert len(server.received()) == 1

    def test_an_unknown_authority_is_refused(self, server: SmtpServer) -> None:
        result = self.send(server, SMTP_CA_FILE="")
        assert (result.outcome, server.received()) == (Outcome.TEMPORARY, [])
        assert "certificate" in result.reason.lower()

    def test_a_wrong_password_is_our_fault_not_the_recipients(self, server: SmtpServer) -> None:
        result = self.send(server, SMTP_PASSWORD="wrong")
        assert (result.outcome, server.received()) == (Outcome.TEMPORARY, [])
        assert "535" in result.reason
        assert "wrong" not in result.reason

    def test_not_logging_in_is_our_fault(self, server: SmtpServer) -> None:
        result = self.send(server, SMTP_USER="")
        assert (result.outcome, server.received()) == (Outcome.TEMPORARY, [])

    def test_a_password_never_travels_in_the_clear(self, server: SmtpServer) -> None:
        with pytest.raises(PluginError, match="in the clear"):
            self.send(server, SMTP_SECURITY="none")


REPLIES = [
    ("rcpt", "450 busy", Outcome.TEMPORARY),
    ("rcpt", "550 no such user", Outcome.PERMANENT),
    ("rcpt", "503 bad sequence", Outcome.TEMPORARY),
    ("rcpt", "530 log in first", Outcome.TEMPORARY),
    ("mail", "550 sender not allowed", Outcome.TEMPORARY),
    ("mail", "552 message too big", Outcome.PERMANENT),
    ("data", "554 no valid recipients", Outcome.PERMANENT),
    ("data", "451 greylisted", Outcome.TEMPORARY),
    ("end", "452 disk full", Outcome.TEMPORARY),
    ("end", "554 spam", Outcome.PERMANENT),
    ("end", "250 ok", Outcome.ACCEPTED),
    ("end", "", Outcome.UNKNOWN),
    ("end", "garbage", Outcome.UNKNOWN),
]


@pytest.mark.parametrize("pipelining", [False, True], ids=["one by one", "together"])
@pytest.mark.parametrize(("step", "reply", "outcome"), [*REPLIES, ("mail", "421 closing", Outcome.TEMPORARY)])
def test_outcome_by_step_and_reply_code(step: str, reply: str, outcome: Outcome, pipelining: bool) -> None:
    with ScriptedServer(step, reply, pipelining=pipelining) as scripted:
        variables = {"SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(scripted.port), "SMTP_SECURITY": "none"}
        channel = open_channel({f"RAPPORT_PLUGIN_EMAIL_{name}": value for name, value in variables.items()})
        result = send_one(channel, mail())
        channel.close()
    assert result.outcome is outcome
    assert outcome is Outcome.ACCEPTED or result.reason


class ScriptedServer:
    """Serve one connection and give one reply of choice at one step; an empty reply closes the connection."""

    def __init__(self, step: str, reply: str, *, pipelining: bool) -> None:
        self._hello = "250-hello\r\n250 PIPELINING" if pipelining else "250 hello"
        self._replies = {"mail": "250 ok", "rcpt": "250 ok", "data": "354 go", "end": "250 ok", step: reply}
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> ScriptedServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self._thread.join(30)

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection, connection.makefile("rwb") as stream:

            def say(line: str) -> None:
                stream.write(line.encode() + b"\r\n")
                stream.flush()

            say("220 hello")
            while line := stream.readline():
                verb = line.split(None, 1)[0].split(b":")[0].decode().lower()
                if verb in ("mail", "rcpt"):
                    say(self._replies[verb])
                    if self._replies[verb].startswith("421"):
                        return
                elif verb == "data":
                    say(self._replies["data"])
                    if self._replies["data"].startswith("354"):
                        while stream.readline() not in (b".\r\n", b""):
                            pass
                        if not self._replies["end"]:
                            return
                        say(self._replies["end"])
                elif verb == "ehlo":
                    say(self._hello)
                elif verb == "quit":
                    say("221 bye")
                    return
                else:
                    say("250 ok")
