"""Spans: what work was done in a trace, when, and how it ended.

Trace contexts are made and handed on in any case (`services.kit.context`). Spans are recorded only while a sink is
set, which `services.kit.telemetry.export` does when the settings name a collector; else all of this is one comparison.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from services.kit import context as call_context
from services.kit.causes import Causes
from services.kit.clock import machine_nanos
from services.kit.context import CallContext

_log = logging.getLogger(__name__)

Value = str | int | float | bool


class Kind(Enum):
    """Say what a span is to its neighbours, in OpenTelemetry's words."""

    INTERNAL = "internal"
    SERVER = "server"
    CONSUMER = "consumer"
    PRODUCER = "producer"


@dataclass(slots=True, kw_only=True)
class Span:
    """Describe work that has ended.

    traceparent: its own W3C trace context; parent: that of the work that it continues, or ""; links: those of other
    work that it takes up; start, end: nanoseconds of the system's clock since 1970; error: why it failed, or "".
    """

    name: str
    traceparent: str
    parent: str = ""
    kind: Kind = Kind.INTERNAL
    start: int
    end: int
    attributes: Mapping[str, Value] = field(default_factory=dict)
    links: Sequence[str] = ()
    error: str = ""


class Sink(Protocol):
    """Take spans, without waiting."""

    def add(self, span: Span) -> None:
        """Take a span that is to be recorded."""
        ...


sink: Sink | None = None
"""Where spans go; None while none are recorded."""


def add(span: Span) -> None:
    """Record a span if its trace is recorded here."""
    if sink is not None and call_context.is_sampled(span.traceparent):
        try:
            sink.add(span)
        except Exception:
            # Work must not fail because nobody can be told of it.
            _log.warning("the span %s was not recorded", span.name, exc_info=True)


def call_for(method: str, causes: Iterable[tuple[str, str]]) -> tuple[CallContext, list[str]]:
    """Return the piece of work that does what others asked for, all at once, and the trace contexts that it links to.

    causes: (UUID of the contact or "", trace context or "") of each. Those of one trace are done in it. Those of
    several are done in a trace of their own, which links to theirs; what is done for a contact continues the last of
    its traces.
    """
    given = list(causes)
    traces = {trace for _, trace in given}
    parent = traces.pop() if len(traces) == 1 else ""
    call = CallContext(
        call_context.new_request_id(),
        method=method,
        traceparent=call_context.child_traceparent(parent),
        parent=parent,
    )
    links = sorted(filter(call_context.is_sampled, traces))
    if links:
        recorded = {contact: trace for contact, trace in given if contact and call_context.is_sampled(trace)}
        call.causes = Causes(recorded)
    return call, links


@contextmanager
def work(
    call: CallContext,
    *,
    name: str = "",
    kind: Kind = Kind.INTERNAL,
    links: Sequence[str] = (),
    attributes: Mapping[str, Value] | None = None,
    only_if_told: bool = False,
) -> Iterator[CallContext]:
    """Make a piece of work the one at hand within a block, and record its span, and those of its effects, at the end.

    The effects are those on single contacts (`services.kit.causes`); they are recorded when the block succeeds.
    name: of the span, by default the call's method. only_if_told: record nothing of work that handed its trace on to
    nobody, such as a timer that found nothing due.
    """
    start = machine_nanos()
    error = ""
    with call_context.activate(call):
        try:
            yield call
        except BaseException as problem:
            # The message may hold personal data.
            error = type(problem).__qualname__
            call_context.failed(problem)
            raise
        finally:
            if sink is not None:
                end = machine_nanos()
                given = attributes or {}
                if call.told or not only_if_told:
                    add(
                        Span(
                            name=name or call.method,
                            traceparent=call.traceparent,
                            parent=call.parent,
                            kind=kind,
                            start=start,
                            end=end,
                            attributes=given,
                            links=links,
                            error=error,
                        )
                    )
                if not error:
                    _add_effects(call, name or call.method, kind, start, end, given)


def _add_effects(
    call: CallContext, name: str, kind: Kind, start: int, end: int, attributes: Mapping[str, Value]
) -> None:
    if call.causes is None:
        return
    links = (call.traceparent,) if call_context.is_sampled(call.traceparent) else ()
    for contact, cause, effect in call.causes.effects():
        add(
            Span(
                name=name,
                traceparent=effect,
                parent=cause,
                kind=kind,
                start=start,
                end=end,
                attributes={**attributes, "rapport.contact": contact},
                links=links,
            )
        )
