"""Send each message in one request of the provider's shape, and read its answers and reports."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence

from rapport_sdk import (
    CallbackRequest,
    ChannelContext,
    DeliveryReport,
    DeliveryStatus,
    OutboundMessage,
    Outcome,
    SendResult,
    Settings,
)

from rapport_builtin.reports import require_secret
from rapport_builtin.sms.mapping import Template, at, check_placeholders, fill_url, form, read_body
from rapport_builtin.sms.segments import Size, size_of
from rapport_builtin.web.client import Answer, Lost, NotSent, WebClient
from rapport_builtin.web.outcomes import outcome_of, retry_after
from rapport_builtin.web.targets import TargetRefused, Targets, networks

_NUMBER = re.compile(r"\+?[1-9][0-9]{4,14}")  # E.164 has 15 digits at most
_SPACING = re.compile(r"[ ().-]")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
_HEADER_VALUE = re.compile(r"[\x20-\x7e]*")
_MOST_ANSWER = 65536


class SmsAdapter:
    """Implement rapport_sdk.ChannelAdapter for a provider that settings describe."""

    def __init__(self, settings: Settings) -> None:
        for name in ("url", "body"):
            if not settings[name]:
                raise ValueError(f"set {name}: how the provider is asked")
        if not 1 <= settings["max_segments"] <= 255:
            raise ValueError("max_segments must be from 1 to 255")
        self._bad_path = settings["bad_number_path"] or settings["status_path"]
        if settings["bad_number"] and not self._bad_path:
            raise ValueError("set bad_number_path: where an answer says what bad_number lists")
        if self._bad_path == settings["status_path"] and (
            both := set(settings["bad_number"]) & set(settings["accepted"])
        ):
            raise ValueError(f"accepted and bad_number both list {', '.join(sorted(both))}")
        self._settings = settings
        self._url = check_placeholders(settings["url"], "url")
        self._body = Template(settings["body"], "body")
        self._headers = Template(settings["headers"], "headers")
        targets = Targets(networks(settings["allow_networks"]), plain=settings["allow_http"])
        self._client = WebClient(
            targets, seconds=settings["timeout"], most_bytes=_MOST_ANSWER, ca_file=settings["ca_file"]
        )

    def send(self, batch: Sequence[OutboundMessage], ctx: ChannelContext) -> list[SendResult]:
        """Send each message in a request of its own.

        Outcomes: by HTTP's status, and by the value at `status_path` where that is set. What `bad_number` lists is a
        bad address, unless HTTP's status means later. Not a number, or more than `max_segments`: permanent, and nothing
        is sent. Lost before the body went out: temporary; after that: unknown. Once the provider cannot be reached, the
        rest of the batch is temporary, not tried.
        """
        results: list[SendResult] = []
        unreachable = ""
        for message in batch:
            if unreachable:
                results.append(SendResult(Outcome.TEMPORARY, reason=f"not tried: {unreachable}"))
                continue
            try:
                results.append(self._send_one(message, ctx))
            except (NotSent, TargetRefused) as error:
                # Neither says anything of the message: the URL is ours.
                unreachable = str(error)
                results.append(SendResult(Outcome.TEMPORARY, reason=unreachable))
            except Lost as error:
                results.append(SendResult(Outcome.UNKNOWN, reason=str(error)))
        return results

    def parse_callback(self, request: CallbackRequest, ctx: ChannelContext) -> list[DeliveryReport]:
        """Return what a delivery report says; nothing for a status that is not among those of the settings.

        Raises ValueError for one that cannot be read or names no message, CallbackRefused for one without the secret,
        and for all while there is none, unless `trust_all_reports` is set.
        """
        get = self._settings
        if not get["report_id_path"]:
            return []
        if get["report_secret"] or not get["trust_all_reports"]:
            require_secret(request, get["report_secret_header"], get["report_secret"])
        tree = read_body(request.body, request.content_type)
        status = at(tree, get["report_status_path"])
        reason = at(tree, get["report_reason_path"])[:300] if get["report_reason_path"] else ""
        kinds = (
            ("report_delivered", DeliveryStatus.DELIVERED, False),
            ("report_failed", DeliveryStatus.BOUNCED, False),
            ("report_invalid", DeliveryStatus.BOUNCED, True),
        )
        for name, kind, permanent in kinds:
            if status in get[name]:
                if not (key := at(tree, get["report_id_path"])):
                    raise ValueError(f"the report names no message at {get['report_id_path']}")
                return [DeliveryReport(key, kind, permanent, reason)]
        return []

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _send_one(self, message: OutboundMessage, ctx: ChannelContext) -> SendResult:
        number = _SPACING.sub("", message.to)
        if not _NUMBER.fullmatch(number):
            return SendResult(Outcome.PERMANENT, reason="the address is not a phone number")
        size = size_of(message.text)
        if size.segments > self._settings["max_segments"]:
            reason = f"the text takes {size.segments} segments ({size.encoding}), more than max_segments"
            return SendResult(Outcome.PERMANENT, reason=reason)
        values = self._values(message, number, size)
        headers, problem = self._filled_headers(values)
        if problem:
            return SendResult(Outcome.PERMANENT, reason=problem)
        body = self._body.fill(values)
        if self._settings["format"] == "json":
            data, kind = json.dumps(body).encode("ascii"), "application/json"
        else:
            data, kind = form(body), "application/x-www-form-urlencoded"
        url = fill_url(self._url, values)
        answer = self._client.request(self._settings["method"], url, {"Content-Type": kind, **headers}, data)
        return self._result(message, answer, ctx)

    def _values(self, message: OutboundMessage, number: str, size: Size) -> dict[str, str]:
        return {
            "to": number,
            "to_digits": number.removeprefix("+"),
            "sender": self._settings["sender"],
            "text": message.text,
            "message_id": message.message_id,
            "encoding": size.encoding,
            "secret": self._settings["secret"],
        }

    def _filled_headers(self, values: Mapping[str, str]) -> tuple[dict[str, str], str]:
        """Return the headers, or why there can be none."""
        headers = {name: str(value) for name, value in self._headers.fill(values).items()}
        if user := self._settings["user"]:
            pair = f"{user}:{self._settings['password']}".encode()
            headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
        for name, value in headers.items():
            if not (_HEADER_NAME.fullmatch(name) and _HEADER_VALUE.fullmatch(value)):
                return {}, f"header {name[:60]!r} holds a line break, or letters beyond ASCII"
        return headers, ""

    def _result(self, message: OutboundMessage, answer: Answer, ctx: ChannelContext) -> SendResult:
        get = self._settings
        outcome = outcome_of(answer.status)
        try:
            tree = read_body(answer.body, answer.headers.get("content-type", "application/json"))
        except ValueError:
            tree = None
        reason = f"the provider answered {answer.status}"
        if get["bad_number"] and outcome is not Outcome.TEMPORARY:
            said = at(tree, self._bad_path)
            if said in get["bad_number"]:
                reason = f"{reason} with {said[:100]!r} at {self._bad_path}, which means a bad number"
                return SendResult(Outcome.PERMANENT, reason=reason, bad_address=True)
        if outcome is Outcome.ACCEPTED and get["status_path"]:
            status = at(tree, get["status_path"])
            reason = f"{reason} with {status[:100]!r} at {get['status_path']}"
            if not status:
                # It said neither yes nor no.
                return SendResult(Outcome.UNKNOWN, reason=reason)
            if status not in get["accepted"]:
                outcome = Outcome.PERMANENT if status in get["permanent"] else Outcome.TEMPORARY
        if outcome is Outcome.ACCEPTED:
            found = at(tree, get["id_path"]) if get["id_path"] else ""
            return SendResult(outcome, found or message.message_id)
        wait = retry_after(answer, ctx.now) if outcome is Outcome.TEMPORARY else None
        return SendResult(outcome, reason=reason, retry_after=wait)
