"""Sets of definitions compared with what is stored, and brought about all or none.

Comparing is applying that is taken back, so that it cannot promise what applying would refuse.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlalchemy import Connection

from services.campaign.domain.definitions import (
    CAMPAIGNS,
    JOURNEYS,
    LIMITS,
    ORDER,
    POLICIES,
    TEMPLATES,
    Item,
    contents,
    fingerprint,
)
from services.campaign.usecases import policies, rates
from services.campaign.usecases.checks import exists_already
from services.campaign.usecases.definition_kinds import KINDS
from services.kit.errors import Aborted, FieldViolation, InvalidArgument, RapportError, Unavailable
from services.kit.names import format_name
from services.kit.runtime import Runtime

INVALID = "INVALID_DEFINITIONS"
CREATED, CHANGED, UNCHANGED, DELETED = "created", "changed", "unchanged", "deleted"
# How use cases call what they are given, and how a definition calls it.
_FIELDS = {
    TEMPLATES: ("template", {"template_id": "template.name"}),
    POLICIES: ("send_policy", {"policy": "send_policy"}),
    LIMITS: ("rate_limit", {"limit": "rate_limit"}),
    JOURNEYS: ("journey", {"journey_id": "journey.name", "settings": "links"}),
    CAMPAIGNS: ("campaign", {"campaign_id": "campaign.name", "settings": "links"}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Say what shall be. collection: of its name; decode: returns the item or raises InvalidArgument."""

    collection: str
    key: str
    decode: Callable[[], Item]
    etag: str = ""
    create_only: bool = False

    @property
    def name(self) -> str:
        """Return its resource name."""
        return format_name(self.collection, self.key)


@dataclass(frozen=True, slots=True)
class Trouble:
    """Say what is wrong, and where in the definition."""

    field: str
    text: str
    error: RapportError


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Say what became of a wish; item: as it is afterwards, None with troubles; previous: None when there was none."""

    name: str
    action: str
    item: Item | None
    previous: Item | None
    troubles: Sequence[Trouble] = field(default_factory=tuple)

    @property
    def etag(self) -> str:
        """Return what differs when what was before differs; "" when nothing was."""
        return "" if self.previous is None else fingerprint(self.previous)


Deletion = tuple[str, str, str]
"""Collection, key and etag of what shall not be; an empty etag asks for nothing."""


class _TakenBack(Exception):
    pass


def compare(runtime: Runtime, wishes: Sequence[Wish], deletions: Sequence[Deletion]) -> list[Outcome]:
    """Return what apply would do, and store nothing.

    Raises InvalidArgument for a name given twice, Aborted for the etag of a deletion, Unavailable.
    """
    outcomes: list[Outcome] = []
    try:
        with runtime.db.transaction() as connection:
            outcomes = _bring_about(runtime, connection, wishes, deletions)
            raise _TakenBack
    except _TakenBack:
        return outcomes


def apply(
    runtime: Runtime, connection: Connection, wishes: Sequence[Wish], deletions: Sequence[Deletion]
) -> list[Outcome]:
    """Bring definitions about in the caller's transaction, and delete others first.

    Raises InvalidArgument (INVALID_DEFINITIONS) that names each bad field, Aborted (ETAG_MISMATCH), AlreadyExists,
    FailedPrecondition, Unavailable.
    """
    outcomes = _bring_about(runtime, connection, wishes, deletions)
    _raise_troubles(outcomes)
    return outcomes


def _raise_troubles(outcomes: Sequence[Outcome]) -> None:
    found = [(index, item) for index, outcome in enumerate(outcomes) for item in outcome.troubles]
    if not found:
        return
    violations = [
        FieldViolation(f"changes[{index}].definition.{item.field}", item.text) for index, item in found
    ]
    first = found[0][1].error
    text = "; ".join(f"{outcomes[index].name}: {item.text}" for index, item in found[:5])
    if len(found) > 5:
        text += f"; and {len(found) - 5} more"
    # What only the state forbids keeps its kind and reason, on which callers decide whether to try again.
    wrong = next((item for _, item in found if isinstance(item.error, InvalidArgument)), None)
    kind = InvalidArgument if wrong is not None else type(first)
    reason = INVALID if wrong is not None else first.reason
    raise kind(text, reason=reason, metadata=first.metadata, violations=violations)


def _bring_about(
    runtime: Runtime, connection: Connection, wishes: Sequence[Wish], deletions: Sequence[Deletion]
) -> list[Outcome]:
    seen: set[str] = set()
    for name in (*(wish.name for wish in wishes), *(format_name(*item[:2]) for item in deletions)):
        if name in seen:
            raise InvalidArgument(f"{name} is given twice", reason=INVALID)
        seen.add(name)
    gone = [outcome for item in sorted(deletions) if (outcome := _delete(connection, item)) is not None]
    made: dict[str, Outcome] = {}
    refused: set[str] = set()
    # By name within a kind, as everybody who locks several rows must.
    for wish in sorted(wishes, key=lambda item: (ORDER.index(item.collection), item.key)):
        outcome = _one(runtime, connection, wish, refused)
        if outcome.troubles:
            refused.add(wish.name)
        made[wish.name] = outcome
    return [*(made[wish.name] for wish in wishes), *gone]


def _delete(connection: Connection, deletion: Deletion) -> Outcome | None:
    collection, key, etag = deletion
    found: Item | None
    if collection == POLICIES:
        found = policies.remove_policy(connection, key, etag)
    else:
        found = rates.remove_limit(connection, key, etag)
    if found is None:
        return None
    return Outcome(name=format_name(collection, key), action=DELETED, item=None, previous=found)


def _one(runtime: Runtime, connection: Connection, wish: Wish, refused: set[str]) -> Outcome:
    """Bring one about; what goes wrong leaves nothing of it, and others go on."""
    kind = KINDS[wish.collection]
    previous = kind.read(connection, wish.key)
    action = CREATED if previous is None else CHANGED
    with _troubles(wish, refused) as troubles, connection.begin_nested():
        _check_expected(wish, previous)
        given = kind.settle(runtime, wish.decode(), previous)
        if previous is not None and contents(given) == contents(previous):
            return Outcome(name=wish.name, action=UNCHANGED, item=previous, previous=previous)
        kind.put(runtime, connection, given, previous)
        return Outcome(name=wish.name, action=action, item=kind.read(connection, wish.key), previous=previous)
    return Outcome(name=wish.name, action=action, item=None, previous=previous, troubles=troubles)


def _check_expected(wish: Wish, previous: Item | None) -> None:
    if wish.create_only and previous is not None:
        raise exists_already(wish.name)
    if wish.etag and (previous is None or wish.etag != fingerprint(previous)):
        raise Aborted(
            f"{wish.name} was changed meanwhile: compare again, then decide anew",
            metadata={"resource": wish.name},
        )


@contextmanager
def _troubles(wish: Wish, refused: set[str]) -> Iterator[list[Trouble]]:
    found: list[Trouble] = []
    try:
        yield found
    except Unavailable:
        # Whether it is wrong is not known.
        raise
    except RapportError as error:
        root, aliases = _FIELDS[wish.collection]
        told = error.violations or (FieldViolation(root, error.message),)
        named: set[str] = set()
        for item in told:
            missing = next((name for name in refused if f"{name} does not exist" in item.description), "")
            # What is missing because it is refused itself is told there.
            if missing:
                named.add(missing)
            else:
                found.append(Trouble(_field(item.field, root, aliases), item.description, error))
        if not found:
            found.append(Trouble(root, f"names {', '.join(sorted(named))}, which is refused", error))


def _field(path: str, root: str, aliases: dict[str, str]) -> str:
    head = path.split(".", 1)[0].split("[", 1)[0]
    if head in aliases:
        return aliases[head] + path[len(head) :]
    return path if head in (root, "schedule", "links") else root
