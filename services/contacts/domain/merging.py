"""A batch of upserts, worked out in memory as if each were done after the one before."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from services.contacts.domain.consents import Decision, Wish, decide, takes_force
from services.contacts.domain.contact import Contact, Draft, make, merge, touched
from services.contacts.domain.errors import IdentitiesConflict
from services.contacts.domain.identity import Identity

# Contact, channel, topic, time and state: two decisions that agree in these are one.
DecisionKey = tuple[UUID, str, str, datetime, bool]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Tell what one upsert did: to which contact, whether it made or changed it, its revision afterwards."""

    contact_id: UUID
    created: bool
    changed: bool
    revision: int


class Upserts:
    """Collect the upserts of one transaction.

    created, updated: contacts to be written, by id, in their final state; claims: identities that become
    theirs; decisions: consents for the history; now: the business time of them all.
    """

    def __init__(
        self,
        owners: Mapping[Identity, UUID],
        contacts: Mapping[UUID, Contact],
        now: datetime,
        new_id: Callable[[], UUID],
        recorded: Collection[DecisionKey] = (),
    ) -> None:
        """owners: of the identities in the batch that have one; contacts: these; recorded: known decisions."""
        self._owners = dict(owners)
        self._stored = contacts
        self.now = now
        self._new_id = new_id
        self._recorded = set(recorded)
        self.created: dict[UUID, Contact] = {}
        self.updated: dict[UUID, Contact] = {}
        self.claims: list[tuple[Identity, UUID]] = []
        self.decisions: list[tuple[UUID, Decision]] = []

    def contact(self, key: UUID) -> Contact:
        """Return a contact as it is after the upserts so far."""
        return self.created.get(key) or self.updated.get(key) or self._stored[key]

    def apply(self, draft: Draft) -> Outcome:
        """Upsert one draft; raises IdentitiesConflict or Refused, and then has done nothing."""
        owners = self._owners
        key = None
        for identity in draft.identities:
            owner = owners.get(identity)
            if owner is not None and owner != key:
                if key is not None:
                    raise IdentitiesConflict((key, owner))
                key = owner
        if key is None:
            return self._create(draft)
        before = self.contact(key)
        after = merge(before, draft)
        for identity in after.identities[len(before.identities) :]:
            owners[identity] = key
            self.claims.append((identity, key))
        if draft.consents:
            after = self.decide(after, draft.consents)
        if after is before:
            return Outcome(key, False, False, before.revision)
        after = touched(after, self.now)
        (self.created if key in self.created else self.updated)[key] = after
        return Outcome(key, False, True, after.revision)

    def _create(self, draft: Draft) -> Outcome:
        contact = make(draft, self._new_id(), self.now)
        key = contact.id
        for identity in contact.identities:
            self._owners[identity] = key
            self.claims.append((identity, key))
        if draft.consents:
            contact = self.decide(contact, draft.consents)
        self.created[key] = contact
        return Outcome(key, True, True, contact.revision)

    def decide(self, contact: Contact, wishes: Collection[Wish]) -> Contact:
        """Record decisions and return the contact with those in force, or the same object when they stay."""
        consents = dict(contact.consents)
        for wish in wishes:
            decision = decide(wish, consents.get(f"{wish.channel}_{wish.topic}"), self.now)
            if decision is None:
                continue
            key = (contact.id, decision.channel, decision.topic, decision.decide_time, decision.granted)
            if key in self._recorded:
                continue
            self._recorded.add(key)
            self.decisions.append((contact.id, decision))
            if takes_force(decision, consents):
                consents[decision.key] = decision
        return contact if consents == contact.consents else replace(contact, consents=consents)

    def record(self, key: UUID, wishes: Collection[Wish]) -> None:
        """Record decisions of a stored contact as one change of it."""
        before = self.contact(key)
        after = self.decide(before, wishes)
        if after is not before:
            self.updated[key] = touched(after, self.now)
