"""Channels: how messages leave, and how the provider's reports come back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal, Protocol

from rapport_sdk.settings import Settings


@dataclass(frozen=True)
class Capabilities:
    """Tell the core what a channel can do.

    address_kind: the identity that a recipient needs, such as `email`, `phone`, `zalo`. idempotent: sending a
    message with the same message_id again never reaches the recipient twice, so an unknown outcome may be
    retried. max_batch: most messages in one call of `send`. html: the `html` of a message is used.
    callbacks: `parse_callback` understands the provider's reports. url_schemes: of the URLs that it calls, such as
    `https`; empty when its addresses are no URLs.
    """

    address_kind: str
    idempotent: bool = False
    max_batch: int = 100
    html: bool = False
    callbacks: bool = False
    url_schemes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OutboundMessage:
    """Hold one rendered message to one recipient.

    message_id: the ledger's id: printable ASCII without spaces, the same on every attempt. to: an address of
    the channel's kind. from_address, from_name, reply_to, subject, html and headers are used by channels that
    have them. bounce_address: where the mail servers' failure reports go; from_address when empty. target: the URL that
    this message is to call, whatever URL the channel's settings name; empty for messages to a contact's address.
    """

    message_id: str
    to: str
    text: str
    to_name: str = ""
    subject: str = ""
    html: str = ""
    from_address: str = ""
    from_name: str = ""
    reply_to: str = ""
    bounce_address: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    contact_id: str = ""
    campaign: str = ""
    target: str = ""


class Outcome(StrEnum):
    """Name what became of one message.

    accepted: the provider took it. temporary: it was certainly not taken; try again later. permanent: it was
    certainly not taken and never will be. unknown: it may have been taken; never retried unless the channel
    is idempotent.
    """

    ACCEPTED = "accepted"
    TEMPORARY = "temporary"
    PERMANENT = "permanent"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class SendResult:
    """Tell what became of one message; provider_id is the provider's name for it, reason says why not.

    retry_after: of a temporary one, how long the provider asks to wait; None leaves it to the core. bad_address: of a
    permanent one, that the address will not work for other messages either: it is suppressed.
    """

    outcome: Outcome
    provider_id: str = ""
    reason: str = ""
    retry_after: timedelta | None = None
    bad_address: bool = False


@dataclass(frozen=True, slots=True)
class CallbackRequest:
    """Hold a provider's report as it came: an HTTP request, or a mail (body is the whole message)."""

    body: bytes
    content_type: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    path: str = ""


class CallbackRefused(ValueError):
    """Say that a report does not prove who sent it; nothing of it is kept."""


class DeliveryStatus(StrEnum):
    """Name what a provider reports about an accepted message."""

    DELIVERED = "delivered"
    DELAYED = "delayed"
    BOUNCED = "bounced"
    COMPLAINED = "complained"


@dataclass(frozen=True, slots=True)
class DeliveryReport:
    """Tell what happened later to a message, by the message_id it was sent with.

    permanent: the address will not work next time either.
    """

    message_id: str
    status: DeliveryStatus
    permanent: bool = False
    reason: str = ""


@dataclass(frozen=True)
class ChannelContext:
    """Hand the business time (UTC) and the plugin's settings to a channel."""

    now: datetime
    settings: Settings


class ChannelAdapter(Protocol):
    """Send messages over one open channel; used by one thread at a time."""

    def send(self, batch: Sequence[OutboundMessage], ctx: ChannelContext) -> Sequence[SendResult]:
        """Send and return one result per message, in the order given.

        Whatever befalls one message must not change the outcome of another. What is raised makes the whole
        batch unknown, so answer `unknown` only for those that may have left.
        """
        ...

    def parse_callback(self, request: CallbackRequest, ctx: ChannelContext) -> Sequence[DeliveryReport]:
        """Return what a provider's report says, nothing when it is not about messages of ours.

        Raises ValueError for a report that cannot be read, CallbackRefused for one that anybody may have sent: a
        message's id is no secret, as mail programs repeat it in answers.
        """
        ...

    def close(self) -> None:
        """Let go of connections; may be called twice."""
        ...


@dataclass(frozen=True)
class Channel:
    """Register a way to send, such as `email.smtp`.

    open: makes the adapter from the settings, or raises what is wrong with them; called in a sender process that may be
    killed at any moment, and before a launch to tell whether it can be opened, so connect in `send`.
    capabilities_of: what it can do by its settings, in place of `capabilities`; None when they change nothing.
    version: raise it when the provider's side changes. when_gone: `hold` messages of the channel until it is
    back, or `fail` them.
    """

    name: str
    capabilities: Capabilities
    open: Callable[[Settings], ChannelAdapter]
    version: int = 1
    when_gone: Literal["hold", "fail"] = "hold"
    doc: str = field(default="", compare=False)
    capabilities_of: Callable[[Settings], Capabilities] | None = None


@dataclass(frozen=True, slots=True)
class Recipient:
    """Hold what a veto may know of a message's recipient at the moment of sending."""

    contact_id: str
    region_code: str = ""
    language_code: str = ""
    time_zone: str = ""
    tags: tuple[str, ...] = ()
    consents: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Veto:
    """Refuse to send one message; reason is kept in the ledger and shown to people."""

    reason: str
