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


def test_a_former_key_and_one_to_come_still_count_and_sign_nothing():
    former, present, coming = ("former key " * 2, "present key " * 2, "coming key " * 2)
    key = bytes(range(16))
    rotated = Signer(present, (former, coming))
    for one in (former, coming):
        assert rotated.verify(Signer(one).sign("c", key)) == ("c", key)
        assert rotated.matches("page", b"x", Signer(one).mac("page", b"x")[:8])
        assert not rotated.matches("other", b"x", Signer(one).mac("page", b"x"))
    assert Signer(present).verify(rotated.sign("c", key)) == ("c", key)
    with pytest.raises(InvalidArgument):
        Signer(present).verify(Signer(former).sign("c", key))
    with pytest.raises(InvalidArgument):
        Signer(present, ("short",))


def test_a_part_of_a_code_that_is_too_short_is_none():
    signer = Signer("s" * 16)
    code = signer.mac("page", b"x")
    assert [signer.matches("page", b"x", code[:length]) for length in (0, 1, 7, 8, 32)] == [
        *(False, False, False),
        *(True, True),
    ]
    assert not signer.matches("page", b"x", code + b"x")
