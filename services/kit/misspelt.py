"""Variables of the environment that nobody reads, though they are nearly called like a setting."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from services.kit.config import Settings

_PREFIX = "RAPPORT_"
_NAMES = [f"{_PREFIX}{name.upper()}" for name in Settings.model_fields]
# What plugins read, what tests are told, and what a process is told by the one that starts it.
_OTHERS = ("RAPPORT_PLUGIN_", "RAPPORT_TEST_", "RAPPORT_PARENT_")


def misspelt_settings(environment: Iterable[str]) -> list[tuple[str, str]]:
    """Return the variables that are no settings, each with the one that was most likely meant, sorted."""
    found = []
    for name in sorted(environment):
        if not name.startswith(_PREFIX) or name.startswith(_OTHERS) or name in _NAMES:
            continue
        if close := get_close_matches(name, _NAMES, 1, 0.85):
            found.append((name, close[0]))
    return found
