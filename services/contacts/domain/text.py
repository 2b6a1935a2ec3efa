"""The normal form of texts, and the folded form in which names are searched."""

from __future__ import annotations

import re
import unicodedata

from services.contacts.domain.errors import Refused

_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\ud800-\udfff]")
# Letters with a stroke or a missing dot, which have no decomposition.
_STROKES = {"đ": "d", "ð": "d", "ø": "o", "ł": "l", "ħ": "h", "ŧ": "t", "ı": "i"}


class _Folding(dict[int, str]):
    """Map each character to its folded form, worked out when it first appears; the table of str.translate."""

    def __missing__(self, code: int) -> str:
        apart = unicodedata.normalize("NFD", chr(code).casefold())
        bare = "".join(_STROKES.get(one, one) for one in apart if not 0x300 <= ord(one) < 0x370)
        folded = self[code] = unicodedata.normalize("NFC", bare)
        return folded


_FOLDING = _Folding()


def clean_line(text: str) -> str:
    """Return a one-line text in NFC, without outer white space and with single spaces inside.

    Raises Refused for control characters, which PostgreSQL or a mail header could not carry.
    """
    if text.isascii():
        if text.isprintable():
            text = text.strip(" ")
            return " ".join(text.split()) if "  " in text else text
    else:
        text = unicodedata.normalize("NFC", text)
    if _CONTROL.search(text):
        raise Refused("holds a control character; remove it")
    return " ".join(text.split())


def clean_text(text: str) -> str:
    """Return a text of several lines in NFC; raises Refused for a NUL character."""
    if "\0" in text:
        raise Refused("holds a NUL character; remove it")
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def limited(text: str, length: int) -> str:
    """Return `clean_line(text)`; raises Refused when it has more than `length` characters."""
    text = clean_line(text)
    if len(text) > length:
        raise Refused(f"has {len(text)} characters; at most {length} are allowed")
    return text


def fold(text: str) -> str:
    """Return the form in which texts are searched: no accents, no case, `đ` as `d`.

    Takes one character after the other, so a text in NFC holds the folded form of each of its parts. Only the combining
    marks U+0300 to U+036F fall away, as those of other scripts are letters in all but name.
    """
    return text.lower() if text.isascii() else unicodedata.normalize("NFC", text).translate(_FOLDING)
