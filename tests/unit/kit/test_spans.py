"""Which spans are recorded, and how those of a batch hang together."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest

from services.kit import context
from services.kit.telemetry import spans
from services.kit.telemetry.spans import Kind, Span
from tests.support.spans import Kept, trace_of

AN, BINH, CHI = (uuid4() for _ in range(3))


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Kept:
    made = Kept()
    monkeypatch.setattr(spans, "sink", made)
    return made


@pytest.fixture
def sampler() -> Iterator[None]:
    yield
    context.sample_by(None)


def handle(causes: list[tuple[UUID | None, str]], effects_on: list[UUID | None]) -> list[str]:
    """Handle events of contacts at once, and return the trace contexts that its effects carry."""
    call, links = spans.call_for("toy.on_events", [(str(key or ""), trace) for key, trace in causes])
    with spans.work(call, kind=Kind.CONSUMER, links=links, attributes={"size": len(causes)}):
        return [context.traceparent(contact) for contact in effects_on]


def test_events_of_one_trace_are_handled_in_it(kept: Kept):
    cause = trace_of("a")
    told = handle([(AN, cause), (BINH, cause)], [AN, BINH])
    [span] = kept.spans
    assert (span.parent, span.links, span.kind, span.attributes) == (cause, [], Kind.CONSUMER, {"size": 2})
    assert told == [span.traceparent] * 2
    assert span.traceparent[:36] == cause[:36]
    assert span.start <= span.end


def test_each_effect_of_a_mixed_batch_continues_the_trace_of_its_contact(kept: Kept):
    of_an, of_binh, of_chi = trace_of("a"), trace_of("b"), trace_of("c")
    told = handle([(AN, of_an), (BINH, of_binh), (CHI, of_chi)], [BINH, AN, BINH])
    # The trace of the batch was not sampled: only the two effects are recorded, and none for Chi.
    by_contact = {span.attributes["rapport.contact"]: span for span in kept.spans}
    assert by_contact.keys() == {str(AN), str(BINH)}
    assert [by_contact[str(key)].traceparent for key in (BINH, AN, BINH)] == told
    assert [by_contact[str(key)].parent for key in (AN, BINH)] == [of_an, of_binh]
    assert told[0][:36] == of_binh[:36]
    assert told[0] != of_binh


def test_the_span_of_a_mixed_batch_links_to_the_traces(kept: Kept, sampler: None):
    context.sample_by(lambda trace: True)
    of_an, of_binh = trace_of("a"), trace_of("b")
    handle([(AN, of_an), (BINH, of_binh), (None, trace_of("d", sampled=False)), (CHI, "")], [AN, CHI, None])
    batch, effect = kept.spans
    assert (batch.parent, batch.links) == ("", [of_an, of_binh])
    assert (effect.parent, list(effect.links)) == (of_an, [batch.traceparent])


def test_what_is_not_sampled_costs_no_span(kept: Kept):
    told = handle([(AN, trace_of("a", sampled=False)), (BINH, "")], [AN, BINH])
    assert kept.spans == []
    assert context.causes() is None
    assert all(trace.endswith("-00") for trace in told)


def test_a_failure_is_told_by_its_type_alone_and_its_effects_are_not(kept: Kept, sampler: None):
    context.sample_by(lambda trace: True)
    call, links = spans.call_for("toy.fails", [(str(AN), trace_of("a")), (str(BINH), trace_of("b"))])

    def fail() -> None:
        context.traceparent(AN)
        raise ValueError("the address of An")

    with pytest.raises(ValueError, match="of An"), spans.work(call, links=links):
        fail()
    [span] = kept.spans
    assert span.error == "ValueError"


def test_a_timer_that_told_nobody_leaves_no_span(kept: Kept, sampler: None):
    context.sample_by(lambda trace: True)
    for tells in (False, True):
        call, _ = spans.call_for("toy.tick", [])
        with spans.work(call, only_if_told=True):
            if tells:
                context.outgoing_metadata()
    assert len(kept.spans) == 1


def test_work_goes_on_when_a_span_cannot_be_recorded(monkeypatch: pytest.MonkeyPatch, caplog):
    class Broken:
        def add(self, span: Span) -> None:
            raise RuntimeError("full")

    monkeypatch.setattr(spans, "sink", Broken())
    assert handle([(AN, trace_of("a"))], [AN])
    assert "was not recorded" in caplog.text


def test_without_a_sampler_nothing_that_begins_here_is_recorded(sampler: None):
    assert context.child_traceparent().endswith("-00")
    context.sample_by(lambda trace: trace < "8")
    made = [context.child_traceparent() for _ in range(200)]
    assert {context.is_sampled(trace) for trace in made} == {True, False}
    assert all(context.is_sampled(trace) == (trace[3] < "8") for trace in made)
    assert context.is_sampled(context.child_traceparent(trace_of("f")))


def test_who_logs_a_failure_later_finds_its_work():
    call, _ = spans.call_for("toy.fails", [(str(AN), trace_of("a"))])
    with pytest.raises(ValueError, match="no") as caught, spans.work(call):
        raise ValueError("no")
    assert context.current() is None
    with context.of_error(caught.value, trace_of("b")):
        assert context.current() is call
    assert context.current() is None
    # What no work raised is about something that may have a trace.
    for trace, expected in ((trace_of("b"), trace_of("b")), ("", None), ("junk", None)):
        with context.of_error(ValueError("no"), trace):
            found = context.current()
            assert (found.traceparent if found else None) == expected
