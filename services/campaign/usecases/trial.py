"""What a launch would do: everything that it needs is checked, and nothing changed."""

from __future__ import annotations

import math
from collections.abc import Sequence

import grpc
from rapport_client.errors import RapportError as ClientError

from services.campaign.domain.experiments import Experiment, Variant
from services.campaign.store import campaigns as store
from services.campaign.store import coupons, experiments
from services.campaign.usecases import campaigns, templates
from services.campaign.usecases.campaign_checks import check_asked
from services.campaign.usecases.experiments import uses
from services.kit.errors import InvalidArgument, NotFound, Unavailable
from services.kit.names import format_name, parse_name
from services.kit.runtime import Runtime
from services.kit.transient import is_transient


def try_launch(runtime: Runtime, key: str) -> tuple[int, list[str]]:
    """Return how many contacts a launch would find in the segment now, and what would go wrong for some of them.

    Raises what the launch raises, NotFound for a segment that is gone, InvalidArgument (RENDER_FAILED) when a member's
    message cannot be rendered, Unavailable when segmentation or contacts does not answer.
    """
    with runtime.db.read() as connection:
        campaign = store.get(connection, key)
        if campaign is None:
            raise NotFound.resource(format_name("campaigns", key))
        campaigns.check_launch(runtime, connection, campaign)
        check_asked(runtime, connection, campaign)
        tried = experiments.get(connection, key)
        sent = uses(tried, campaign)
        pools = coupons.pools(connection, {item.coupon_pool_id for item in sent if item.coupon_pool_id})
        free = {pool.id: coupons.free_count(connection, pool.id) for pool in pools.values() if pool.imported}
    try:
        segment = runtime.clients.segmentation.get_segment(name=campaign.segment).segment
        first = runtime.clients.segmentation.list_members(segment=campaign.segment, page_size=1).contacts
        if first:
            for template in sorted({item.template_id for item in sent}):
                _render(runtime, template, first[0])
    except ClientError as error:
        if is_transient(error):
            raise Unavailable(
                f"the audience of campaigns/{key} cannot be asked for: {error.message}; try again later"
            ) from error
        if error.code is grpc.StatusCode.NOT_FOUND:
            raise NotFound.resource(campaign.segment) from error
        raise
    audience = int(segment.member_count)
    warnings = [
        f"COUPON_POOL_EMPTY: couponPools/{pool} has {count:,} codes for an audience of {needed:,}; "
        "messages beyond them would fail: import more"
        for pool, count in sorted(free.items())
        if count < (needed := _needed(tried, sent, pool, audience))
    ]
    return audience, [*campaigns.channel_warnings(runtime, key), *warnings]


def _needed(tried: Experiment | None, sent: Sequence[Variant], pool: str, audience: int) -> int:
    """Return how many members about may get a code of a pool: all of them where its variant may win."""
    if tried is None or tried.test_percent < 100:
        return audience
    weight = sum(item.weight for item in sent if item.coupon_pool_id == pool)
    return math.ceil(
        audience * (1 - tried.hold_out_percent / 100) * weight / sum(item.weight for item in sent)
    )


def _render(runtime: Runtime, template: str, contact: str) -> None:
    try:
        templates.preview_template(runtime, template, parse_name(contact, "contacts"))
    except InvalidArgument as error:
        if error.reason != "RENDER_FAILED":
            raise
        raise InvalidArgument(
            f"templates/{template} cannot be rendered for {contact}: {error.message}", reason="RENDER_FAILED"
        ) from error
    except NotFound:
        # The member was erased a moment ago; the launch passes it over too.
        return
