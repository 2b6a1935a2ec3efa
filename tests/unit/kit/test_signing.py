"""Signed tokens: they fit into a mail address, survive a change of case, and cannot be made by others."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kit.errors import InvalidArgument
from services.kit.signing import Signer

SIGNER = Signer("a secret of the tests")
kinds = st.text(alphabet="abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=8)
keys = st.binary(min_size=16, max_size=16)


@given(kinds, keys)
def test_a_token_comes_back_and_fits_into_a_local_part(kind, key):
    token = SIGNER.sign(kind, key)
    assert re.fullmatch(r"[a-z2-7]{1,56}", token)
    assert SIGNER.verify(token) == (kind, key)
    assert SIGNER.verify(token.upper()) == (kind, key)


@given(kinds, keys, st.data())
def test_a_changed_token_is_refused(kind, key, data):
    token = SIGNER.sign(kind, key)
    place = data.draw(st.integers(0, len(token) - 1))
    letter = data.draw(st.sampled_from("abcxyz234567").filter(lambda letter: letter != token[place]))
    with pytest.raises(InvalidArgument):
        SIGNER.verify(token[:place] + letter + token[place + 1 :])


@given(st.text(max_size=80))
def test_nonsense_is_refused(text):
    with pytest.raises(InvalidArgument) as caught:
        SIGNER.verify(text)
    assert caught.value.reason == "INVALID_TOKEN"


def test_another_key_verifies_nothing():
    with pytest.raises(InvalidArgument):
        Signer("another secret, long enough").verify(SIGNER.sign("case", bytes(16)))


def test_a_code_for_one_purpose_is_none_for_another():
    assert SIGNER.mac("page", b"x") != SIGNER.mac("token", b"x")


@pytest.mark.parametrize(
    ("kind", "key"), [("", bytes(16)), ("toolongkind", bytes(16)), ("A", bytes(16)), ("a", b"x")]
)
def test_misuse_is_refused(kind, key):
    with pytest.raises(ValueError, match="kind of 1 to 8"):
        SIGNER.sign(kind, key)


def test_a_short_secret_is_refused():
    with pytest.raises(InvalidArgument, match="RAPPORT_SECRET_KEY"):
        Signer("short")
