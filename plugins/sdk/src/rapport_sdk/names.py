"""Names of plugins and of the objects that they register."""

from __future__ import annotations

import re

PLUGIN_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
OBJECT_NAME = re.compile(r"([a-z][a-z0-9_]{0,39})\.([a-z][a-z0-9_]{0,59})")
FIELD_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")

# The words of the rule language: `contact.tier(contact)` must not be a plugin's rule.
RESERVED_PLUGIN_NAMES = frozenset(
    {
        "as",
        "break",
        "const",
        "continue",
        "else",
        "false",
        "for",
        "function",
        "if",
        "import",
        "in",
        "let",
        "loop",
        "namespace",
        "null",
        "package",
        "return",
        "true",
        "var",
        "void",
        "while",
        "contact",
        "events",
        "now",
        "has",
        "size",
        "days",
        "hours",
        "minutes",
        "sum",
        "min",
        "max",
        "all",
        "exists",
        "exists_one",
        "filter",
        "map",
        "fold",
        "in_segment",
        "distance_km",
        "bool",
        "bytes",
        "double",
        "duration",
        "dyn",
        "int",
        "list",
        "string",
        "timestamp",
        "type",
        "uint",
        "rapport",
        "plugin",
    }
)


def plugin_of(object_name: str) -> str:
    """Return the plugin part of `plugin.thing`."""
    return object_name.partition(".")[0]


def plugin_name_problem(name: str) -> str | None:
    """Tell what is wrong with a plugin's name, or None."""
    if not PLUGIN_NAME.fullmatch(name):
        return f"plugin name {name!r}: use lower case letters, digits and _, 40 at most, a letter first"
    if name in RESERVED_PLUGIN_NAMES:
        return f"plugin name {name!r} is a word of the rule language: choose another"
    return None


def object_name_problem(name: str, plugin: str) -> str | None:
    """Tell what is wrong with an object's name for a plugin, or None."""
    match = OBJECT_NAME.fullmatch(name)
    if match is None:
        return f"name {name!r}: write it as plugin.thing, lower case letters, digits and _"
    if match[1] != plugin:
        return f"name {name!r} is outside of its plugin: it must begin with '{plugin}.'"
    return None
