"""Whose records a call may touch: the caller's own, its teams', or all.

The scope of a call follows from the grant that let it in. A store that keeps records of somebody takes it as an
argument without a default, so that no query can forget it. What reaches a store without a call, such as a timer,
says `EVERYTHING`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Reach(IntEnum):
    """Say how far a grant reaches; a greater one holds all that a smaller one does."""

    OWN = 1
    TEAM = 2
    ALL = 3


@dataclass(frozen=True, slots=True)
class Scope:
    """Hold whose records may be touched.

    user: whose records are the caller's own; empty for a caller that owns none. teams: those it belongs to. Both
    count only as far as `reach` lets them.
    """

    reach: Reach
    user: str = ""
    teams: tuple[str, ...] = ()

    @property
    def everything(self) -> bool:
        """Tell whether no record is out of reach."""
        return self.reach is Reach.ALL


EVERYTHING = Scope(Reach.ALL)
"""The scope of work that no caller asked for, and of RPCs whose request proves itself."""
