"""SalesService over gRPC: decode, use case, encode."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeVar
from uuid import UUID

import grpc
from rapport.sales.v1 import sales_pb2, sales_pb2_grpc

from services.kit import paging
from services.kit.names import format_name, parse_name
from services.kit.runtime import Runtime
from services.sales.codec import (
    Decoder,
    encode_currencies,
    encode_order,
    encode_payment,
    encode_product,
    encode_return,
    timestamp,
)
from services.sales.usecases import figures, orders, payments, products, returns, unattributed

T = TypeVar("T")
Position = tuple[datetime, UUID]
_DOCUMENTS = (50, 1000)
_PRODUCTS = (100, 1000)
_RECENT_ORDERS = 10


def register(server: grpc.Server, runtime: Runtime) -> None:
    """Add the servicer of sales to a server."""
    sales_pb2_grpc.add_SalesServiceServicer_to_server(SalesServicer(runtime), server)  # type: ignore[no-untyped-call]


class SalesServicer(sales_pb2_grpc.SalesServiceServicer):
    """Answer the RPCs of SalesService; see the proto for what each promises."""

    def __init__(self, runtime: Runtime) -> None:
        """Serve from a runtime."""
        self._runtime = runtime

    def BatchUpsertProducts(
        self, request: sales_pb2.BatchUpsertProductsRequest, context: grpc.ServicerContext
    ) -> sales_pb2.BatchUpsertProductsResponse:
        """Create or change products."""
        created, updated = products.upsert_products(self._runtime, self._decoder().products(request.products))
        return sales_pb2.BatchUpsertProductsResponse(created_count=created, updated_count=updated)

    def GetProduct(
        self, request: sales_pb2.GetProductRequest, context: grpc.ServicerContext
    ) -> sales_pb2.GetProductResponse:
        """Return a product."""
        return sales_pb2.GetProductResponse(
            product=encode_product(products.get_product(self._runtime, request.code))
        )

    def ListProducts(
        self, request: sales_pb2.ListProductsRequest, context: grpc.ServicerContext
    ) -> sales_pb2.ListProductsResponse:
        """List products by code."""
        size = paging.page_size(request.page_size, *_PRODUCTS)
        position = paging.decode(request.page_token, request, self._runtime.signer)
        found = products.list_products(
            self._runtime, after=position["code"] if position else "", count=size + 1
        )
        token = ""
        if len(found) > size:
            found = found[:size]
            token = paging.encode({"code": found[-1].code}, request, self._runtime.signer)
        return sales_pb2.ListProductsResponse(products=map(encode_product, found), next_page_token=token)

    def PlaceOrder(
        self, request: sales_pb2.PlaceOrderRequest, context: grpc.ServicerContext
    ) -> sales_pb2.PlaceOrderResponse:
        """Record one order."""
        placed = orders.place_order(self._runtime, self._decoder().order(request.order))
        return sales_pb2.PlaceOrderResponse(order=encode_order(placed))

    def BatchIngestOrders(
        self, request: sales_pb2.BatchIngestOrdersRequest, context: grpc.ServicerContext
    ) -> sales_pb2.BatchIngestOrdersResponse:
        """Record orders."""
        done = orders.ingest_orders(self._runtime, self._decoder().orders(request.orders))
        return sales_pb2.BatchIngestOrdersResponse(
            names=[format_name("orders", key) for key in done.ids],
            recorded_count=done.recorded,
            skipped_count=done.skipped,
        )

    def GetOrder(
        self, request: sales_pb2.GetOrderRequest, context: grpc.ServicerContext
    ) -> sales_pb2.GetOrderResponse:
        """Return an order."""
        found = orders.get_order(self._runtime, parse_name(request.name, "orders"))
        return sales_pb2.GetOrderResponse(order=encode_order(found))

    def ListOrders(
        self, request: sales_pb2.ListOrdersRequest, context: grpc.ServicerContext
    ) -> sales_pb2.ListOrdersResponse:
        """List orders, newest first."""
        found, token = self._page(request, orders.list_orders, lambda order: (order.order_time, order.id))
        return sales_pb2.ListOrdersResponse(orders=map(encode_order, found), next_page_token=token)

    def BatchIngestReturns(
        self, request: sales_pb2.BatchIngestReturnsRequest, context: grpc.ServicerContext
    ) -> sales_pb2.BatchIngestReturnsResponse:
        """Record returns."""
        done = returns.ingest_returns(self._runtime, self._decoder().returns(request.returns))
        return sales_pb2.BatchIngestReturnsResponse(
            names=[format_name("returns", key) for key in done.ids],
            recorded_count=done.recorded,
            skipped_count=done.skipped,
        )

    def ListReturns(
        self, request: sales_pb2.ListReturnsRequest, context: grpc.ServicerContext
    ) -> sales_pb2.ListReturnsResponse:
        """List returns, newest first."""
        found, token = self._page(request, returns.list_returns, lambda item: (item.return_time, item.id))
        return sales_pb2.ListReturnsResponse(returns=map(encode_return, found), next_page_token=token)

    def BatchIngestPayments(
        self, request: sales_pb2.BatchIngestPaymentsRequest, context: grpc.ServicerContext
    ) -> sales_pb2.BatchIngestPaymentsResponse:
        """Record payments."""
        done = payments.ingest_payments(self._runtime, self._decoder().payments(request.payments))
        return sales_pb2.BatchIngestPaymentsResponse(
            names=[format_name("payments", key) for key in done.ids],
            recorded_count=done.recorded,
            skipped_count=done.skipped,
        )

    def ListPayments(
        self, request: sales_pb2.ListPaymentsRequest, context: grpc.ServicerContext
    ) -> sales_pb2.ListPaymentsResponse:
        """List payments, newest first."""
        found, token = self._page(request, payments.list_payments, lambda item: (item.pay_time, item.id))
        return sales_pb2.ListPaymentsResponse(payments=map(encode_payment, found), next_page_token=token)

    def RecordUnattributedLines(
        self, request: sales_pb2.RecordUnattributedLinesRequest, context: grpc.ServicerContext
    ) -> sales_pb2.RecordUnattributedLinesResponse:
        """Keep lines that name no customer."""
        lines = self._decoder().unattributed(request.lines)
        recorded, skipped = unattributed.record_unattributed_lines(self._runtime, lines)
        return sales_pb2.RecordUnattributedLinesResponse(recorded_count=recorded, skipped_count=skipped)

    def GetSalesSummary(
        self, request: sales_pb2.GetSalesSummaryRequest, context: grpc.ServicerContext
    ) -> sales_pb2.GetSalesSummaryResponse:
        """Return the figures of all sales."""
        found = figures.summarise_sales(self._runtime)
        return sales_pb2.GetSalesSummaryResponse(
            customer_count=found.customer_count,
            order_count=found.order_count,
            return_count=found.return_count,
            product_count=found.product_count,
            unattributed_line_count=found.unattributed_line_count,
            currencies=encode_currencies(found.currencies),
        )

    def GetContactSales(
        self, request: sales_pb2.GetContactSalesRequest, context: grpc.ServicerContext
    ) -> sales_pb2.GetContactSalesResponse:
        """Return the figures of a contact."""
        contact_id = parse_name(request.contact, "contacts", "contact")
        found, recent = figures.summarise_contact(
            self._runtime, contact_id, request.recent_order_count or _RECENT_ORDERS
        )
        return sales_pb2.GetContactSalesResponse(
            order_count=found.order_count,
            return_count=found.return_count,
            first_order_time=timestamp(found.first_order_time),
            last_order_time=timestamp(found.last_order_time),
            currencies=encode_currencies(found.currencies),
            recent_orders=map(encode_order, recent),
        )

    def _decoder(self) -> Decoder:
        return Decoder(self._runtime.clock.now())

    def _page(
        self,
        request: sales_pb2.ListOrdersRequest | sales_pb2.ListReturnsRequest | sales_pb2.ListPaymentsRequest,
        read: Callable[..., list[T]],
        place: Callable[[T], tuple[datetime, UUID | None]],
    ) -> tuple[Sequence[T], str]:
        """Read one page of documents and make the token of the next."""
        runtime = self._runtime
        contact_id = parse_name(request.contact, "contacts", "contact") if request.contact else None
        size = paging.page_size(request.page_size, *_DOCUMENTS)
        given = paging.decode(request.page_token, request, runtime.signer)
        after = (given["time"], given["id"]) if given else None
        # One more than asked for tells whether there is a next page.
        found = read(runtime, contact_id=contact_id, after=after, count=size + 1)
        if len(found) <= size:
            return found, ""
        time, key = place(found[size - 1])
        return found[:size], paging.encode({"time": time, "id": key}, request, runtime.signer)
