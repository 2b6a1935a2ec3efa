"""Variables in the environment that look like settings and are none: most likely misspelt."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from difflib import get_close_matches

from services.kit.config import Settings
from services.kit.log import get_logger
from services.kit.parent import PARENT_FD_VARIABLE

_PREFIX = "RAPPORT_"
# Those of plugins are checked where the plugins' own settings are known; those of tests are for tests alone.
_ELSEWHERE = re.compile(r"RAPPORT_(PLUGIN_[A-Z0-9]+_.+|TEST_.+|RULE_EXAMPLES)")
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
        # Without the prefix, which all share and which would make any two alike.
        close = get_close_matches(
            name.removeprefix(_PREFIX), [one.removeprefix(_PREFIX) for one in settings], 1
        )
        hint = f"; did you mean {_PREFIX}{close[0]}?" if close else "; services/SETTINGS.md names all"
        found.append(f"{variable} is set, but there is no such setting{hint}")
    return found


def warn_of_stray_settings() -> None:
    """Log a warning for each variable of this process that looks like a setting and is none."""
    for problem in stray_settings():
        _log.warning("unknown setting", problem=problem)
