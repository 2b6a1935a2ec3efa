"""What a thread works for: ids and traces that are valid whatever the caller sends."""

from __future__ import annotations

import re
import threading
import time

from hypothesis import given
from hypothesis import strategies as st

from services.kit import context
from services.kit.context import CallContext

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
VALID = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def test_outside_of_a_call_there_is_nothing():
    assert context.current() is None
    assert (context.request_id(), context.principal(), context.traceparent()) == ("", "", "")
    assert context.remaining() is None
    assert context.outgoing_metadata() == ()


def test_a_block_sets_and_restores():
    with context.activate(CallContext("r1", principal="an", traceparent=TRACE)):
        with context.activate(CallContext("r2")):
            assert context.request_id() == "r2"
        assert context.principal() == "an"
        assert context.outgoing_metadata() == (("x-request-id", "r1"), ("traceparent", TRACE))
    assert context.current() is None


def test_threads_do_not_share_it():
    seen = []
    with context.activate(CallContext("r1")):
        thread = threading.Thread(target=lambda: seen.append(context.current()))
        thread.start()
        thread.join()
    assert seen == [None]


def test_the_time_left_is_never_negative():
    with context.activate(CallContext("r", deadline=time.monotonic() - 5)):
        assert context.remaining() == 0
    with context.activate(CallContext("r", deadline=time.monotonic() + 500)):
        left = context.remaining()
        assert left is not None
        assert 400 < left <= 500


def test_a_child_stays_in_its_trace():
    child = context.child_traceparent(TRACE)
    assert VALID.fullmatch(child)
    assert child[:36] == TRACE[:36]
    assert child[36:52] != TRACE[36:52]
    assert child[52:] == TRACE[52:]


@given(st.text(max_size=80))
def test_any_text_leads_to_a_valid_trace_and_a_safe_id(text):
    assert VALID.fullmatch(context.child_traceparent(text))
    assert re.fullmatch(r"[A-Za-z0-9._:-]{1,64}", context.new_request_id(text))


def test_invalid_traces_are_replaced():
    zero = f"00-{'0' * 32}-b7ad6b7169203331-01"
    assert context.child_traceparent(zero)[3:35] != "0" * 32
    assert context.new_request_id("abc-123") == "abc-123"
    assert context.new_request_id("a b") != "a b"
