"""Page tokens bring back the position, and only to the question that they belong to."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kit import paging
from services.kit.errors import InvalidArgument
from services.kit.signing import Signer
from tests.support.echo import pb

SIGNER = Signer("a secret of the tests")
values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(),
    st.uuids(),
    st.decimals(allow_nan=False),
    st.datetimes(timezones=st.just(UTC)),
)


@given(st.dictionaries(st.text(alphabet="abcxyz_", min_size=1), values, max_size=4), st.text())
def test_a_position_comes_back(position, query):
    token = paging.encode(position, query, SIGNER)
    assert paging.decode(token, query, SIGNER) == position


def test_types_survive():
    position = {
        "time": datetime(2026, 3, 1, 10, 0, 0, 123456, tzinfo=UTC),
        "id": UUID(int=5),
        "amount": Decimal("1.10"),
    }
    found = paging.decode(paging.encode(position, "q", SIGNER), "q", SIGNER)
    assert found is not None
    assert {key: type(value) for key, value in found.items()} == {
        "time": datetime,
        "id": UUID,
        "amount": Decimal,
    }


def test_no_token_is_the_first_page():
    assert paging.decode("", "q", SIGNER) is None


def test_the_size_may_change_from_page_to_page_but_not_the_question():
    token = paging.encode({"id": 3}, pb.ListWordsRequest(page_size=10, filter="a"), SIGNER)
    again = pb.ListWordsRequest(page_size=50, page_token=token, filter="a")
    assert paging.decode(token, again, SIGNER) == {"id": 3}
    other = pb.ListWordsRequest(page_size=10, page_token=token, filter="b")
    with pytest.raises(InvalidArgument) as caught:
        paging.decode(token, other, SIGNER)
    assert caught.value.reason == "PAGE_TOKEN_MISMATCH"
    assert caught.value.violations[0].field == "page_token"


@given(st.data())
def test_a_changed_token_is_refused(data):
    token = paging.encode({"id": 3}, "q", SIGNER)
    place = data.draw(st.integers(0, len(token) - 2))
    letter = data.draw(st.sampled_from("ABCxyz019-_").filter(lambda letter: letter != token[place]))
    with pytest.raises(InvalidArgument) as caught:
        paging.decode(token[:place] + letter + token[place + 1 :], "q", SIGNER)
    assert caught.value.reason == "INVALID_PAGE_TOKEN"


@pytest.mark.parametrize("token", ["x", "!!!!", "ếế", "AAAA", "A" * 500])
def test_nonsense_is_refused(token):
    with pytest.raises(InvalidArgument, match="next_page_token"):
        paging.decode(token, "q", SIGNER)


def test_another_installations_token_is_refused():
    token = paging.encode({"id": 3}, "q", Signer("another secret, long enough"))
    with pytest.raises(InvalidArgument):
        paging.decode(token, "q", SIGNER)


def test_page_sizes():
    assert [paging.page_size(n, 50, 1000) for n in (0, 1, 1000, 5000)] == [50, 1, 1000, 1000]
    with pytest.raises(InvalidArgument):
        paging.page_size(-1, 50, 1000)
