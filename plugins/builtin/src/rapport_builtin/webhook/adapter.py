"""Send each message as a signed POST, and know what became of it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from rapport_sdk import (
    CallbackRequest,
    ChannelContext,
    DeliveryReport,
    OutboundMessage,
    Outcome,
    SendResult,
    Settings,
)

from rapport_builtin.web.client import Lost, NotSent, WebClient
from rapport_builtin.web.outcomes import outcome_of, retry_after
from rapport_builtin.web.targets import TargetRefused, Targets, networks
from rapport_builtin.webhook.signature import read_secret, signature

_ID = re.compile(r"[!-~]{1,200}")


class WebhookAdapter:
    """Implement rapport_sdk.ChannelAdapter for receivers of webhooks."""

    def __init__(self, settings: Settings) -> None:
        self._url = settings["url"]
        self._idempotent = settings["idempotent"]
        self._keys = [read_secret(text) for text in settings["secrets"]]
        if not self._keys:
            raise ValueError("set secrets: receivers could not tell our requests from forged ones")
        targets = Targets(networks(settings["allow_networks"]), plain=settings["allow_http"])
        if self._url:
            try:
                targets.parse(self._url)
            except TargetRefused as error:
                raise ValueError(f"url: {error}") from None
        self._client = WebClient(
            targets,
            seconds=settings["timeout"],
            most_bytes=settings["max_answer_bytes"],
            ca_file=settings["ca_file"],
        )

    def send(self, batch: Sequence[OutboundMessage], ctx: ChannelContext) -> list[SendResult]:
        """Send each message in a request of its own.

        Outcomes: 2xx accepted; 5xx, 408, 425, 429 and refusals of our credentials temporary, with the time of
        Retry-After; other answers permanent, as is a target that is not allowed. Lost before the body went out:
        temporary. Lost after that: unknown, or temporary when receivers are declared idempotent. Once the one target
        of the settings cannot be reached, the rest of what goes there is temporary, not tried. A message that names a
        target goes to that and nowhere else.
        """
        results: list[SendResult] = []
        unreachable = ""
        for message in batch:
            # With a target of our own it is our mistake, which must not fail a whole campaign.
            ours = bool(self._url) and not message.target
            if ours and unreachable:
                results.append(SendResult(Outcome.TEMPORARY, reason=f"not tried: {unreachable}"))
                continue
            try:
                results.append(self._send_one(message, ctx))
            except TargetRefused as error:
                outcome = Outcome.TEMPORARY if ours else Outcome.PERMANENT
                results.append(SendResult(outcome, reason=f"target refused: {error}"))
            except NotSent as error:
                unreachable = str(error) if ours else unreachable
                results.append(SendResult(Outcome.TEMPORARY, reason=str(error)))
            except Lost as error:
                outcome = Outcome.TEMPORARY if self._idempotent else Outcome.UNKNOWN
                results.append(SendResult(outcome, message.message_id, str(error)))
        return results

    def parse_callback(self, request: CallbackRequest, ctx: ChannelContext) -> list[DeliveryReport]:
        """Return nothing: receivers answer at once and report no more."""
        return []

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _send_one(self, message: OutboundMessage, ctx: ChannelContext) -> SendResult:
        if not _ID.fullmatch(message.message_id):
            return SendResult(Outcome.PERMANENT, reason="message_id must be printable ASCII without spaces")
        body = _body(message, ctx)
        timestamp = int(ctx.now.timestamp())
        headers = {
            "Content-Type": "application/json",
            "webhook-id": message.message_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature(self._keys, message.message_id, timestamp, body),
        }
        answer = self._client.request("POST", message.target or self._url or message.to, headers, body)
        outcome = outcome_of(answer.status)
        if outcome is Outcome.ACCEPTED:
            return SendResult(outcome, message.message_id)
        wait = retry_after(answer, ctx.now) if outcome is Outcome.TEMPORARY else None
        asked = "" if wait is None else f", asks to wait {wait.total_seconds():.0f} s"
        return SendResult(outcome, reason=f"the receiver answered {answer.status}{asked}", retry_after=wait)


def _body(message: OutboundMessage, ctx: ChannelContext) -> bytes:
    data = {
        "message_id": message.message_id,
        "to": message.to,
        "to_name": message.to_name,
        "subject": message.subject,
        "text": message.text,
        "html": message.html,
        "from_address": message.from_address,
        "from_name": message.from_name,
        "reply_to": message.reply_to,
        "headers": dict(message.headers),
        "contact": f"contacts/{message.contact_id}" if message.contact_id else "",
        "campaign": message.campaign,
    }
    content = {"type": "message.send", "timestamp": ctx.now.isoformat(), "data": data}
    return json.dumps(content, separators=(",", ":")).encode("ascii")
