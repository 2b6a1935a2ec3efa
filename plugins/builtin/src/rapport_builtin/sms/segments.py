"""How many segments a text takes as SMS (3GPP TS 23.038 and 23.040)."""

from __future__ import annotations

from dataclasses import dataclass

_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
# These take an escape and a second septet, which are not parted.
_EXTENDED = frozenset("\f^{}\\[~]|€")
GSM7, UCS2 = "gsm7", "ucs2"
# Of one message, and of each part of several, which lose six octets to the header that joins them.
_SINGLE = {GSM7: 160, UCS2: 70}
_PART = {GSM7: 153, UCS2: 67}


@dataclass(frozen=True, slots=True)
class Size:
    """Hold the encoding a text needs, its length in units of it (septets, or 16 bits), and its segments."""

    encoding: str
    units: int
    segments: int


def size_of(text: str) -> Size:
    """Return the size of a text: seven bits where its letters allow it, else UCS-2 (UTF-16)."""
    encoding = GSM7 if all(letter in _BASIC or letter in _EXTENDED for letter in text) else UCS2
    widths = [_width(letter, encoding) for letter in text]
    units = sum(widths)
    if units <= _SINGLE[encoding]:
        return Size(encoding, units, 1)
    segments, room = 1, _PART[encoding]
    for width in widths:
        if width > room:  # an escaped letter or a surrogate pair goes to the next part as a whole
            segments, room = segments + 1, _PART[encoding]
        room -= width
    return Size(encoding, units, segments)


def _width(letter: str, encoding: str) -> int:
    if encoding == GSM7:
        return 2 if letter in _EXTENDED else 1
    return 2 if ord(letter) > 0xFFFF else 1
