"""What simulations ask of other services about a time: who was a member, for whom a rule was TRUE, who had consented.

What the others do not know of a past time is answered as of now, and said.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from rapport_client.errors import RapportError as ClientError

from services.campaign.domain.ids import TRANSACTIONAL
from services.campaign.usecases.journey_moving import is_refusal, matching
from services.kit.runtime import Runtime

_UNKNOWN = ("BEFORE_RETENTION", "NO_PAST_ANSWER")
_MOST_MOMENTS = 2_000


class Past:
    """Answer questions about moments, some of which are over; `now` and what is to come are answered as of now.

    step: moments this close together are asked about as the last of them, which spares questions. assumptions: what was
    taken for granted, in sentences.
    """

    def __init__(self, runtime: Runtime, now: datetime, step: timedelta = timedelta(0)) -> None:
        """Begin with no assumption."""
        self._runtime = runtime
        self._now = now
        self._step = step
        self._consents: set[tuple[str, str]] = set()
        self.assumptions: dict[str, None] = {}

    def assume(self, text: str) -> None:
        """Note what is taken for granted, once."""
        self.assumptions[text] = None

    def groups(
        self, moments: Iterable[tuple[UUID, datetime]]
    ) -> Iterator[tuple[datetime | None, list[UUID]]]:
        """Yield contacts by the moment as of which they are asked about; None for now."""
        found: dict[int | None, tuple[datetime, list[UUID]]] = {}
        for contact, moment in moments:
            key = None if moment >= self._now else self._slot(moment)
            last, contacts = found.setdefault(key, (moment, []))
            contacts.append(contact)
            found[key] = (max(last, moment), contacts)
        for key, (last, contacts) in found.items():
            yield (None if key is None else last), contacts

    def _slot(self, moment: datetime) -> int:
        seconds = max(self._step.total_seconds(), 1e-6)
        return int(moment.timestamp() // seconds)

    def matching(self, rule: str, contacts: Sequence[UUID], at: datetime | None) -> set[UUID]:
        """Return those of some contacts for whom a rule was TRUE; raises the client's errors."""
        if at is not None:
            try:
                return set(matching(self._runtime, rule, contacts, at))
            except ClientError as error:
                if error.reason not in _UNKNOWN:
                    raise
                self.assume(
                    f"a rule of a branch is answered as of now where it cannot be asked about the past: {error.message}"
                )
        return set(matching(self._runtime, rule, contacts))

    def consents(
        self, contacts: Collection[UUID], kind: str, topic: str, at: datetime
    ) -> Mapping[UUID, str] | None:
        """Return the consents of contacts at a past time, "" for none; None when those of then are not known."""
        if (kind, topic) in self._consents:
            return None
        found: dict[UUID, str] = dict.fromkeys(contacts, "")
        try:
            for state in ("granted", "denied"):
                rule = f'contact.consents.{kind}_{topic} == "{state}"'
                found |= dict.fromkeys(matching(self._runtime, rule, list(contacts), at), state)
        except ClientError as error:
            if not is_refusal(error):
                raise
            self._consents.add((kind, topic))
            if error.reason in _UNKNOWN:
                self.assume(f"consents by {kind} on {topic} are those of now: {error.message}")
            elif topic != TRANSACTIONAL:
                # The rule is ours, so its place says nothing to whoever reads this; such messages need no consent.
                self.assume(f"consents by {kind} on {topic} are those of now: no rule can ask about them")
            return None
        return found


def step_of(start: datetime, end: datetime) -> timedelta:
    """Return how close moments of a period must be to be asked about together: a minute, or more in long periods."""
    return max(timedelta(minutes=1), (end - start) / _MOST_MOMENTS)
