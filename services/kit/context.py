"""What is known about the call or event that this thread works for.

Who asks, under which id, in which trace.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from uuid import UUID, uuid4

from services.kit.access.scope import EVERYTHING, Scope
from services.kit.causes import Causes
from services.kit.errors import Cancelled, DeadlineExceeded

_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
# The last of the eight flags says that the trace is recorded.
_ODD = frozenset("13579bdf")
_RAISED_BY = "_rapport_call"
_sampler: Callable[[str], bool] | None = None


@dataclass(slots=True)
class CallContext:
    """Describe one piece of work.

    request_id: given by the caller or made here; method: full RPC name or handler; principal: who asks, empty
    when nobody had to say; traceparent: W3C trace context of this piece; deadline: time.monotonic() seconds,
    or None; parent: trace context that it continues, as it was given; causes: traces of the events that it handles,
    when these are several; told: whether its trace context went on to others;
    scope: whose records the work may touch, None when that was not settled; is_awaited: tells whether the caller has
    not gone, None when it cannot; refused: whether a refusal of it is on record; scope_of: tells with whose records
    the caller may use a permission, None when it may not.
    """

    request_id: str
    method: str = ""
    principal: str = ""
    traceparent: str = ""
    deadline: float | None = None
    parent: str = ""
    causes: Causes | None = None
    told: bool = False
    scope: Scope | None = None
    is_awaited: Callable[[], bool] | None = None
    refused: bool = False
    scope_of: Callable[[str], Scope | None] | None = None


_current: ContextVar[CallContext | None] = ContextVar("rapport_call", default=None)


def current() -> CallContext | None:
    """Return what this thread works for, or None outside of any call."""
    return _current.get()


def enter(call: CallContext | None) -> None:
    """Set what this thread works for from now on; None when it is done."""
    _current.set(call)


@contextmanager
def activate(call: CallContext) -> Iterator[CallContext]:
    """Set what this thread works for within a block, such as the handling of one event."""
    previous = _current.get()
    _current.set(call)
    try:
        yield call
    finally:
        _current.set(previous)


def failed(error: BaseException) -> None:
    """Note on an error that the work at hand raised it, for whoever logs it once that work is over."""
    if (call := _current.get()) is not None:
        # What takes no note is logged without a trace.
        with suppress(Exception):
            error.__dict__.setdefault(_RAISED_BY, call)


@contextmanager
def of_error(error: BaseException, trace: str = "") -> Iterator[None]:
    """Set the work that raised an error for a block that logs it.

    trace: W3C trace context of what it was about, for an error that no work raised.
    """
    call = getattr(error, _RAISED_BY, None)
    if call is None and _TRACEPARENT.fullmatch(trace):
        call = CallContext(new_request_id(), traceparent=trace)
    if call is None:
        yield
        return
    with activate(call):
        yield


def request_id() -> str:
    """Return the id of the request at hand, or the empty string."""
    call = _current.get()
    return call.request_id if call else ""


def principal() -> str:
    """Return the name of the caller, or the empty string."""
    call = _current.get()
    return call.principal if call else ""


def scope() -> Scope:
    """Return whose records the call at hand may touch.

    EVERYTHING where there is no call, so nobody to be kept from anything. Raises RuntimeError within an RPC whose
    proto does not declare that it heeds scopes: the guard has then let in only whom all is open to, or should have.
    """
    call = _current.get()
    if call is None:
        return EVERYTHING
    if call.scope is None:
        raise RuntimeError(
            f"{call.method} asks whose records it may touch, but its proto does not say "
            "option (rapport.type.v1.reach) = REACH_RECORDS"
        )
    return call.scope


def scope_of(permission: str) -> Scope | None:
    """Return with whose records the caller may use another permission than that of the call at hand.

    None when it may not; EVERYTHING where there is no call.
    """
    call = _current.get()
    if call is None:
        return EVERYTHING
    return call.scope_of(permission) if call.scope_of is not None else None


def heeds_scope() -> bool:
    """Tell whether the call at hand, if there is one, settled whose records it may touch."""
    call = _current.get()
    return call is None or call.scope is not None


def traceparent(contact: UUID | None = None) -> str:
    """Return the W3C trace context of the work at hand, or the empty string.

    contact: whom the effect that will carry it concerns. When events of several traces are handled at once, it then
    continues the trace of the event of that contact.
    """
    call = _current.get()
    if call is None:
        return ""
    if call.causes is not None and contact is not None:
        found = call.causes.trace(str(contact))
        if found:
            return found
    call.told = True
    return call.traceparent


def causes() -> Causes | None:
    """Return the traces of the events at hand, or None unless they are several."""
    call = _current.get()
    return call.causes if call else None


def remaining() -> float | None:
    """Return the seconds left until the caller's deadline (never negative), or None when it has none."""
    call = _current.get()
    if call is None or call.deadline is None:
        return None
    return max(0.0, call.deadline - time.monotonic())


def require_caller() -> None:
    """Raise DeadlineExceeded or Cancelled when whoever asked for the work at hand has gone meanwhile.

    Nothing may be committed then: the caller has given the call up, and what it wrote since, by another call, would be
    overwritten by what it wanted before.
    """
    call = _current.get()
    if call is None:
        return
    if call.deadline is not None and call.deadline <= time.monotonic():
        raise DeadlineExceeded("the deadline passed before the change was committed; it was rolled back")
    if call.is_awaited is not None and not call.is_awaited():
        raise Cancelled("the caller went before the change was committed; it was rolled back")


def new_request_id(given: str = "") -> str:
    """Return the caller's request id when it is safe to log and send on, otherwise a new one."""
    return given if _REQUEST_ID.fullmatch(given) else uuid4().hex


def child_traceparent(parent: str = "") -> str:
    """Return a trace context below the given one, or the root of a new trace if that is not valid."""
    span = os.urandom(8).hex()
    if _TRACEPARENT.fullmatch(parent):
        return f"{parent[:36]}{span}{parent[52:]}"
    trace = os.urandom(16).hex()
    return f"00-{trace}-{span}-{'01' if _sampler is not None and _sampler(trace) else '00'}"


def is_sampled(trace_context: str) -> bool:
    """Tell whether a W3C trace context asks for its spans to be recorded."""
    return trace_context[-1:] in _ODD


def sample_by(sampler: Callable[[str], bool] | None) -> None:
    """Set what decides, by its id of 32 hexadecimal digits, whether a trace that begins here is recorded.

    None: no trace is, as in a process that has nowhere to record it.
    """
    global _sampler
    _sampler = sampler


def outgoing_metadata() -> tuple[tuple[str, str], ...]:
    """Return the metadata that carries the request id and the trace on to another service."""
    call = _current.get()
    if call is None:
        return ()
    call.told = True
    pairs = (("x-request-id", call.request_id), ("traceparent", call.traceparent))
    return tuple(pair for pair in pairs if pair[1])
