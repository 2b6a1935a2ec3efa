"""Members of lists: segments that have no rule."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Connection

from services.kit.errors import FailedPrecondition
from services.kit.names import format_name
from services.segmentation.context import Service
from services.segmentation.domain import ActiveRule, Segment, chunks
from services.segmentation.rulebook import notice_of
from services.segmentation.store import locks, membership, profiles
from services.segmentation.store.telling import Notice
from services.segmentation.usecases.defining import load
from services.segmentation.usecases.evaluation import evaluate

BATCH = 500
NAMED = 5


def change_members(
    service: Service,
    connection: Connection,
    id_: str,
    contact_ids: Sequence[UUID],
    *,
    entered: bool,
    historical: bool,
) -> tuple[int, int]:
    """Put contacts into a list or take them out, with what follows for rules that name it, in the caller's transaction.

    Returns for how many contacts that is new, and how many members there are then. Raises NotFound, and
    FailedPrecondition: SEGMENT_HAS_RULE, SEGMENT_BUILDING, or UNKNOWN_CONTACTS for contacts without a profile.
    """
    locks.share_membership(connection)
    found = load(connection, id_)
    refuse_rule(found)
    notice = notice_of_list(found)
    if not entered:
        contact_ids = membership.those_in(connection, found.number, contact_ids)
    locked = locks.lock_contacts(connection, contact_ids)
    if entered:
        _refuse_unknown(connection, locked)
    now = service.clock.now()
    changed = membership.change_list(
        connection, notice, locked, entered=entered, now=now, historical=historical
    )
    # Only now, with the contacts locked: whoever names the list in a rule from here on waits for this transaction.
    plan = service.plan(connection)
    if any(id_ in rule.depends for rule in plan.rules.values()):
        for some in chunks(changed, BATCH):
            evaluate(service, connection, some, now=now, historical=historical)
    return len(changed), membership.member_count(connection, found.number)


def refuse_rule(found: Segment) -> None:
    """Raise FailedPrecondition unless a segment is a list whose members may be changed."""
    if found.kind != "list":
        raise FailedPrecondition(
            f"{found.name} has a rule, which alone says who is in it: change the rule, or make a list",
            reason="SEGMENT_HAS_RULE",
            metadata={"resource": found.name},
        )
    if found.state != "ready":
        raise FailedPrecondition(
            f"the snapshot {found.name} is not complete: wait for its operation, or delete it if that failed",
            reason="SEGMENT_BUILDING",
            metadata={"resource": found.name},
        )


def notice_of_list(found: Segment) -> Notice:
    """Return what events of a list's members carry."""
    return notice_of(ActiveRule(found.number, found.id, found.version, "", ()))


def _refuse_unknown(connection: Connection, contact_ids: Sequence[UUID]) -> None:
    missing = profiles.unknown(connection, contact_ids)
    if missing:
        first = ", ".join(format_name("contacts", item) for item in missing[:NAMED])
        more = f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
        raise FailedPrecondition(
            f"{len(missing)} of {len(contact_ids)} contacts are not known to segmentation: {first}{more}; nobody was "
            "added. A contact that was made just now is known a moment later",
            reason="UNKNOWN_CONTACTS",
            metadata={"contacts": first, "count": str(len(missing))},
        )
