"""The suppression list."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from services.campaign.domain.ledger import normalise_address
from services.campaign.store import suppressions as store
from services.campaign.store.suppressions import Suppressed
from services.kit.errors import FieldViolation, InvalidArgument
from services.kit.runtime import Runtime


def add_suppressions(runtime: Runtime, given: Sequence[tuple[str, str, str]]) -> int:
    """Put (kind, address, reason) on the list and return how many are new; the first reason stays."""
    pairs = _normalised([(kind, address) for kind, address, _ in given])
    now = runtime.clock.now()
    entries: dict[tuple[str, str], Suppressed] = {}
    for pair, (_, _, reason) in zip(pairs, given, strict=True):
        entries.setdefault(pair, Suppressed(*pair, reason, now))
    with runtime.db.transaction() as connection:
        return store.add(connection, list(entries.values()))


def remove_suppressions(runtime: Runtime, given: Collection[tuple[str, str]]) -> int:
    """Take (kind, address) off the list and return how many were there."""
    with runtime.db.transaction() as connection:
        return store.remove(connection, set(_normalised(given)))


def list_suppressions(runtime: Runtime, *, after: tuple[str, str] | None, count: int) -> list[Suppressed]:
    """Return the next entries by kind and address."""
    with runtime.db.read() as connection:
        return store.page(connection, after=after, count=count)


def _normalised(given: Collection[tuple[str, str]]) -> list[tuple[str, str]]:
    pairs = [(kind.strip().lower(), normalise_address(kind, address)) for kind, address in given]
    violations = [
        FieldViolation(f"suppressions[{index}].{field}", "must not be blank")
        for index, pair in enumerate(pairs)
        for field, text in zip(("kind", "address"), pair, strict=True)
        if not text
    ]
    if violations:
        raise InvalidArgument(
            f"{violations[0].field}: {violations[0].description}",
            reason="INVALID_FIELDS",
            violations=violations,
        )
    return pairs
