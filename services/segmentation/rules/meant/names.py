"""Names that a rule uses and nobody defined: the nearest one, where it is kept, or quotes that are missing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches

from services.segmentation.rules.core import CORE_BY_NAME
from services.segmentation.rules.meant.source import Meant, Source, quoted
from services.segmentation.rules.registry import Registry, RuleFunction

_UNDEFINED = re.compile(r"undefined field '(\w+)' not found in (.*)")
_UNDECLARED = re.compile(r"undeclared reference to '[\w.]+'")
_OVERLOAD = re.compile(r"found no matching overload for '([\w.]+)' applied to .*")
_NAME = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")
_ATTRIBUTES = re.compile(r"\.attributes(?:\.(\w+)|\[\"(\w+)\"\])?")
_GROUPS = ("traits", "consents", "location")
_ROOTS = ("contact", "events", "now")
_FUNCTIONS = (
    *("days", "hours", "minutes", "sum", "min", "max", "size", "has", "fold", "bucket", "in_segment"),
    *("distance_km", "timestamp", "duration", "double", "int"),
)
# What people call it elsewhere.
_OTHERWISE = {
    **dict.fromkeys(("country", "country_code", "region"), "region_code"),
    **dict.fromkeys(("province", "state", "administrative_area"), "admin_area"),
    **dict.fromkeys(("city", "town"), "locality"),
    **dict.fromkeys(("sublocality", "neighbourhood"), "ward"),
    **dict.fromkeys(("zip", "zip_code", "postcode"), "postal_code"),
    **dict.fromkeys(("language", "locale"), "language_code"),
    **dict.fromkeys(("birthday", "birthdate", "date_of_birth"), "birth_date"),
    **dict.fromkeys(("created", "created_at", "signup_time"), "create_time"),
    **dict.fromkeys(("last_order", "last_purchase"), "last_order_time"),
    **dict.fromkeys(("orders", "purchases"), "order_count"),
    **dict.fromkeys(("revenue", "spent", "lifetime_value"), "total_spent"),
    **dict.fromkeys(("stage", "status"), "lifecycle_stage"),
    **dict.fromkeys(("job", "profession"), "occupation"),
    **dict.fromkeys(("sex",), "gender"),
    **dict.fromkeys(("email", "mail", "email_address"), "has_email"),
    **dict.fromkeys(("phone", "phone_number", "mobile"), "has_phone"),
    **dict.fromkeys(("tag", "labels"), "tags"),
    "timezone": "time_zone",
    "sector": "industry",
}
_ABOUT = {
    **dict.fromkeys(("has_email", "has_phone"), "Rules know whether there is one, and no more"),
    "region_code": 'It holds codes such as "VN" and "DE" (ISO 3166)',
    "language_code": 'It holds codes such as "vi" and "zh-Hans" (BCP 47)',
}
_NAMES = frozenset(
    ("name", "first_name", "last_name", "given_name", "family_name", "display_name", "full_name", "surname")
)
_CONSTANTS = {"true": "true", "false": "false", "null": "null", "none": "null", "nil": "null"}


def explain(message: str, source: Source, registry: Registry) -> Meant | None:
    """Return a message on an unknown name with what was meant; None for other mistakes, or when nothing is known."""
    if found := _UNDEFINED.fullmatch(message):
        hint = _undefined(found[1], found[2], source, registry)
        return (f"{message}: {hint}" if hint else message), source.place
    if found := _OVERLOAD.fullmatch(message):
        function = _registered(found[1], registry)
        return (f"{message}: write {signature(function)}", source.place) if function else None
    if _UNDECLARED.fullmatch(message):
        said = _undeclared(source, registry)
        return (said, source.place) if said else None
    return None


def signature(function: RuleFunction) -> str:
    """Write how a plugin's function is called, such as `loyalty.tier(contact, int)`."""
    return f"{function.name}({', '.join(('contact', *function.params))})"


def _registered(name: str, registry: Registry) -> RuleFunction | None:
    return next((function for function in registry.functions if function.name == name), None)


# -- fields
# ----------------------------------------------------------------------------------------------------------


def _undefined(name: str, where: str, source: Source, registry: Registry) -> str:
    if where == "contact" and name == "attributes":
        match = _ATTRIBUTES.match(source.text, source.offset)
        given = (match[1] or match[2] if match else None) or "<name>"
        return f"attributes of your own are named directly: contact.{given}"
    if where == "contact":
        return _of_contact(name, registry)
    known: Sequence[str] = ()
    if where == "events":
        known = list(registry.events_by_cel_name)
    elif where == "contact.traits":
        known = [item.name for item in registry.traits]
    elif where == "contact.consents":
        known = list(registry.consents)
    elif event := registry.events_by_cel_name.get(where.removeprefix("events of events.")):
        known = ["time", *(field.name for field in event.fields)]
    return _nearest(name, known)


def _nearest(name: str, known: Sequence[str]) -> str:
    if close := get_close_matches(name, known, 1):
        return f"did you mean {close[0]}?"
    return f"there are {', '.join(sorted(known)[:40])}" if known else ""


def _of_contact(name: str, registry: Registry) -> str:
    """Return what was meant by a field that contacts have not."""
    if name in _NAMES:
        return "segmentation keeps no names of people, so rules cannot ask them"
    if place := _kept(name, registry):
        return f"did you mean {place}?"
    attributes = [*CORE_BY_NAME, *(item.name for item in registry.attributes)]
    wanted = name.lower()
    if not (close := get_close_matches(wanted, [*attributes, *_GROUPS, *_OTHERWISE], 1)):
        return f"there are {', '.join(sorted(attributes)[:60])}"
    meant = close[0]
    if meant in attributes or meant in _GROUPS:
        return f"did you mean {meant}?"
    meant = _OTHERWISE[meant]
    hint = f"did you mean {meant}?"
    return f"{hint} {_ABOUT[meant]}" if meant in _ABOUT else hint


def _kept(name: str, registry: Registry) -> str:
    """Return where a name is kept that is no attribute: traits, consents, events."""
    if name in registry.consents:
        return f"contact.consents.{name}"
    if any(item.name == name for item in registry.traits):
        return f"contact.traits.{name}"
    if name in registry.events_by_cel_name:
        return f"events.{name}"
    return ""


def _place(name: str, registry: Registry) -> str:
    """Return the whole name of what a rule calls by the last part alone; "" when there is no such thing."""
    if name in (*CORE_BY_NAME, *_GROUPS) or any(item.name == name for item in registry.attributes):
        return f"contact.{name}"
    return _kept(name, registry)


# -- bare names
# ----------------------------------------------------------------------------------------------------------


def _undeclared(source: Source, registry: Registry) -> str | None:
    # The checker points at the name, at a dot in it or, for a function without dots, behind it.
    line = source.text.rfind("\n", 0, source.offset) + 1
    end = source.text.find("\n", source.offset)
    found = _NAME.finditer(source.text, line, len(source.text) if end < 0 else end)
    match = next((m for m in found if m.start() <= source.offset <= m.end()), None)
    if match is None:
        return None
    name = match[0]
    called = source.text[match.end() :].lstrip().startswith("(")
    if function := _registered(name, registry):
        problem = "was given the wrong number of arguments" if called else "is a function"
        return f"{name} {problem}: write {signature(function)}"
    said = f"undeclared reference to '{name}'"
    if called:
        return _function(name, said, registry)
    hint = _bare(name, source, registry)
    return f"{said}: {hint}" if hint else said


def _function(name: str, said: str, registry: Registry) -> str:
    names = [function.name for function in registry.functions]
    root, _, rest = name.partition(".")
    close = [one for one in names if one.split(".")[-1] == name] or get_close_matches(
        name, [*names, *_FUNCTIONS], 1
    )
    if name in _FUNCTIONS:
        return f"{name} is a function, not a method: write {name}(...)"
    if name.rpartition(".")[2] in ("avg", "count", "average"):
        return f"{said}: use size(), sum(), min() or max()"
    if close:
        return f"{said}: did you mean {close[0]}?"
    if root_close := get_close_matches(root, _ROOTS, 1):
        return f"{said}: did you mean {'.'.join(filter(None, (root_close[0], rest)))}?"
    if place := _place(root, registry):
        return f"{said}: did you mean {place}{name[len(root) :]}?"
    if not rest:
        return said
    known = f"plugins offer {', '.join(sorted(names))}" if names else "no plugin offers a function"
    return f"{said}: {known}; a newly installed plugin needs a restart of segmentation"


def _bare(name: str, source: Source, registry: Registry) -> str:
    """Return what was meant by a name that is neither declared nor called."""
    if name.lower() in _CONSTANTS:
        return f"did you mean {_CONSTANTS[name.lower()]}?"
    index = source.index()
    # A dot in the name is where the checker points; the name itself begins before.
    while source.is_sign(index - 1, ".") or source.is_sign(index, "."):
        index -= 1
    if source.is_sign(index - 1, "(") and source.is_sign(index - 2, "in_segment"):
        return f"write the segment's name in quotes: in_segment({quoted(f'segments/{name}')})"
    if "." not in name and _stands_for_text(source, index):
        return f"write texts in quotes: {quoted(name)}"
    root, _, rest = name.partition(".")
    if place := _place(root, registry):
        return f"did you mean {place}{name[len(root) :]}?"
    if f"segments/{name}" in registry.segments:
        return f"did you mean in_segment({quoted(f'segments/{name}')})?"
    if close := get_close_matches(root.lower(), _ROOTS, 1):
        return f"did you mean {'.'.join(filter(None, (close[0], rest)))}?"
    known = [*CORE_BY_NAME, *(item.name for item in registry.attributes)]
    if not rest and (close := get_close_matches(name.lower(), known, 1)):
        return f"did you mean contact.{close[0]}?"
    if not rest and source.is_sign(index + 1, "==", "!="):
        return f"write texts in quotes: {quoted(name)}"
    return "a rule speaks of contact, events and now" if not rest else ""


def _stands_for_text(source: Source, index: int) -> bool:
    """Say whether a name stands where a text would: behind a comparison, in a list, or before `in`."""
    if source.is_sign(index - 1, "==", "!=") or source.is_sign(index + 1, "in"):
        return True
    return source.is_sign(index - 1, "[", ",", "(") and source.is_sign(index + 1, "]", ",", ")")
