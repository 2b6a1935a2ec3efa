"""How the records of a batch are told apart: new, known with the same content, or contradicting."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic
from uuid import UUID

from services.kit.errors import AlreadyExists, FieldViolation
from services.kit.names import format_name, new_id
from services.sales.domain import Distinct, Key, R, distinct, key_of
from services.sales.store.batches import Known

_MOST_NAMED = 20


@dataclass(frozen=True, slots=True)
class Kind:
    """Name a kind of record in errors.

    field: of the request, such as `orders`; repeated: whether it is a list; collection: of resource names;
    reason: of the error for other content.
    """

    field: str
    collection: str
    reason: str
    repeated: bool = True

    def path(self, index: int) -> str:
        """Return the path of an item in the request."""
        return f"{self.field}[{index}]" if self.repeated else self.field


@dataclass(frozen=True, slots=True)
class Ingested:
    """Say what a batch did: the id of each record in the order given, and how many were new and known."""

    ids: list[UUID]
    recorded: int
    skipped: int


@dataclass(frozen=True, slots=True)
class Settled(Generic[R]):
    """Hold the new records of a batch by their id, and what the batch did."""

    fresh: Mapping[UUID, R]
    outcome: Ingested


def fold(kind: Kind, records: Sequence[R]) -> Distinct[R]:
    """Return the distinct records; raises AlreadyExists when two of one key differ."""
    batch = distinct(records)
    if batch.clashes:
        raise _differs(
            kind,
            [
                (again, key_of(records[again]), f"{kind.path(first)} of the same call has other content")
                for first, again in batch.clashes
            ],
        )
    return batch


def settle(
    kind: Kind,
    records: Sequence[R],
    batch: Distinct[R],
    insert: Callable[[Mapping[UUID, R]], set[Key]],
    known: Callable[[list[Key]], dict[Key, Known]],
) -> Settled[R]:
    """Insert the records that are new and compare the others with what is stored.

    insert: writes records by id and returns the keys of those written; known: returns what is stored under
    keys.
    Raises AlreadyExists when a stored record has other content.
    """
    ids = {key: new_id() for key in batch.records}
    written = insert({ids[key]: record for key, record in batch.records.items()})
    # A key that was not written is there, committed: the insert waited for whoever was writing it.
    stored = known([key for key in batch.records if key not in written])
    differing = [
        (batch.indexes[key], key, f"{format_name(kind.collection, found.id)} has other content")
        for key, found in stored.items()
        if found.content_hash != batch.records[key].content_hash
    ]
    if differing:
        raise _differs(kind, differing)
    ids.update((key, found.id) for key, found in stored.items())
    fresh = {ids[key]: record for key, record in batch.records.items() if key in written}
    return Settled(
        fresh,
        Ingested([ids[key_of(record)] for record in records], len(written), len(records) - len(written)),
    )


def _differs(kind: Kind, items: list[tuple[int, Key, str]]) -> AlreadyExists:
    items.sort()
    violations = [
        FieldViolation(kind.path(index), f"source {source!r}, external_id {external_id!r}: {why}")
        for index, (source, external_id), why in items
    ]
    first, more = violations[0], len(violations) - 1
    _, (source, external_id), _ = items[0]
    return AlreadyExists(
        f"{first.field}: {first.description}{f'; and {more} more' if more else ''}. "
        "Records cannot be changed; send a new one under another external_id",
        reason=kind.reason,
        metadata={"source": source, "external_id": external_id, "index": str(items[0][0])},
        violations=violations[:_MOST_NAMED],
    )
