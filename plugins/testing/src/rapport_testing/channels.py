"""The contract of a channel adapter, as tests to inherit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, Protocol, TypeAlias

import pytest
from rapport_sdk import Channel, OutboundMessage, Outcome
from rapport_sdk.check import object_problems
from rapport_sdk.names import plugin_of

from services.kit.plugins import OpenChannel, PluginManager

Behaviour: TypeAlias = Literal["accept", "temporary", "permanent", "drop_before", "drop_after"]
NOW = datetime(2026, 1, 1, tzinfo=UTC)
MARK = "Injected-Mark"


@dataclass(frozen=True)
class Received:
    """Hold a message that a server took: its id, address, text, and all of it as it came."""

    message_id: str
    to: str
    text: str
    raw: bytes


class ChannelServer(Protocol):
    """Stand in for the provider, over its true protocol."""

    def behave(self, behaviour: Behaviour, to: str | None = None) -> None:
        """Treat messages (to one address, or to all others) so from now on.

        drop_before: break the connection before taking the message. drop_after: take it, then break the
        connection without confirming.
        """
        ...

    def received(self) -> list[Received]:
        """Return the messages taken so far, oldest first."""
        ...

    def stop(self) -> None:
        """Refuse connections."""
        ...

    def start(self) -> None:
        """Take connections again, at the same address."""
        ...


class ChannelContract:
    """Inherit, and give the fixtures `channel_name`, `channel_server` and `channel_environment`."""

    addresses: tuple[str, ...] = ("first@test.test", "second@test.test", "third@test.test")
    sender = "shop@test.test"

    @pytest.fixture
    def channel_name(self) -> str:
        """Name the channel, such as `email.smtp`."""
        raise NotImplementedError("give a fixture channel_name")

    @pytest.fixture
    def channel_server(self) -> Any:
        """Give the ChannelServer."""
        raise NotImplementedError("give a fixture channel_server")

    @pytest.fixture
    def channel_environment(self) -> Mapping[str, str]:
        """Give the RAPPORT_PLUGIN_* variables with which the channel finds the server."""
        raise NotImplementedError("give a fixture channel_environment")

    @pytest.fixture
    def channel_manager(self, channel_environment: Mapping[str, str]) -> PluginManager:
        """Load the installed plugins with the settings."""
        manager = PluginManager(environment=channel_environment)
        manager.load()
        return manager

    @pytest.fixture
    def open_channel(self, channel_manager: PluginManager, channel_name: str) -> Iterator[OpenChannel]:
        """Open the channel as the server does."""
        channel = channel_manager.open_channel(channel_name)
        yield channel
        channel.close()

    def message(self, to: str, message_id: str, **fields: Any) -> OutboundMessage:
        """Make a message; override to add what the channel needs."""
        given = {"text": "Hello", "subject": "News", "from_address": self.sender, **fields}
        return OutboundMessage(message_id=message_id, to=to, **given)

    def batch(self, **fields: Any) -> list[OutboundMessage]:
        """Make one message to each address, ids m0, m1, …"""
        return [self.message(to, f"m{number}", **fields) for number, to in enumerate(self.addresses)]

    def outcomes(self, channel: OpenChannel, *messages: OutboundMessage) -> list[Outcome]:
        """Send in one batch and return the outcomes."""
        return [result.outcome for result in channel.send(messages, now=NOW)]

    def test_channel_is_registered_well(self, channel_manager: PluginManager, channel_name: str) -> None:
        _, channel = channel_manager.find(channel_name, Channel)
        assert object_problems(plugin_of(channel_name), Channel, [channel]) == []

    def test_each_message_gets_its_result_in_order(
        self, open_channel: OpenChannel, channel_server: ChannelServer
    ) -> None:
        results = open_channel.send(self.batch(), now=NOW)
        assert [result.outcome for result in results] == [Outcome.ACCEPTED] * len(self.addresses)
        taken = channel_server.received()
        assert [(item.message_id, item.to) for item in taken] == [
            (f"m{number}", to) for number, to in enumerate(self.addresses)
        ]
        assert len({result.provider_id for result in results}) == len(self.addresses)

    def test_empty_batch(self, open_channel: OpenChannel, channel_server: ChannelServer) -> None:
        assert open_channel.send([], now=NOW) == []
        assert channel_server.received() == []

    def test_text_arrives_unchanged(self, open_channel: OpenChannel, channel_server: ChannelServer) -> None:
        text = "Kính gửi anh Đặng,\n\n.một dòng bắt đầu bằng dấu chấm\n您好,谢谢!\n" + "x" * 3000 + "\nend"
        assert self.outcomes(open_channel, self.message(self.addresses[0], "m0", text=text)) == [
            Outcome.ACCEPTED
        ]
        assert channel_server.received()[0].text.replace("\r\n", "\n").rstrip("\n") == text

    def test_every_attempt_carries_the_same_id(
        self, open_channel: OpenChannel, channel_server: ChannelServer
    ) -> None:
        message = self.message(self.addresses[0], "m0")
        channel_server.behave("temporary")
        assert self.outcomes(open_channel, message) == [Outcome.TEMPORARY]
        channel_server.behave("drop_after")
        assert self.outcomes(open_channel, message) == [Outcome.UNKNOWN]
        channel_server.behave("accept")
        assert self.outcomes(open_channel, message) == [Outcome.ACCEPTED]
        assert {item.message_id for item in channel_server.received()} == {"m0"}

    @pytest.mark.parametrize("behaviour", ["temporary", "permanent"])
    def test_a_refused_message_does_not_change_the_others(
        self, open_channel: OpenChannel, channel_server: ChannelServer, behaviour: Behaviour
    ) -> None:
        channel_server.behave(behaviour, to=self.addresses[1])
        results = open_channel.send(self.batch(), now=NOW)
        assert [result.outcome for result in results] == ["accepted", behaviour, "accepted"]
        assert results[1].reason
        assert [item.to for item in channel_server.received()] == [self.addresses[0], self.addresses[2]]

    def test_connection_lost_before_handing_over_is_temporary(
        self, open_channel: OpenChannel, channel_server: ChannelServer
    ) -> None:
        channel_server.behave("drop_before", to=self.addresses[0])
        assert self.outcomes(open_channel, self.batch()[0]) == [Outcome.TEMPORARY]
        assert channel_server.received() == []

    def test_connection_lost_after_handing_over_is_unknown(
        self, open_channel: OpenChannel, channel_server: ChannelServer
    ) -> None:
        channel_server.behave("drop_after", to=self.addresses[1])
        results = open_channel.send(self.batch(), now=NOW)
        assert [result.outcome for result in results] == [Outcome.ACCEPTED, Outcome.UNKNOWN, Outcome.ACCEPTED]
        assert results[1].reason
        assert [item.to for item in channel_server.received()] == list(self.addresses), (
            "sent twice or not at all"
        )

    def test_server_down_is_temporary_and_passes(
        self, open_channel: OpenChannel, channel_server: ChannelServer
    ) -> None:
        assert self.outcomes(open_channel, self.batch()[0]) == [Outcome.ACCEPTED]
        channel_server.stop()
        assert self.outcomes(open_channel, *self.batch()[1:]) == [Outcome.TEMPORARY, Outcome.TEMPORARY]
        channel_server.start()
        assert self.outcomes(open_channel, *self.batch()[1:]) == [Outcome.ACCEPTED, Outcome.ACCEPTED]
        assert [item.message_id for item in channel_server.received()] == ["m0", "m1", "m2"]

    @pytest.mark.parametrize("break_", ["\r\n", "\n", "\r", "\u2028", "\x00"], ids=repr)
    @pytest.mark.parametrize(
        "field",
        ["to", "to_name", "subject", "from_name", "from_address", "reply_to", "bounce_address", "headers"],
    )
    def test_no_field_can_smuggle_a_header(
        self, open_channel: OpenChannel, channel_server: ChannelServer, field: str, break_: str
    ) -> None:
        first, bad, last = self.batch()
        evil = f"x{break_}{MARK}: yes"
        if field in ("to", "from_address", "reply_to", "bounce_address"):
            evil = f"{evil}@test.test"
        given: dict[str, Any] = {"to": bad.to, "message_id": bad.message_id}
        given |= {"headers": {"X-Campaign": evil}} if field == "headers" else {field: evil}
        bad = self.message(**given)
        outcomes = self.outcomes(open_channel, first, bad, last)
        assert (outcomes[0], outcomes[2]) == (Outcome.ACCEPTED, Outcome.ACCEPTED)
        assert outcomes[1] in (Outcome.PERMANENT, Outcome.ACCEPTED)
        for item in channel_server.received():
            assert not any(line.startswith(MARK.encode()) for line in item.raw.splitlines())

    def test_close_twice(self, open_channel: OpenChannel, channel_server: ChannelServer) -> None:
        assert self.outcomes(open_channel, self.batch()[0]) == [Outcome.ACCEPTED]
        open_channel.close()
        open_channel.close()
