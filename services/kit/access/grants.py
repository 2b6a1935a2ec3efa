"""Grants: which permission, and how far it reaches.

`contacts.read`, `contacts.*` and `*` reach all records; `care.read:own` and `care.*:team` those of the caller or of its
teams.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from services.kit.access.scope import Reach

_FORM = re.compile(r"(\*|[a-z]+(?:\.[a-z]+)*(?:\.\*)?)(?::(own|team|all))?")
_REACHES = {"own": Reach.OWN, "team": Reach.TEAM, "all": Reach.ALL}


@dataclass(frozen=True, slots=True)
class Grant:
    """Hold one grant: a pattern of permissions, and how far they reach."""

    pattern: str
    reach: Reach

    def covers(self, permission: str) -> bool:
        """Tell whether the pattern covers a permission."""
        if self.pattern == "*":
            return True
        if self.pattern.endswith(".*"):
            return permission.startswith(self.pattern[:-1])
        return self.pattern == permission


def parse_grant(text: str) -> Grant:
    """Read a grant; raises ValueError that says what is wrong."""
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError(
            f"{text!r} is no permission: write contacts.read, contacts.* or *, and :own or :team after it to narrow it"
        )
    return Grant(match[1], _REACHES[match[2] or "all"])


def widest(grants: Iterable[Grant], permission: str) -> Reach | None:
    """Return how far the widest of the grants reaches for a permission, or None when none covers it."""
    return max((grant.reach for grant in grants if grant.covers(permission)), default=None)
