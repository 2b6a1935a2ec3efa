"""Codes of languages, regions and time zones."""

from __future__ import annotations

import re
from functools import lru_cache
from importlib.resources import files
from zoneinfo import ZoneInfo

from services.contacts.domain.errors import Refused

_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z]{4})?(-([A-Za-z]{2}|[0-9]{3}))?(-[A-Za-z0-9]{1,8})*")
_REGION = re.compile(r"[A-Za-z]{2}")
_SOURCE = re.compile(r"[a-z0-9][a-z0-9_.-]{0,59}")


@lru_cache(maxsize=4096)
def language(code: str) -> str:
    """Return a BCP 47 tag in its usual spelling, such as `zh-Hans-CN`; raises Refused."""
    code = code.strip().replace("_", "-")
    if not code:
        return ""
    if len(code) > 35 or not _LANGUAGE.fullmatch(code):
        raise Refused(f"{code[:40]!r} is no BCP 47 language tag; write it like 'vi' or 'zh-Hans'")
    first, *rest = code.split("-")
    return "-".join([first.lower(), *map(_subtag, rest)])


def _subtag(part: str) -> str:
    if len(part) == 4 and part.isalpha():
        return part.title()
    return part.upper() if len(part) == 2 else part.lower()


@lru_cache(maxsize=4096)
def region(code: str) -> str:
    """Return an ISO 3166-1 alpha-2 code in capitals; raises Refused for one that no country has."""
    code = code.strip()
    if not code:
        return ""
    if not _REGION.fullmatch(code):
        raise Refused(f"{code[:40]!r} is no ISO 3166-1 alpha-2 code; write it like 'VN'")
    upper = code.upper()
    if upper not in _regions():
        hint = "; the United Kingdom is 'GB'" if upper == "UK" else ""
        raise Refused(f"{code!r} is the ISO 3166-1 alpha-2 code of no country{hint}")
    return upper


@lru_cache(maxsize=1)
def _regions() -> frozenset[str]:
    """Return the codes assigned by ISO 3166-1, as the time zone database has them, and XK, which it leaves to users."""
    table = files("tzdata.zoneinfo").joinpath("iso3166.tab").read_text(encoding="utf-8")
    codes = {line.split("\t")[0] for line in table.splitlines() if line and not line.startswith("#")}
    return frozenset(codes | {"XK"})


@lru_cache(maxsize=4096)
def time_zone(name: str) -> str:
    """Return an IANA time zone name as it is; raises Refused for one that is not known here."""
    name = name.strip()
    if not name:
        return ""
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise Refused(f"{name[:70]!r} is no IANA time zone; write it like 'Asia/Ho_Chi_Minh'") from None
    return name


@lru_cache(maxsize=4096)
def source(name: str) -> str:
    """Return the name of an outside system; raises Refused when it is not a lower-case word."""
    if not _SOURCE.fullmatch(name):
        raise Refused(
            f"{name[:70]!r} names no system; write lower-case letters, digits, '_', '.', '-', like 'shop'"
        )
    return name
