"""Variables in the environment that look like settings and are none: most likely misspelt."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from difflib import get_close_matches

from services.kit.config import Settings
from services.kit.log import get_logger
from services.kit.parent import PARENT_FD_VARIABLE
from services.kit.plugins.discovery import installed_plugins

_PREFIX = "RAPPORT_"
# For tests alone.
_ELSEWHERE = re.compile(r"RAPPORT_(TEST_.+|RULE_EXAMPLES)")
_PLUGIN = re.compile(r"RAPPORT_PLUGIN_([A-Z0-9]+_.+)")
_log = get_logger("config")


def stray_settings(environment: Mapping[str, str] | None = None) -> list[str]:
    """Return a sentence for each variable `RAPPORT_…` that no process reads, with the nearest setting; no values.

    environment: by default that of this process.
    """
    settings = [f"{_PREFIX}{name.upper()}" for name in Settings.model_fields]
    known = {*settings, PARENT_FD_VARIABLE}
    found: list[str] = []
    for variable in sorted(os.environ if environment is None else environment):
        name = variable.upper()  # as the settings are read, whatever the case
        if not name.startswith(_PREFIX) or name in known or _ELSEWHERE.fullmatch(name):
            continue
        if whose := _PLUGIN.fullmatch(name):
            found += _of_no_plugin(variable, whose[1].lower())
            continue
        # Without the prefix, which all share and which would make any two alike.
        close = get_close_matches(
            name.removeprefix(_PREFIX), [one.removeprefix(_PREFIX) for one in settings], 1
        )
        hint = f"; did you mean {_PREFIX}{close[0]}?" if close else "; services/SETTINGS.md names all"
        found.append(f"{variable} is set, but there is no such setting{hint}")
    return found


def _of_no_plugin(variable: str, rest: str) -> list[str]:
    """Return what is wrong with a variable for a plugin that is not installed.

    Which settings one has that is installed is known once it is loaded: `plugins list` tells of the others.
    """
    names = [source.name for source in installed_plugins()]
    if any(rest.startswith(f"{name}_") for name in names):
        return []
    close = get_close_matches(rest.partition("_")[0], names, 1)
    hint = (
        f"; did you mean RAPPORT_PLUGIN_{close[0].upper()}_…?"
        if close
        else f"; installed: {', '.join(names)}"
    )
    return [f"{variable} is set, but no plugin is installed whose it could be{hint}"]


def warn_of_stray_settings() -> None:
    """Log a warning for each variable of this process that looks like a setting and is none."""
    for problem in stray_settings():
        _log.warning("unknown setting", problem=problem)
