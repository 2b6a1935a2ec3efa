"""Messages that may be what ends their senders: made ready in ever smaller company, then alone, and not for ever.

A sender that dies tells nobody which of the messages in its hand was the one. Those that were in hand each time are
fewer and fewer, as the others leave.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Protocol, TypeVar

SHARES = (500, 60, 8, 1)
"""So many messages at most are in a sender's hand at once, by how often the senders of each died; the last: alone."""

ALONE = len(SHARES) - 1
"""From so many deaths on, a message is in hand alone, and waits before each time."""

MOST_DEATHS = ALONE + 3
"""With so many, a message that had not left fails."""

FIRST_DELAY, MOST_DOUBLINGS = timedelta(minutes=1), 8
"""How long one waits that is to be alone, and how often that doubles."""

ENDED = "SENDER_ENDED"
GIVEN_UP = (
    f"{ENDED}: its sender ended {MOST_DEATHS} times while it was made ready, the last {MOST_DEATHS - ALONE} with "
    "nothing else in hand; the log of the sender may say why, such as the veto of a plugin that crashes or hangs"
)
"""Why a message failed that ended its senders."""

FAULT = "SENDER_FAULT"
"""Begins the reason of a message that could not be made ready, for an error that is nobody's refusal; its senders are
taken to have died of it."""


class InHand(Protocol):
    """Name what is asked of a message."""

    @property
    def death_count(self) -> int:
        """Return how often its sender died while it was in hand."""
        ...


_Claim = TypeVar("_Claim", bound=InHand)


def company(
    claims: Sequence[_Claim], *, suspects: bool, choose: Callable[[Sequence[_Claim]], _Claim] = random.choice
) -> Sequence[_Claim]:
    """Return which messages may be in hand together: those whose senders live, or some that are suspected alike.

    suspects: whether it is the turn of the latter. All when there are only the former, else never none.
    """
    suspected = [claim for claim in claims if claim.death_count]
    if not suspected:
        return claims
    if not suspects and len(suspected) < len(claims):
        return [claim for claim in claims if not claim.death_count]
    # By chance, so that none waits for ever for others that come back again and again.
    level = _level(choose(suspected))
    return [claim for claim in suspected if _level(claim) == level][: SHARES[level]]


def _level(claim: InHand) -> int:
    return min(claim.death_count, ALONE)
