"""Messages of the API to what the domain knows, and back."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp
from rapport.campaign.v1 import campaign_pb2 as pb

from services.campaign.domain.campaigns import Campaign
from services.campaign.domain.coupons import Coupon, Pool
from services.campaign.domain.journeys import Journey, Send, Step, Wait
from services.campaign.domain.ledger import CLAIMED, PLANNED, SENDING, Counts, Message
from services.campaign.domain.rendering import Content, StoredTemplate
from services.kit.errors import InvalidArgument
from services.kit.names import format_name, parse_key
from services.kit.runtime import Runtime
from services.kit.wire import (
    enum_number,
    from_duration,
    get_duration,
    get_timestamp,
    to_duration,
    to_timestamp,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def decode_contents(messages: Iterable[pb.TemplateContent]) -> list[Content]:
    """Decode the contents of a template."""
    return [Content(item.language_code, item.subject, item.text, item.html, item.mjml) for item in messages]


def decode_campaign(key: str, message: pb.Campaign) -> Campaign:
    """Decode a new campaign; raises InvalidArgument for malformed names."""
    parse_key(message.segment, "segments", "campaign.segment")
    return Campaign(
        id=key,
        display_name=message.display_name,
        segment=message.segment,
        template_id=parse_key(message.template, "templates", "campaign.template"),
        channel=message.channel,
        topic=message.topic,
        coupon_pool_id=_pool(message.coupon_pool, "campaign.coupon_pool"),
        state="",
        planned=False,
        create_time=_EPOCH,
        launch_time=None,
    )


def decode_journey(key: str, message: pb.Journey) -> Journey:
    """Decode a new journey; raises InvalidArgument (INVALID_JOURNEY) that names the step."""
    trigger = message.trigger
    if trigger.segment:
        parse_key(trigger.segment, "segments", "journey.trigger.segment")
    return Journey(
        id=key,
        display_name=message.display_name,
        event_type=trigger.event_type,
        segment=trigger.segment,
        reentry_after=get_duration(trigger, "reentry_after"),
        steps=tuple(_step(item, f"journey.steps[{index}]") for index, item in enumerate(message.steps)),
        active=False,
        activate_time=None,
        create_time=_EPOCH,
    )


def _step(message: pb.JourneyStep, path: str) -> Step:
    match message.WhichOneof("action"):
        case "wait":
            return Wait(from_duration(message.wait.duration, f"{path}.wait.duration"))
        case "send":
            send = message.send
            return Send(
                parse_key(send.template, "templates", f"{path}.send.template"),
                send.channel,
                send.topic,
                _pool(send.coupon_pool, f"{path}.send.coupon_pool"),
            )
    raise InvalidArgument.field(path, "must say what happens: wait or send", reason="INVALID_JOURNEY")


def _pool(name: str, field: str) -> str:
    return parse_key(name, "couponPools", field) if name else ""


def encode_template(item: StoredTemplate) -> pb.Template:
    """Encode a template."""
    return pb.Template(
        name=format_name("templates", item.id),
        display_name=item.display_name,
        contents=[
            pb.TemplateContent(
                language_code=content.language_code,
                subject=content.subject,
                text=content.text,
                html=content.html,
                mjml=content.mjml,
            )
            for content in item.contents
        ],
        etag=item.etag,
        create_time=to_timestamp(item.create_time),
        update_time=to_timestamp(item.update_time),
    )


def decode_pool_expiry(message: pb.CouponPool) -> datetime | None:
    """Return when the codes of a pool expire, or None."""
    return get_timestamp(message, "expire_time")


def encode_pool(item: Pool) -> pb.CouponPool:
    """Encode a pool with its counts."""
    return pb.CouponPool(
        name=format_name("couponPools", item.id),
        display_name=item.display_name,
        prefix=item.prefix,
        expire_time=_time(item.expire_time),
        personal=item.personal,
        issued_count=item.issued_count,
        redeemed_count=item.redeemed_count,
        create_time=to_timestamp(item.create_time),
    )


def encode_coupon(item: Coupon) -> pb.Coupon:
    """Encode a coupon."""
    return pb.Coupon(
        code=item.code,
        pool=format_name("couponPools", item.pool_id),
        contact=format_name("contacts", item.contact_id) if item.contact_id else "",
        issue_time=to_timestamp(item.issue_time),
        redeem_time=_time(item.redeem_time),
        order=format_name("orders", item.order_id) if item.order_id else "",
    )


def encode_campaign(item: Campaign, counts: Counts) -> pb.Campaign:
    """Encode a campaign with its counts."""
    return pb.Campaign(
        name=item.origin,
        display_name=item.display_name,
        segment=item.segment,
        template=format_name("templates", item.template_id),
        channel=item.channel,
        topic=item.topic,
        coupon_pool=format_name("couponPools", item.coupon_pool_id) if item.coupon_pool_id else "",
        state=enum_number(pb.Campaign.State, item.state),
        counts=encode_counts(counts),
        create_time=to_timestamp(item.create_time),
        launch_time=_time(item.launch_time),
    )


def encode_counts(counts: Counts) -> pb.MessageCounts:
    """Encode counts of messages."""
    return pb.MessageCounts(
        audience=counts.audience,
        planned=counts.of(PLANNED),
        in_flight=counts.of(CLAIMED, SENDING),
        sent=counts.of("sent"),
        suppressed=counts.of("suppressed"),
        failed=counts.of("failed"),
        unknown=counts.of("unknown"),
        cancelled=counts.of("cancelled"),
        duplicates=counts.duplicates,
        suppressed_by_reason=counts.by_reason,
        waiting_by_reason=counts.waiting_by_reason,
    )


def encode_journey(item: Journey, counts: Counts) -> pb.Journey:
    """Encode a journey with its counts."""
    message = pb.Journey(
        name=item.origin,
        display_name=item.display_name,
        trigger=pb.JourneyTrigger(event_type=item.event_type, segment=item.segment),
        steps=[_encode_step(step) for step in item.steps],
        active=item.active,
        started_count=item.started_count,
        finished_count=item.finished_count,
        counts=encode_counts(counts),
        create_time=to_timestamp(item.create_time),
    )
    if item.reentry_after is not None:
        message.trigger.reentry_after.CopyFrom(to_duration(item.reentry_after))
    return message


def _encode_step(step: Step) -> pb.JourneyStep:
    if isinstance(step, Wait):
        return pb.JourneyStep(wait=pb.WaitStep(duration=to_duration(step.duration)))
    return pb.JourneyStep(
        send=pb.SendStep(
            template=format_name("templates", step.template_id),
            channel=step.channel,
            topic=step.topic,
            coupon_pool=format_name("couponPools", step.coupon_pool_id) if step.coupon_pool_id else "",
        )
    )


def encode_message(item: Message, runtime: Runtime) -> pb.Message:
    """Encode a message of the ledger."""
    return pb.Message(
        name=format_name("messages", item.id),
        contact=format_name("contacts", item.contact_id) if item.contact_id else "",
        origin=item.origin,
        channel=item.channel,
        state=enum_number(pb.Message.State, item.state),
        reason=item.reason,
        attempt_count=item.attempt_count,
        external_id=f"<{item.id}@{runtime.settings.mail_domain}>",
        coupon_code=item.coupon_code,
        create_time=to_timestamp(item.create_time),
        send_time=_time(item.send_time),
        topic=item.topic,
        subject=item.subject,
    )


def _time(instant: datetime | None) -> Timestamp | None:
    return None if instant is None else to_timestamp(instant)
