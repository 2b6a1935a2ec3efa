"""Methods of CampaignService on pools of coupons, and their redemption."""

from __future__ import annotations

import grpc
from rapport.campaign.v1 import campaign_pb2 as pb

from services.campaign import codec
from services.campaign.api.base import Methods
from services.campaign.usecases import coupons
from services.kit.names import parse_key, parse_name


class CouponMethods(Methods):
    """Answer the RPCs on pools of coupons, and their redemption."""

    def CreateCouponPool(
        self, request: pb.CreateCouponPoolRequest, context: grpc.ServicerContext
    ) -> pb.CreateCouponPoolResponse:
        """Create a pool of coupons."""
        given = request.coupon_pool
        return self.once(
            request,
            pb.CreateCouponPoolResponse,
            lambda connection: pb.CreateCouponPoolResponse(
                coupon_pool=codec.encode_pool(
                    coupons.create_pool(
                        self._runtime,
                        connection,
                        request.coupon_pool_id,
                        display_name=given.display_name,
                        prefix=given.prefix,
                        expire_time=codec.decode_pool_expiry(given),
                        personal=given.personal,
                    )
                )
            ),
        )

    def GetCouponPool(
        self, request: pb.GetCouponPoolRequest, context: grpc.ServicerContext
    ) -> pb.GetCouponPoolResponse:
        """Return a pool with its counts."""
        found = coupons.get_pool(self._runtime, parse_key(request.name, "couponPools"))
        return pb.GetCouponPoolResponse(coupon_pool=codec.encode_pool(found))

    def ListCouponPools(
        self, request: pb.ListCouponPoolsRequest, context: grpc.ServicerContext
    ) -> pb.ListCouponPoolsResponse:
        """List pools by id."""
        found, token = self.page_by_id(
            request,
            lambda after, count: coupons.list_pools(self._runtime, after=after, count=count),
            lambda item: item.id,
        )
        return pb.ListCouponPoolsResponse(coupon_pools=map(codec.encode_pool, found), next_page_token=token)

    def RedeemCoupon(
        self, request: pb.RedeemCouponRequest, context: grpc.ServicerContext
    ) -> pb.RedeemCouponResponse:
        """Redeem a coupon, once."""
        contact_id = parse_name(request.contact, "contacts", "contact") if request.contact else None
        order_id = parse_name(request.order, "orders", "order")
        redeemed = coupons.redeem_coupon(self._runtime, request.code, contact_id, order_id)
        return pb.RedeemCouponResponse(coupon=codec.encode_coupon(redeemed))
