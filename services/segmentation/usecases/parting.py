"""Contacts that are no more: merged into another one, or erased."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from services.kit.gone import Parting, heirs_of
from services.segmentation.context import Service
from services.segmentation.domain import ActiveRule
from services.segmentation.rulebook import notice_of
from services.segmentation.store import gone, leaving, segments
from services.segmentation.store.telling import Notices


@dataclass
class Parted:
    """Hold the contacts that others were merged into, by whether that was live or of the past."""

    live: set[UUID] = field(default_factory=set)
    past: set[UUID] = field(default_factory=set)


def part(
    service: Service, connection: Connection, live: Sequence[Parting], past: Sequence[Parting], now: datetime
) -> Parted:
    """Let contacts be gone: merged ones leave what they have to those that remain, of erased ones nothing is kept.

    The membership lock must be owned. The contacts that remain must be evaluated after it. Nothing happens to a contact
    that is gone already. Raises InvalidArgument (MERGE_CIRCLE) when a contact would be merged into itself.
    """
    told = [*past, *live]
    known = gone.targets(connection, {key for pair in told for key in pair if key is not None})
    heirs = heirs_of(told, known)
    if not heirs:
        return Parted()
    # Of somebody erased nothing stays, under whatever name it came.
    erased = [key for key, heir in heirs.items() if heir is None]
    before = gone.absorbed_by(connection, erased) if erased else []
    gone.put(connection, heirs, now)
    plan = service.plan(connection)
    lists = segments.list_notices(connection)
    notices = Notices(
        (
            *(notice_of(rule) for rule in plan.rules.values()),
            *(notice_of(ActiveRule(number, id_, version, "", ())) for number, id_, version in lists),
        )
    )
    parted = Parted()
    of_past = {key for key, _ in past}
    for historical, remaining in ((True, parted.past), (False, parted.live)):
        some = {key: heir for key, heir in heirs.items() if (key in of_past) == historical}
        if some:
            numbers = [number for number, _, _ in lists]
            leaving.leave(connection, some, numbers, notices, now=now, historical=historical)
            remaining.update(heir for heir in some.values() if heir is not None)
    gone.hand_over(connection, heirs)
    gone.remove(connection, list(heirs))
    gone.forget(connection, [*erased, *before])
    return parted
