"""The accent- and case-insensitive form of a text, the same in Python and in SQL.

The form is: canonical decomposition (NFD), combining marks U+0300-U+036F removed, ASCII letters to small
ones, and the letters of the Latin, Greek and Cyrillic blocks below to their small letter; letters that do not
decompose but are written with a stroke (đ, ø, ł, ...) to their base letter. So ``fold("Đà Nẵng") == "da
nang"``.
"""

from __future__ import annotations

import unicodedata

_BLOCKS = ((0x00C0, 0x024F), (0x0370, 0x03FF), (0x0400, 0x052F), (0x1E00, 0x1EFF))
_STROKES = {"đ": "d", "ð": "d", "ø": "o", "ł": "l", "ħ": "h", "ŧ": "t", "ı": "i", "ς": "σ"}


def _pairs() -> dict[str, str]:
    pairs: dict[str, str] = {}
    for first, last in _BLOCKS:
        for code in range(first, last + 1):
            character = chr(code)
            if unicodedata.normalize("NFD", character) != character:
                continue
            small = character.lower()
            target = _STROKES.get(small, small)
            if len(target) == 1 and target != character:
                pairs[character] = target
    return pairs


FOLDED_LETTERS: dict[str, str] = _pairs()
_TABLE = str.maketrans({**FOLDED_LETTERS, **{chr(c): chr(c + 32) for c in range(65, 91)}})
_MARKS = dict.fromkeys(range(0x300, 0x370))


def fold_text(text: str) -> str:
    """Return the form of a text that ignores accents and case."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFD", text).translate(_MARKS).translate(_TABLE)
