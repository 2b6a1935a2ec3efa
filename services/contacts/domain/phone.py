"""The normal form of phone numbers: E.164.

`phonenumbers` takes 30 microseconds for a number, which would be most of the time of an import. Numbers that
need none of its cleverness are therefore matched against patterns compiled from its own metadata; whatever
these do not decide goes to the library.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

import phonenumbers
from phonenumbers import PhoneMetadata
from phonenumbers.data import _COUNTRY_CODE_TO_REGION_CODE as REGIONS_OF_CODE

from services.contacts.domain.errors import Refused

_SEPARATORS = str.maketrans("", "", " -.()\u00a0")
_KINDS = (
    "fixed_line",
    "mobile",
    "toll_free",
    "premium_rate",
    "shared_cost",
    "voip",
    "personal_number",
    "pager",
    "uan",
    "voicemail",
)


_ABROAD = (
    "; write it with its country code, like '+84 901 234 567', or say where numbers without one belong: "
    "--region of an import, RAPPORT_DEFAULT_REGION of the services"
)


@dataclass(frozen=True, slots=True)
class _Plan:
    """Hold the numbering plan of the main region of a calling code, as far as it needs no cleverness.

    valid: national numbers that are valid and start with neither 0 nor anything like a national prefix;
    general: the outline of all national numbers; prefix: what comes before a national number, None when it
    rewrites the number; abroad: what one dials for another country.
    """

    code: str
    valid: re.Pattern[str]
    general: re.Pattern[str]
    prefix: re.Pattern[str] | None
    abroad: re.Pattern[str]


def normal_phone(text: str, default_region: str = "") -> str:
    """Return a number as E.164, such as `+84901234567`; raises Refused.

    default_region: the region (ISO 3166) in which a number without a country code is read. The number must
    be valid in the numbering plan of its country, not merely of a possible length.
    """
    digits = text.translate(_SEPARATORS)
    if digits.isascii():
        quick = _international(digits[1:]) if digits[:1] == "+" else _national(digits, default_region)
        if quick:
            return quick
    return _parsed(text, default_region)


def _international(digits: str) -> str:
    if not digits.isdigit():
        return ""
    for length in (2, 1, 3):
        plan = _plan_of_code(digits[:length])
        if plan is not None:
            return f"+{digits}" if plan.valid.fullmatch(digits, length) else ""
    return ""


def _national(digits: str, region: str) -> str:
    plan = _plan_of_region(region) if region else None
    if plan is None or not digits.isdigit() or digits.startswith(plan.code) or plan.abroad.match(digits):
        return ""
    if plan.valid.fullmatch(digits):
        return f"+{plan.code}{digits}"
    prefix = plan.prefix.match(digits) if plan.prefix else None
    if (
        prefix is not None
        and plan.valid.fullmatch(digits, prefix.end())
        and not plan.general.fullmatch(digits)
    ):
        return f"+{plan.code}{digits[prefix.end() :]}"
    return ""


@cache
def _plan_of_region(region: str) -> _Plan | None:
    metadata = PhoneMetadata.metadata_for_region(region, None)
    if metadata is None or metadata.country_code is None:
        return None
    code = str(metadata.country_code)
    # Only the main region of a shared code can be told without looking at the others.
    return _plan_of_code(code) if REGIONS_OF_CODE[metadata.country_code][0] == region else None


@cache
def _plan_of_code(code: str) -> _Plan | None:
    regions = REGIONS_OF_CODE.get(int(code)) if code.isdigit() and code[0] != "0" else None
    metadata = PhoneMetadata.metadata_for_region(regions[0], None) if regions else None
    if metadata is None or metadata.leading_digits or metadata.general_desc is None:
        return None
    general = metadata.general_desc.national_number_pattern
    if not general:
        return None
    patterns = []
    for kind in _KINDS:
        description = getattr(metadata, kind)
        if description is not None and description.national_number_pattern:
            lengths = "|".join(f".{{{n}}}" for n in description.possible_length if n > 0)
            patterns.append(
                f"(?=(?:{lengths})$)(?:{description.national_number_pattern})" if lengths else "(?!)"
            )
    prefix = metadata.national_prefix_for_parsing
    # A number that begins like a national prefix might lose it: the library must decide.
    guard = f"(?!0)(?!{prefix})" if prefix else "(?!0)"
    return _Plan(
        code,
        valid=re.compile(rf"{guard}(?=(?:{general})$)(?:{'|'.join(patterns)})"),
        general=re.compile(general),
        prefix=re.compile(prefix) if prefix and not metadata.national_prefix_transform_rule else None,
        abroad=re.compile(metadata.international_prefix or "(?!)"),
    )


def _parsed(text: str, region: str) -> str:
    try:
        number = phonenumbers.parse(text, region or None)
    except phonenumbers.NumberParseException:
        raise Refused(f"no valid phone number{'' if region else _ABROAD}") from None
    if number.extension:
        raise Refused("has an extension, which an identity cannot have; leave it out")
    if not phonenumbers.is_valid_number(number):
        raise Refused("no valid phone number: its country has no such number")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
