"""How many segments a text takes: known lengths, and laws beside a slow way to part it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rapport_builtin.sms.segments import _BASIC, _EXTENDED, size_of

GSM_TABLE = "".join(sorted(_BASIC))


@pytest.mark.parametrize(
    ("text", "encoding", "units", "segments"),
    [
        ("", "gsm7", 0, 1),
        ("a" * 160, "gsm7", 160, 1),
        ("a" * 161, "gsm7", 161, 2),
        ("a" * 306, "gsm7", 306, 2),
        ("a" * 307, "gsm7", 307, 3),
        ("€" * 80, "gsm7", 160, 1),
        ("a" * 159 + "€", "gsm7", 161, 2),
        # The escaped letter does not fit into the last place of the first part, and so a third part is needed.
        ("a" * 152 + "€" + "a" * 152, "gsm7", 306, 3),
        ("ñü¿@£Δ\n\r", "gsm7", 8, 1),
        ("ç", "ucs2", 1, 1),
        ("Chào anh Đặng", "ucs2", 13, 1),
        ("好" * 70, "ucs2", 70, 1),
        ("好" * 71, "ucs2", 71, 2),
        ("好" * 134, "ucs2", 134, 2),
        ("好" * 135, "ucs2", 135, 3),
        ("😀" * 35, "ucs2", 70, 1),
        ("好" * 66 + "😀" + "好" * 66, "ucs2", 134, 3),
    ],
)
def test_known_sizes(text: str, encoding: str, units: int, segments: int) -> None:
    size = size_of(text)
    assert (size.encoding, size.units, size.segments) == (encoding, units, segments)


def test_the_alphabet_has_its_127_letters_and_10_escaped_ones() -> None:
    assert (len(_BASIC), len(_EXTENDED)) == (127, 10)
    assert not _BASIC & _EXTENDED


def parts_by_hand(text: str, single: int, part: int, width: dict[str, int]) -> int:
    def length(piece: str) -> int:
        return sum(width.get(letter, 1) for letter in piece)

    if length(text) <= single:
        return 1
    parts = [""]
    for letter in text:
        parts = [*parts[:-1], parts[-1] + letter] if length(parts[-1] + letter) <= part else [*parts, letter]
    return len(parts)


@given(st.text(alphabet=GSM_TABLE[:5] + "€[]", max_size=330))
@settings(max_examples=40)
def test_seven_bits_agree_with_parting_by_hand(text: str) -> None:
    assert size_of(text).segments == parts_by_hand(text, 160, 153, {"€": 2, "[": 2, "]": 2})


@given(st.text(alphabet="好ç😀", min_size=1, max_size=150))
@settings(max_examples=40)
def test_ucs2_agrees_with_parting_by_hand(text: str) -> None:
    assert size_of(text).segments == parts_by_hand(text, 70, 67, {"😀": 2})
    assert size_of(text).units == len(text.encode("utf-16-be")) // 2
