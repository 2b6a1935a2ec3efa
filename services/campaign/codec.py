"""Messages of the API to what the domain knows, and back."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp
from rapport.campaign.v1 import campaign_pb2 as pb

from services.campaign.domain.campaigns import HOLD, Campaign
from services.campaign.domain.coupons import Coupon, Pool
from services.campaign.domain.ledger import CLAIMED, PLANNED, SENDING, Counts, Message
from services.campaign.domain.rendering import Content, StoredTemplate
from services.kit.names import format_name, parse_key
from services.kit.runtime import Runtime
from services.kit.wire import (
    enum_number,
    enum_text,
    get_timestamp,
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
        coupon_pool_id=pool_key(message.coupon_pool, "campaign.coupon_pool"),
        state="",
        planned=False,
        create_time=_EPOCH,
        launch_time=None,
        evergreen=message.evergreen,
        unknown_policy=enum_text(pb.Campaign.UnknownPolicy, message.unknown_policy) or HOLD,
    )


def pool_key(name: str, field: str) -> str:
    """Return the id in the name of a pool, empty for none; raises InvalidArgument."""
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
        evergreen=item.evergreen,
        series=format_name("campaigns", item.series) if item.series else "",
        unknown_policy=enum_number(pb.Campaign.UnknownPolicy, item.unknown_policy),
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
