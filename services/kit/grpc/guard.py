"""The guard around every RPC: ids, trace, token, permission and scope, limits, validation, typed errors, log, metrics.

It wraps handlers when they are registered instead of running as a chain of interceptors: the plan of a method
is then bound to its handler, and an RPC without a declared permission fails at start-up rather than at its
first call.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from threading import BoundedSemaphore
from typing import Any, Protocol, cast

import grpc

from services.kit import context as call_context
from services.kit import metrics
from services.kit.access.addresses import caller_address
from services.kit.access.audit import Audit, Refusal
from services.kit.access.limits import CallerLimits, Limits
from services.kit.access.scope import EVERYTHING, Scope
from services.kit.auth import SERVICE_PREFIX, Principal
from services.kit.context import CallContext
from services.kit.errors import (
    DeadlineExceeded,
    OverLimit,
    PermissionDenied,
    Unauthenticated,
    Unavailable,
)
from services.kit.grpc.arrivals import Arrivals
from services.kit.grpc.denials import denial
from services.kit.grpc.plan import REACH_RECORDS, REACH_UNSPECIFIED, MethodPlan, plan_service
from services.kit.grpc.requests import Malformed, lenient, validate, validated
from services.kit.grpc.server_spans import add_span
from services.kit.grpc.status import Failure, classify, to_wire
from services.kit.log import get_logger
from services.kit.telemetry import spans

Handlers = Mapping[str, "grpc.RpcMethodHandler[Any, Any]"]

_CLIENT_FAULTS = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    }
)


class Tokens(Protocol):
    """Know who calls."""

    def find(self, token: str) -> Principal | None:
        """Return whose token it is, or None; raises Unauthenticated or Unavailable to say more."""
        ...


class Guard:
    """Wrap the handlers of services."""

    def __init__(
        self,
        tokens: Tokens,
        arrivals: Arrivals,
        *,
        max_streams: int,
        limits: Limits | None = None,
        audit: Audit | None = None,
    ) -> None:
        """tokens: who may call; limits: of one caller, by default none; audit: where refusals are recorded.

        arrivals: waits for requests; max_streams: streaming calls at once, as each holds a thread as long as it lasts.
        """
        self._tokens = tokens
        self._limits = CallerLimits(limits or Limits())
        self._audit = audit or Audit()
        self._arrivals = arrivals
        self._streams = BoundedSemaphore(max_streams)
        self._max_streams = max_streams
        self._log = get_logger("grpc")

    def wrap_service(self, full_name: str, handlers: Handlers) -> dict[str, grpc.RpcMethodHandler[Any, Any]]:
        """Return guarded handlers of all methods of a service.

        Raises InvalidArgument when a method has no permission.
        """
        plans = plan_service(full_name)
        return {name: self._wrap(plans[name], handler) for name, handler in handlers.items()}

    def _wrap(
        self, plan: MethodPlan, handler: grpc.RpcMethodHandler[Any, Any]
    ) -> grpc.RpcMethodHandler[Any, Any]:
        decode = lenient(handler.request_deserializer)
        encode = handler.response_serializer
        if handler.request_streaming and handler.response_streaming:
            behavior = self._streaming(plan, handler.stream_stream, requests_stream=True)
            return grpc.stream_stream_rpc_method_handler(behavior, decode, encode)
        # To gRPC all are streams of requests, so that the token is looked at before the request is waited for.
        if handler.response_streaming:
            behavior = self._streaming(plan, handler.unary_stream, requests_stream=False)
            return grpc.stream_stream_rpc_method_handler(behavior, decode, encode)
        if handler.request_streaming:
            behavior = self._uploading(plan, handler.stream_unary)
            return grpc.stream_unary_rpc_method_handler(behavior, decode, encode)
        return grpc.stream_unary_rpc_method_handler(self._unary(plan, handler.unary_unary), decode, encode)

    def _unary(self, plan: MethodPlan, behavior: Any) -> Callable[[Iterator[Any], grpc.ServicerContext], Any]:
        check = plan.check

        def call(requests: Iterator[Any], context: grpc.ServicerContext) -> Any:
            started = time.perf_counter()
            work, token = self._begin(plan, context)
            try:
                self._authorize(plan, work, token, context)
                request = self._arrivals.one(requests, context, known=bool(work.principal))
                if self._limits.counts_bytes and type(request) is not Malformed:
                    self._count_bytes(work, request, context)
                if check is not None or type(request) is Malformed:
                    validate(plan, request)
                response = behavior(request, context)
                if response is None:
                    raise TypeError(f"{plan.name} returned nothing")
            except Exception as error:
                failure = self._failed(plan, work, error, context, started)
                if failure is None:
                    raise
            else:
                self._succeeded(plan, work, started)
                return response
            context.abort_with_status(to_wire(failure, work.request_id))

        return call

    def _uploading(
        self, plan: MethodPlan, behavior: Any
    ) -> Callable[[Iterator[Any], grpc.ServicerContext], Any]:
        def call(requests: Iterator[Any], context: grpc.ServicerContext) -> Any:
            started = time.perf_counter()
            work, token = self._begin(plan, context)
            try:
                self._authorize(plan, work, token, context)
                with self._stream_slot(work, context):
                    pieces = self._arrivals.pieces(requests, context)
                    response = behavior(validated(plan, pieces), context)
                if response is None:
                    raise TypeError(f"{plan.name} returned nothing")
            except Exception as error:
                failure = self._failed(plan, work, error, context, started)
                if failure is None:
                    raise
            else:
                self._succeeded(plan, work, started)
                return response
            context.abort_with_status(to_wire(failure, work.request_id))

        return call

    def _streaming(
        self, plan: MethodPlan, behavior: Any, *, requests_stream: bool
    ) -> Callable[[Any, grpc.ServicerContext], Iterator[Any]]:
        def call(requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
            started = time.perf_counter()
            work, token = self._begin(plan, context)
            try:
                self._authorize(plan, work, token, context)
                if requests_stream:
                    request: Any = validated(plan, requests)
                else:
                    request = self._arrivals.one(requests, context, known=bool(work.principal))
                    validate(plan, request)
                with self._stream_slot(work, context):
                    yield from behavior(request, context)
            except GeneratorExit:
                self._finish(plan, work, "CANCELLED", started)
                raise
            except Exception as error:
                failure = self._failed(plan, work, error, context, started)
                if failure is None:
                    raise
            else:
                self._succeeded(plan, work, started)
                return
            context.abort_with_status(to_wire(failure, work.request_id))

        return call

    def _begin(self, plan: MethodPlan, context: grpc.ServicerContext) -> tuple[CallContext, str]:
        """Return what is known of the call, and the token that came with it."""
        plan.in_flight.inc()
        request_id = traceparent = token = ""
        for key, value in context.invocation_metadata():
            if key == "x-request-id":
                request_id = str(value)
            elif key == "traceparent":
                traceparent = str(value)
            elif key == "authorization":
                token = _bearer(str(value))
        left = context.time_remaining()
        work = CallContext(
            call_context.new_request_id(request_id),
            plan.name,
            "",
            call_context.child_traceparent(traceparent),
            # "No deadline" arrives as a very distant one.
            None if left is None or left > 1e8 else time.monotonic() + left,
            traceparent,
            is_awaited=context.is_active,
        )
        # gRPC runs every call in a contextvars.Context of its own, so nothing has to be put back.
        call_context.enter(work)
        context.set_trailing_metadata((("x-request-id", work.request_id),))
        return work, token

    def _authorize(
        self, plan: MethodPlan, work: CallContext, token: str, context: grpc.ServicerContext
    ) -> None:
        try:
            principal = self._identify(plan, token)
            if principal is not None:
                work.principal, work.scope_of = principal.name, principal.scope
                if not principal.is_service:
                    self._limits.call(principal.name)
            else:
                self._limits.call(caller_address(context.peer()))
            if not plan.permission:
                # The request proves itself.
                work.scope = EVERYTHING
            else:
                scope = _demand(plan, principal, token)
                if plan.reach == REACH_RECORDS:
                    work.scope = scope
        except (Unauthenticated, PermissionDenied, OverLimit, Unavailable) as error:
            self._refused(plan, work, (error.reason, error.metadata.get("permission", "")), context)
            if isinstance(error, Unauthenticated | Unavailable):
                self._limits.refused(caller_address(context.peer()))
            raise
        if work.deadline is not None and work.deadline <= time.monotonic():
            # The caller has gone while the call waited for a thread: to work for nobody would delay the
            # others.
            raise DeadlineExceeded("the deadline passed before the work began")

    def _identify(self, plan: MethodPlan, token: str) -> Principal | None:
        if not token:
            return None
        try:
            return self._tokens.find(token)
        except Unauthenticated:
            if plan.permission:
                raise
            return None

    def _refused(
        self, plan: MethodPlan, work: CallContext, why: tuple[str, str], context: grpc.ServicerContext
    ) -> None:
        """Record a refusal. why: its reason, and the permission that was lacking."""
        who = work.principal or f"address:{caller_address(context.peer())}"
        work.refused = True
        self._audit.refused(Refusal(who, plan.name, *why), work.request_id)

    def _count_bytes(self, work: CallContext, request: Any, context: grpc.ServicerContext) -> None:
        if not work.principal.startswith(SERVICE_PREFIX):
            self._limits.content(work.principal or caller_address(context.peer()), request.ByteSize())

    def _stream_slot(self, work: CallContext, context: grpc.ServicerContext) -> _Slot:
        if not self._streams.acquire(blocking=False):
            raise OverLimit(
                f"this process serves {self._max_streams} streams already; try again later",
                reason="TOO_MANY_STREAMS",
            )
        caller = work.principal or caller_address(context.peer())
        if not work.principal.startswith(SERVICE_PREFIX):
            try:
                self._limits.open_stream(caller)
            except OverLimit:
                self._streams.release()
                raise
            return _Slot(self._streams, lambda: self._limits.close_stream(caller))
        return _Slot(self._streams)

    def _succeeded(self, plan: MethodPlan, work: CallContext, started: float) -> None:
        elapsed = time.perf_counter() - started
        plan.in_flight.dec()
        plan.ok.inc()
        plan.seconds.observe(elapsed)
        if spans.sink is not None:
            add_span(plan, work, "OK", elapsed)
        self._log.info("rpc", method=plan.name, caller=work.principal, code="OK", ms=round(elapsed * 1000, 2))

    def _finish(self, plan: MethodPlan, work: CallContext, code: str, started: float) -> float:
        elapsed = time.perf_counter() - started
        plan.in_flight.dec()
        metrics.GRPC_CALLS.labels(plan.name, code).inc()
        plan.seconds.observe(elapsed)
        if spans.sink is not None:
            add_span(plan, work, code, elapsed)
        return round(elapsed * 1000, 2)

    def _failed(
        self,
        plan: MethodPlan,
        work: CallContext,
        error: Exception,
        context: grpc.ServicerContext,
        started: float,
    ) -> Failure | None:
        """Count and log the failure.

        None when the call has an end already, given by the handler or the caller.
        """
        if not work.refused and (why := denial(plan, work, error)):
            # By what the records say, such as whose they are, which only the handler knows.
            self._refused(plan, work, why, context)
        failure = _failure(error, context, work)
        if failure is None:
            code = _code_of(context)
            ms = self._finish(plan, work, code, started)
            self._log.info("rpc", method=plan.name, caller=work.principal, code=code, ms=ms)
            return None
        ms = self._finish(plan, work, failure.code.name, started)
        fields = {
            "method": plan.name,
            "caller": work.principal,
            "code": failure.code.name,
            "reason": failure.reason,
            "ms": ms,
        }
        # A stream that ends because the process does is in order; one line for each would only alarm.
        if failure.expected and (failure.code in _CLIENT_FAULTS or failure.reason == "STOPPING"):
            self._log.info("rpc", **fields)
        elif failure.expected:
            self._log.warning("rpc", **fields)
        else:
            self._log.error("rpc", **fields, exc_info=error)
        return failure


class _Slot:
    """Give a stream's place back at the end of a block."""

    def __init__(self, places: BoundedSemaphore, close: Callable[[], None] = lambda: None) -> None:
        self._places = places
        self._close = close

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self._close()
        self._places.release()


def _bearer(authorization: str) -> str:
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _demand(plan: MethodPlan, principal: Principal | None, token: str) -> Scope:
    """Return with whose records the caller may use the method; raises Unauthenticated, PermissionDenied."""
    if principal is None:
        if not token:
            raise Unauthenticated(
                "no access token: send the metadata 'authorization: Bearer <token>'", reason="MISSING_TOKEN"
            )
        raise Unauthenticated("the access token is not known here", reason="INVALID_TOKEN")
    scope = principal.scope(plan.permission)
    if scope is None:
        raise PermissionDenied(
            f"{principal.name} needs the permission {plan.permission!r}",
            metadata={"permission": plan.permission, "principal": principal.name},
        )
    if plan.reach == REACH_UNSPECIFIED and not scope.everything:
        raise PermissionDenied(
            f"{principal.name} has the permission {plan.permission!r} for some records only, and "
            f"{plan.name} is about all of them",
            metadata={"permission": f"{plan.permission}:all", "principal": principal.name},
        )
    return scope


def _failure(error: Exception, context: grpc.ServicerContext, work: CallContext) -> Failure | None:
    if _ended_by_handler(error, context) or (isinstance(error, grpc.RpcError) and not context.is_active()):
        return None
    return classify(error, work.request_id)


def _ended_by_handler(error: Exception, context: grpc.ServicerContext) -> bool:
    # context.abort raises a bare Exception after it has set the code.
    return type(error) is Exception and not error.args and _code(context) is not None


def _code(context: grpc.ServicerContext) -> grpc.StatusCode | None:
    # grpcio has code() on its servicer context, the type stubs do not.
    return cast("grpc.StatusCode | None", cast(Any, context).code())


def _code_of(context: grpc.ServicerContext) -> str:
    code = _code(context)
    return code.name if code is not None else "CANCELLED"
