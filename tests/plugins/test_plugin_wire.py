"""Frames between core and plugin host: what travels arrives unchanged, junk is refused."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rapport_sdk import Event, Profile

from services.kit.plugins import wire

NOW = datetime(2026, 1, 1, tzinfo=UTC)

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.text()
    | st.datetimes(timezones=st.just(UTC))
    | st.dates()
    | st.timedeltas()
    | st.decimals(allow_nan=False)
    | st.uuids(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.just("$time"), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(json_values)
def test_what_travels_arrives_unchanged(value: Any) -> None:
    assert wire.loads(wire.dumps(value)) == value


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff", b'{"$uuid": 5}', b'{"$decimal": []}', b"[" * 100_000, b'{"$time": 1e400}']
)
def test_junk_frames_are_an_error_of_ours(body: bytes) -> None:
    with pytest.raises(wire.WireError):
        wire.loads(body)


def test_what_cannot_travel_is_refused() -> None:
    for value in (object(), {1: 2}, NOW.replace(tzinfo=None), b"x"):
        with pytest.raises(wire.WireError):
            wire.dumps(value)


def test_profiles_travel() -> None:
    event = Event("a.b", NOW, UUID(int=1), None, Decimal("1.50"), {"$x": 1})
    profile = Profile(UUID(int=2), tags=("a",), consents={"email_marketing": "granted"}, history=(event,))
    assert wire.decode_profile(wire.loads(wire.dumps(wire.encode_profile(profile)))) == profile
