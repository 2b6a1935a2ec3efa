"""Filters that write values for people: money, numbers, dates and times in the contact's zone, names.

Separators and the order of dates follow the language of the content that is rendered; a pattern overrides them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from datetime import date, datetime, tzinfo
from decimal import ROUND_HALF_UP, Decimal, DecimalException, localcontext
from decimal import Context as DecimalContext
from typing import Any

from jinja2 import Undefined, pass_context
from jinja2.exceptions import FilterArgumentError
from jinja2.runtime import Context
from markupsafe import Markup

LANGUAGE = "__language"
_MAX_DIGITS = 40
# Group and decimal separators (CLDR); the space is one that does not break.
_SEPARATORS = {
    **dict.fromkeys(
        ("vi", "de", "es", "it", "pt", "id", "tr", "nl", "da", "el", "hr", "sl", "ro"), (".", ",")
    ),
    **dict.fromkeys(
        ("fr", "ru", "uk", "pl", "cs", "sk", "sv", "nb", "no", "fi", "bg", "hu"), ("\u00a0", ",")
    ),
}
_DATES = {
    **dict.fromkeys(("vi", "fr", "es", "it", "pt", "id", "el", "th"), "dd/MM/yyyy"),
    **dict.fromkeys(
        ("de", "ru", "uk", "pl", "cs", "sk", "tr", "ro", "fi", "nb", "no", "da", "bg"), "dd.MM.yyyy"
    ),
}
_DECIMALS = {
    **dict.fromkeys(
        [
            "BIF",
            "CLP",
            "DJF",
            "GNF",
            "ISK",
            "JPY",
            "KMF",
            "KRW",
            "PYG",
            "RWF",
            "UGX",
            "UYI",
            "VND",
            "VUV",
            "XAF",
            "XOF",
            "XPF",
        ],
        0,
    ),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
}  # ISO 4217; all others have two
_FIELDS: Mapping[str, Callable[[datetime], str]] = {
    "yyyy": lambda time: f"{time.year:04}",
    "yy": lambda time: f"{time.year % 100:02}",
    "MM": lambda time: f"{time.month:02}",
    "M": lambda time: str(time.month),
    "dd": lambda time: f"{time.day:02}",
    "d": lambda time: str(time.day),
    "HH": lambda time: f"{time.hour:02}",
    "H": lambda time: str(time.hour),
    "mm": lambda time: f"{time.minute:02}",
    "ss": lambda time: f"{time.second:02}",
}
_FIELD = re.compile("yyyy|yy|MM|M|dd|d|HH|H|mm|ss")
_WORD = re.compile(r"[^\s\-'’(\[/.]+")


def _language(context: Context) -> str:
    return str(context.get(LANGUAGE) or "").replace("_", "-").lower().partition("-")[0]


def _missing(value: Any) -> bool:
    return value is None or isinstance(value, Undefined) or value == ""


def _decimal(value: Any) -> Decimal:
    if isinstance(value, bool):
        raise FilterArgumentError("a truth value is no number")
    try:
        number = Decimal(str(value).strip())
    except DecimalException as error:
        raise FilterArgumentError("the value is no number") from error
    if not number.is_finite() or number.adjusted() >= _MAX_DIGITS:
        raise FilterArgumentError(f"the value has more than {_MAX_DIGITS} digits")
    return number


def _written(context: Context, number: Decimal, decimals: int | None) -> str:
    if decimals is not None:
        if not 0 <= decimals <= 10:
            raise FilterArgumentError("between 0 and 10 decimals are possible")
        with localcontext(DecimalContext(prec=_MAX_DIGITS + 12)):
            number = number.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP)
    elif number.adjusted() < -10:
        number = Decimal(0)
    group, point = _SEPARATORS.get(_language(context), (",", "."))
    return f"{number:,f}".translate({ord(","): group, ord("."): point})


@pass_context
def number(context: Context, value: Any, decimals: int | None = None) -> str:
    """Write a number with separators; decimals: rounded half up to so many, 0 to 10, or as they are."""
    return "" if _missing(value) else _written(context, _decimal(value), decimals)


@pass_context
def money(context: Context, value: Any, currency: str = "") -> str:
    """Write an amount with the decimals of its currency (ISO 4217), and the currency's code after it.

    value: a number, or what events hold: `amount` and `currency_code`, or `units`, `nanos` and `currency_code`.
    """
    if _missing(value):
        return ""
    if isinstance(value, Mapping):
        currency = currency or str(value.get("currency_code") or value.get("currency") or "")
        if "amount" in value:
            value = value["amount"]
        else:
            value = _decimal(value.get("units") or 0) + _decimal(value.get("nanos") or 0).scaleb(-9)
    currency = currency.upper()
    text = _written(context, _decimal(value), _DECIMALS.get(currency, 2))
    return f"{text}\u00a0{currency}" if currency else text


def _moment(context: Context, value: Any) -> datetime:
    """Return a time in the zone of `now`, which is the contact's."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError as error:
            raise FilterArgumentError("the value is no time in ISO 8601") from error
    elif isinstance(value, date) and not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day)  # noqa: DTZ001 - a day has no zone
    if not isinstance(value, datetime):
        raise FilterArgumentError("the value is no time")
    now = context.get("now")
    zone: tzinfo | None = now.tzinfo if isinstance(now, datetime) else None
    return value.astimezone(zone) if value.tzinfo is not None and zone is not None else value


def _patterned(time: datetime, pattern: str) -> str:
    if len(pattern) > 100:
        raise FilterArgumentError("a pattern has at most 100 characters")
    return _FIELD.sub(lambda found: _FIELDS[found[0]](time), pattern)


@pass_context
def date_(context: Context, value: Any, pattern: str = "") -> str:
    """Write the day of a time in the contact's zone as the language does, or by a pattern of yyyy, yy, MM, M, dd, d."""
    if _missing(value):
        return ""
    return _patterned(_moment(context, value), pattern or _DATES.get(_language(context), "yyyy-MM-dd"))


@pass_context
def time_(context: Context, value: Any, pattern: str = "HH:mm") -> str:
    """Write the hour of a time in the contact's zone, by a pattern of HH, H, mm, ss."""
    return "" if _missing(value) else _patterned(_moment(context, value), pattern)


@pass_context
def datetime_(context: Context, value: Any, pattern: str = "") -> str:
    """Write day and hour of a time in the contact's zone."""
    if _missing(value):
        return ""
    pattern = pattern or _DATES.get(_language(context), "yyyy-MM-dd") + " HH:mm"
    return _patterned(_moment(context, value), pattern)


def title(value: Any) -> str:
    """Begin each word with a capital: composed letters first, or an accent of its own would count as a word's end."""
    return _WORD.sub(lambda found: found[0][0].upper() + found[0][1:].lower(), _composed(value))


def capitalize(value: Any) -> str:
    """Begin with a capital and go on in small letters."""
    text = _composed(value)
    return text[:1].upper() + text[1:].lower()


def _composed(value: Any) -> str:
    # What is escaped already is taken as it was before: it is escaped again where it is written.
    plain = value.unescape() if isinstance(value, Markup) else str(value)
    return unicodedata.normalize("NFC", str(plain))


def fallback(value: Any, other: Any = "") -> Any:
    """Return another value for one that is missing, empty or blank."""
    return other if _missing(value) or (isinstance(value, str) and not value.strip()) else value


FILTERS: Mapping[str, Callable[..., Any]] = {
    "number": number,
    "money": money,
    "date": date_,
    "time": time_,
    "datetime": datetime_,
    "title": title,
    "capitalize": capitalize,
    "fallback": fallback,
}
