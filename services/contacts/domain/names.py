"""How a person's name is written."""

from __future__ import annotations

# Languages that put the family name first, and those of them that write no space between the parts.
_FAMILY_FIRST = frozenset(("vi", "zh", "ja", "ko", "hu"))
_NO_SPACE = frozenset(("zh", "ja", "ko"))


def full_name(given: str, family: str, language: str) -> str:
    """Return the full name in the order of a language (BCP 47; empty: given name first).

    Vietnamese and Hungarian put the family name first; Chinese, Japanese and Korean too, and without a space
    when the name is written in their own letters.
    """
    if not given or not family:
        return given or family
    primary = language.partition("-")[0].lower()
    if primary not in _FAMILY_FIRST:
        return f"{given} {family}"
    if primary in _NO_SPACE and not (given.isascii() or family.isascii()):
        return f"{family}{given}"
    return f"{family} {given}"
