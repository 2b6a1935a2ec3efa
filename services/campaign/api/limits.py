"""LimitService over gRPC: send policies, rate limits, and how the senders find their channels."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import grpc
from rapport.campaign.v1 import limits_pb2 as pb
from rapport.campaign.v1 import limits_pb2_grpc

from services.campaign.api.base import Methods
from services.campaign.domain.hours import Hours, Span
from services.campaign.domain.policies import Cap, Policy
from services.campaign.domain.rates import RateLimit, default_burst
from services.campaign.store.circuits import CircuitRow
from services.campaign.usecases import channels, policies, rates
from services.kit.errors import InvalidArgument
from services.kit.names import format_name, parse_key
from services.kit.wire import enum_number, enum_text, from_duration, get_duration, set_timestamp, to_duration

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class LimitServicer(Methods, limits_pb2_grpc.LimitServiceServicer):
    """Answer the RPCs of LimitService; see the proto for what each promises."""

    def SetSendPolicy(
        self, request: pb.SetSendPolicyRequest, context: grpc.ServicerContext
    ) -> pb.SetSendPolicyResponse:
        """Create or replace a send policy."""
        made = policies.set_policy(self._runtime, decode_policy(request.policy), request.policy.etag)
        return pb.SetSendPolicyResponse(policy=encode_policy(made))

    def GetSendPolicy(
        self, request: pb.GetSendPolicyRequest, context: grpc.ServicerContext
    ) -> pb.GetSendPolicyResponse:
        """Return a send policy."""
        found = policies.get_policy(self._runtime, parse_key(request.name, "sendPolicies"))
        return pb.GetSendPolicyResponse(policy=encode_policy(found))

    def ListSendPolicies(
        self, request: pb.ListSendPoliciesRequest, context: grpc.ServicerContext
    ) -> pb.ListSendPoliciesResponse:
        """List send policies by id."""
        found, token = self.page_by_id(
            request,
            lambda after, count: policies.list_policies(self._runtime, after=after, count=count),
            lambda item: item.id,
        )
        return pb.ListSendPoliciesResponse(
            policies=[encode_policy(item) for item in found], next_page_token=token
        )

    def DeleteSendPolicy(
        self, request: pb.DeleteSendPolicyRequest, context: grpc.ServicerContext
    ) -> pb.DeleteSendPolicyResponse:
        """Delete a send policy."""
        policies.delete_policy(self._runtime, parse_key(request.name, "sendPolicies"), request.etag)
        return pb.DeleteSendPolicyResponse()

    def SetRateLimit(
        self, request: pb.SetRateLimitRequest, context: grpc.ServicerContext
    ) -> pb.SetRateLimitResponse:
        """Create or replace a rate limit."""
        made = rates.set_limit(self._runtime, decode_limit(request.limit), request.limit.etag)
        return pb.SetRateLimitResponse(limit=encode_limit(made))

    def GetRateLimit(
        self, request: pb.GetRateLimitRequest, context: grpc.ServicerContext
    ) -> pb.GetRateLimitResponse:
        """Return a rate limit."""
        found = rates.get_limit(self._runtime, parse_key(request.name, "rateLimits"))
        return pb.GetRateLimitResponse(limit=encode_limit(found))

    def ListRateLimits(
        self, request: pb.ListRateLimitsRequest, context: grpc.ServicerContext
    ) -> pb.ListRateLimitsResponse:
        """List rate limits by id."""
        found, token = self.page_by_id(
            request,
            lambda after, count: rates.list_limits(self._runtime, after=after, count=count),
            lambda item: item.id,
        )
        return pb.ListRateLimitsResponse(limits=[encode_limit(item) for item in found], next_page_token=token)

    def DeleteRateLimit(
        self, request: pb.DeleteRateLimitRequest, context: grpc.ServicerContext
    ) -> pb.DeleteRateLimitResponse:
        """Delete a rate limit."""
        rates.delete_limit(self._runtime, parse_key(request.name, "rateLimits"), request.etag)
        return pb.DeleteRateLimitResponse()

    def ListChannelStates(
        self, request: pb.ListChannelStatesRequest, context: grpc.ServicerContext
    ) -> pb.ListChannelStatesResponse:
        """List how the senders find the channels."""
        found = channels.list_circuits(self._runtime)
        return pb.ListChannelStatesResponse(
            states=[_encode_state(row) for row in found if request.channel in ("", row.channel)]
        )


def decode_policy(message: pb.SendPolicy) -> Policy:
    """Decode a send policy; raises InvalidArgument."""
    caps = tuple(
        Cap(
            item.count,
            from_duration(item.period, f"policy.caps[{index}].period"),
            item.per_channel,
            item.per_topic,
        )
        for index, item in enumerate(message.caps)
    )
    return Policy(
        id=parse_key(message.name, "sendPolicies", "policy.name"),
        channel=message.channel,
        topic=message.topic,
        hours=Hours(_decode_spans(message.quiet_hours), _decode_spans(message.send_windows)),
        caps=caps,
        transactional=message.include_transactional,
        defer=enum_text(pb.OverCap, message.over_cap) == "defer",
        revision=0,
        create_time=_EPOCH,
        update_time=_EPOCH,
    )


def _decode_spans(messages: Iterable[pb.DaySpan]) -> tuple[Span, ...]:
    return tuple(Span(item.start_minute, item.end_minute, frozenset(item.days)) for item in messages)


def encode_policy(item: Policy) -> pb.SendPolicy:
    """Encode a send policy."""
    message = pb.SendPolicy(
        name=format_name("sendPolicies", item.id),
        channel=item.channel,
        topic=item.topic,
        quiet_hours=[_encode_span(span) for span in item.hours.quiet],
        send_windows=[_encode_span(span) for span in item.hours.windows],
        caps=[
            pb.FrequencyCap(
                count=cap.count,
                period=to_duration(cap.period),
                per_channel=cap.of_channel,
                per_topic=cap.of_topic,
            )
            for cap in item.caps
        ],
        over_cap=enum_number(pb.OverCap, "defer" if item.defer else "suppress"),
        include_transactional=item.transactional,
        etag=item.etag,
    )
    set_timestamp(message.create_time, item.create_time)
    set_timestamp(message.update_time, item.update_time)
    return message


def _encode_span(span: Span) -> pb.DaySpan:
    return pb.DaySpan(start_minute=span.start, end_minute=span.end, days=sorted(span.days))


def decode_limit(message: pb.RateLimit) -> RateLimit:
    """Decode a rate limit, its burst filled in; raises InvalidArgument."""
    period = get_duration(message, "period") if message.HasField("period") else timedelta(seconds=1)
    if period is None or period <= timedelta(0):
        raise InvalidArgument.field("limit.period", "must be longer than nothing", reason="INVALID_LIMIT")
    per_second = message.count / period.total_seconds()
    return RateLimit(
        id=parse_key(message.name, "rateLimits", "limit.name"),
        channels=tuple(dict.fromkeys(message.channels)),
        domain=message.domain,
        count=message.count,
        period=period,
        burst=message.burst or default_burst(per_second),
        revision=0,
        create_time=_EPOCH,
        update_time=_EPOCH,
    )


def encode_limit(item: RateLimit) -> pb.RateLimit:
    """Encode a rate limit."""
    message = pb.RateLimit(
        name=format_name("rateLimits", item.id),
        channels=item.channels,
        domain=item.domain,
        count=item.count,
        period=to_duration(item.period),
        burst=item.burst,
        etag=item.etag,
    )
    set_timestamp(message.create_time, item.create_time)
    set_timestamp(message.update_time, item.update_time)
    return message


def _encode_state(row: CircuitRow) -> pb.ChannelState:
    message = pb.ChannelState(
        channel=row.channel,
        domain=row.domain,
        sender_id=str(row.sender_id),
        circuit=enum_number(pb.ChannelState.Circuit, row.state),
        failure_count=row.failures,
        problem=row.problem,
        retry_delay=to_duration(timedelta(seconds=row.retry_seconds)),
        sent_count=row.sent_count,
        message_duration=to_duration(timedelta(seconds=row.seconds_per_message)),
    )
    set_timestamp(message.update_time, row.update_time)
    return message
