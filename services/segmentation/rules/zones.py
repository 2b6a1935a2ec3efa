"""Names of time zones that rules may use.

Python and PostgreSQL each bring their own copy of the IANA database; where the two are of different releases,
local times of the changed zones and years differ. PostgreSQL's copy decides membership.
"""

from __future__ import annotations

from difflib import get_close_matches
from functools import cache, lru_cache
from zoneinfo import ZoneInfo, available_timezones

ABBREVIATIONS = frozenset(("CET", "EET", "EST", "HST", "MET", "MST", "WET"))
"""Names that PostgreSQL reads as abbreviations of a fixed offset: summer time would be lost."""

DAY_SKIPPING = frozenset(
    (
        "Asia/Manila",
        "Kwajalein",
        "Pacific/Apia",
        "Pacific/Chuuk",
        "Pacific/Enderbury",
        "Pacific/Fakaofo",
        "Pacific/Guam",
        "Pacific/Kanton",
        "Pacific/Kiritimati",
        "Pacific/Kosrae",
        "Pacific/Kwajalein",
        "Pacific/Palau",
        "Pacific/Pohnpei",
        "Pacific/Ponape",
        "Pacific/Saipan",
        "Pacific/Truk",
        "Pacific/Yap",
    )
)
"""Zones in which a whole calendar day never was (they crossed the date line eastwards)."""


@cache
def known_zones() -> frozenset[str]:
    """Return the names of the IANA database; folders and files that are no places are left out."""
    # Places begin with a capital letter; what machines add to the folder does not.
    return frozenset(
        name
        for name in available_timezones()
        if name[:1].isupper() and name != "Factory" and name not in ABBREVIATIONS
    )


@lru_cache(maxsize=1024)
def zone_problem(name: str) -> str | None:
    """Return why a name cannot be used as a time zone and what to write; None when it can."""
    if name in known_zones():
        return None
    if name in ABBREVIATIONS:
        return f'the time zone "{name}" is an abbreviation: write a place, such as "Europe/Brussels"'
    if name[:1] in ("+", "-") or name[:3] in ("UTC", "GMT"):
        return (
            f'the time zone "{name[:40]}" is an offset: write a place, such as "Asia/Ho_Chi_Minh", "UTC", '
            'or "Etc/GMT-7" for seven hours ahead of UTC'
        )
    close = get_close_matches(name, sorted(known_zones()), 1)
    hint = f'did you mean "{close[0]}"?' if close else 'use an IANA name like "Asia/Ho_Chi_Minh"'
    return f'there is no time zone "{name[:40]}": {hint}'


@lru_cache(maxsize=1024)
def zone_of(name: str) -> ZoneInfo:
    """Return the zone; ValueError when there is none."""
    problem = zone_problem(name)
    if problem is not None:
        raise ValueError(problem)
    return ZoneInfo(name)
