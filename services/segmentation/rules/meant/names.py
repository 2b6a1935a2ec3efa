"""What the writer of a rule most likely meant, where the checker only says what it does not know."""

from __future__ import annotations

import re
from difflib import get_close_matches

from services.segmentation.rules.registry import Registry, RuleFunction

_NAME = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
_UNDECLARED = re.compile(r"undeclared reference to '[\w.]+'")
_OVERLOAD = re.compile(r"found no matching overload for '([\w.]+)' applied to .*")
_ATTRIBUTES = re.compile(r"\.attributes(?:\.(\w+)|\[\"(\w+)\"\])?")
_NOT_CEL = (
    ("'=", "compare with =="),
    ("'&", "write && for and"),
    ("'|", "write || for or"),
    ("'and'", "write && for and"),
    ("'or'", "write || for or"),
)
_ROOTS = ("contact", "events", "now")
_FUNCTIONS = (
    *("days", "hours", "minutes", "sum", "min", "max", "size", "has", "fold", "bucket", "in_segment"),
    *("distance_km", "timestamp", "duration", "double", "int"),
)


def explain(message: str, text: str, line: int, column: int, registry: Registry) -> str | None:
    """Return the checker's message with what was meant; None when nothing better is known.

    line, column: of the place in the text, from 1.
    """
    lines = text.split("\n")
    source = lines[line - 1] if 0 < line <= len(lines) else ""
    if message.startswith("Syntax error: "):
        found = next((hint for sign, hint in _NOT_CEL if sign in message), None)
        return f"{message}: {found}" if found else None
    if message == "undefined field 'attributes' not found in contact":
        match = _ATTRIBUTES.match(source, column - 1)
        name = (match[1] or match[2] if match else None) or "<name>"
        return f"{message}: attributes of your own are named directly: contact.{name}"
    if match := _OVERLOAD.fullmatch(message):
        function = _registered(match[1], registry)
        return f"{message}: write {signature(function)}" if function else None
    if _UNDECLARED.fullmatch(message):
        return _undeclared(source, column, registry)
    return None


def signature(function: RuleFunction) -> str:
    """Write how a plugin's function is called, such as `loyalty.tier(contact, int)`."""
    return f"{function.name}({', '.join(('contact', *function.params))})"


def _registered(name: str, registry: Registry) -> RuleFunction | None:
    return next((function for function in registry.functions if function.name == name), None)


def _undeclared(source: str, column: int, registry: Registry) -> str | None:
    # The checker points at the name, at a dot in it or, for a function without dots, behind it.
    match = next((m for m in _NAME.finditer(source) if m.start() <= column - 1 <= m.end()), None)
    if match is None:
        return None
    name = match[0]
    called = source[match.end() :].lstrip().startswith("(")
    if function := _registered(name, registry):
        problem = "was given the wrong number of arguments" if called else "is a function"
        return f"{name} {problem}: write {signature(function)}"
    said = f"undeclared reference to '{name}'"
    names = [function.name for function in registry.functions]
    if called:
        close = [one for one in names if one.split(".")[-1] == name] or get_close_matches(
            name, [*names, *_FUNCTIONS], 1
        )
        if close:
            return f"{said}: did you mean {close[0]}?"
    root, _, rest = name.partition(".")
    if close := get_close_matches(root, _ROOTS, 1):
        return f"{said}: did you mean {'.'.join(filter(None, (close[0], rest)))}?"
    if not called or not rest:
        return said
    known = f"plugins offer {', '.join(sorted(names))}" if names else "no plugin offers a function"
    return f"{said}: {known}; a newly installed plugin needs a restart of segmentation"
