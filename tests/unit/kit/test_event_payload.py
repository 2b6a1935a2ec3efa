from __future__ import annotations

import pytest
from google.protobuf.wrappers_pb2 import StringValue
from hypothesis import given
from hypothesis import strategies as st
from rapport.events.v1 import events_pb2

from services.kit.errors import InvalidArgument
from services.kit.events import unpack
from services.kit.events.payload import message_class, parse
from services.kit.locks import lock_key


@given(st.text())
def test_a_payload_comes_back(text: str) -> None:
    event = events_pb2.Event(id="1", type="greeting.said", source="sales")
    event.data.Pack(StringValue(value=text))
    assert unpack(event) == StringValue(value=text)


def test_stubs_that_nobody_imported_are_found() -> None:
    assert (
        message_class("rapport.operations.v1.Operation").DESCRIPTOR.full_name
        == "rapport.operations.v1.Operation"
    )


def test_an_unknown_type_is_named() -> None:
    event = events_pb2.Event(id="7", type="greeting.said", source="sales")
    event.data.type_url = "type.googleapis.com/rapport.nowhere.v1.Nothing"
    with pytest.raises(InvalidArgument, match=r"event 7 .*'rapport\.nowhere\.v1\.Nothing'") as caught:
        unpack(event)
    assert caught.value.reason == "UNKNOWN_MESSAGE_TYPE"


def test_bytes_that_do_not_parse_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="here: not a valid google") as caught:
        parse("google.protobuf.StringValue", b"\xff", "here")
    assert caught.value.reason == "MALFORMED_MESSAGE"


@given(st.text(), st.text())
def test_lock_keys_fit_and_differ(one: str, other: str) -> None:
    assert -(2**63) <= lock_key(one) < 2**63
    assert (lock_key(one) == lock_key(other)) == (one == other)
