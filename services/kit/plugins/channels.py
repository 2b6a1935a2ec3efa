"""An open channel, guarded: whatever its adapter does, each message gets exactly one outcome."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime

from rapport_sdk import (
    CallbackRefused,
    CallbackRequest,
    Capabilities,
    Channel,
    ChannelAdapter,
    ChannelContext,
    DeliveryReport,
    OutboundMessage,
    Outcome,
    SendResult,
    Settings,
)

from services.kit.plugins.breaker import Breakers
from services.kit.plugins.errors import PluginError
from services.kit.plugins.loader import PLUGIN_FAULTS, describe_fault

log = logging.getLogger("rapport.plugins")


class OpenChannel:
    """Send over one adapter; use from one thread at a time."""

    def __init__(
        self, plugin: str, channel: Channel, adapter: ChannelAdapter, settings: Settings, breakers: Breakers
    ) -> None:
        self.plugin = plugin
        self.channel = channel
        self._adapter = adapter
        self._settings = settings
        self._breakers = breakers

    @property
    def capabilities(self) -> Capabilities:
        """Give what the channel can do."""
        return self.channel.capabilities

    def send(self, batch: Sequence[OutboundMessage], *, now: datetime) -> list[SendResult]:
        """Send a batch of any size and return one result per message, in order. Never raises for the
        adapter's sake.

        An adapter that raises, or answers anything but one SendResult per message, makes its part of the
        batch unknown. While its circuit is open nothing is sent and the outcome is temporary.
        """
        results: list[SendResult] = []
        step = self.capabilities.max_batch
        for start in range(0, len(batch), step):
            results += self._send_part(batch[start : start + step], now)
        return results

    def _send_part(self, batch: Sequence[OutboundMessage], now: datetime) -> list[SendResult]:
        name = self.channel.name
        if refusal := self._breakers.refusal(name):
            return [SendResult(Outcome.TEMPORARY, reason=f"not tried: {name} {refusal}")] * len(batch)
        try:
            results = list(self._adapter.send(batch, ChannelContext(now, self._settings)))
            problem = _results_problem(results, len(batch))
        except PLUGIN_FAULTS as error:
            log.exception("channel %s: send raised", name)
            problem = f"send raised {describe_fault(error)}"
        except BaseException:
            self._breakers.abandoned(name)
            raise
        if problem is None:
            self._breakers.succeeded(name)
            return results
        self._breakers.failed(name, problem)
        return [SendResult(Outcome.UNKNOWN, reason=f"{name}: {problem}")] * len(batch)

    def parse_callback(self, request: CallbackRequest, *, now: datetime) -> list[DeliveryReport]:
        """Return what a provider's report says.

        Raises PluginError when the adapter cannot tell, CallbackRefused when it does not believe it.
        """
        try:
            reports = list(self._adapter.parse_callback(request, ChannelContext(now, self._settings)))
        except CallbackRefused:
            raise
        except PLUGIN_FAULTS as error:
            problem = f"parse_callback raised {describe_fault(error)}"
            raise PluginError(self.plugin, self.channel.name, problem) from error
        if junk := [item for item in reports if not isinstance(item, DeliveryReport)]:
            problem = f"parse_callback answered {type(junk[0]).__name__} where DeliveryReport belongs"
            raise PluginError(self.plugin, self.channel.name, problem)
        return reports

    def close(self) -> None:
        """Close the adapter; what it raises is logged."""
        try:
            self._adapter.close()
        except PLUGIN_FAULTS:
            log.exception("channel %s: close raised", self.channel.name)


def _results_problem(results: Sequence[object], expected: int) -> str | None:
    if len(results) != expected:
        return f"send answered {len(results)} results for {expected} messages"
    for result in results:
        if not isinstance(result, SendResult) or not isinstance(result.outcome, Outcome):
            return f"send answered {type(result).__name__} where SendResult with an Outcome belongs"
    return None
