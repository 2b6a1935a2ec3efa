"""Which mails answer the question how it was."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.care.domain.survey import MAX_COMMENT, Answer, read_answer


@pytest.mark.parametrize(
    ("text", "score", "comment"),
    [
        ("5", 5, ""),
        ("  1!", 1, ""),
        ("4/5", 4, ""),
        ("3. It took long", 3, "It took long"),
        ("2 stars\nToo slow", 2, "stars\nToo slow"),
        ("> How was it?\n> 1 to 5\n\n4", 4, ""),
        ("On 22 Nov, care wrote:\n> How was it?\n\n5 thanks", 5, "thanks"),
        ("5 Nov 2026, care wrote:\n> How was it?\n\n2", 2, ""),
        ("5\nOn 22 Nov, care wrote:\n> 1 is bad", 5, ""),
    ],
)
def test_a_number_at_the_start_of_the_customers_own_words_is_a_score(text: str, score: int, comment: str):
    assert read_answer(text) == Answer(score, comment)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "(no text)",
        "0",
        "6",
        "10",
        "55",
        "-1",
        "4.5",
        "3,5",
        "3/10",
        "2-3 weeks late",
        "5:30 is when it broke",
        "1st of all, it is broken",
        "Not solved\n5",
        "> 5",
        "five",
    ],
)
def test_anything_else_is_none(text: str):
    assert read_answer(text) is None


@given(st.integers(1, 5), st.text(max_size=9_000))
def test_any_words_may_follow(score: int, words: str):
    found = read_answer(f"{score}\n{words}")
    assert found is not None
    assert found.score == score
    assert len(found.comment) <= MAX_COMMENT


@given(st.text())
def test_any_text_is_read(text: str):
    found = read_answer(text)
    assert found is None or 1 <= found.score <= 5
