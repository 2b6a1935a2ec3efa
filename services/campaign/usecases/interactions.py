"""What people and machines did with messages: written down, decided some seconds later, told, and taken back."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from rapport.campaign.v1 import events_pb2
from sqlalchemy import Connection

from services.campaign.domain.interactions import (
    CLICK,
    COMPANY,
    HUMAN,
    MANUAL,
    SCANNER,
    SETTLE,
    Hit,
    Signals,
    Told,
    corrections,
    decide,
)
from services.campaign.models import contact_gone, kit
from services.campaign.store import interactions as store
from services.campaign.store.interactions import Group, Interaction, Seen, Selection, Sent
from services.campaign.usecases import attribution
from services.kit import gone, outbox
from services.kit.errors import InvalidArgument
from services.kit.names import format_name, new_id
from services.kit.outbox import NewEvent
from services.kit.runtime import Runtime

BATCH = 1_000
BATCHES = 20
RECLASSIFY = 10_000
_FORGET = 5_000


def record_hits(runtime: Runtime, hits: Sequence[Hit]) -> int:
    """Write what a web process saw, in one statement; the same hits again change nothing. Returns how many are new."""
    with runtime.db.transaction() as connection:
        # Nobody is merged or erased in between, so each is of the contact that its message has now.
        gone.current(connection, contact_gone, [])
        return store.insert(connection, hits)


def settle(runtime: Runtime) -> int:
    """Decide on interactions whose time has come, and tell those of people; returns how many were decided.

    Any number of processes may do it at once: one does, the others come again.
    """
    total = 0
    for _ in range(BATCHES):
        now = runtime.clock.now()
        with runtime.db.transaction() as connection:
            if not store.try_lock(connection):
                return total
            rule = attribution.prepare_renewal(connection)
            until = now - SETTLE
            seen = store.pending(connection, until, BATCH)
            verdicts = [
                (item, *verdict)
                for item, verdict in zip(seen, _decide(seen), strict=True)
                if item.time <= until
            ]
            if not verdicts:
                return total
            store.settle(connection, [(item.id, verdict, why) for item, verdict, why in verdicts])
            groups = {
                Group(item.message_id, item.kind, item.link)
                for item, verdict, _ in verdicts
                if verdict == HUMAN
            }
            _correct(connection, groups, now)
            # One that came before it was decided on may have brought an order that is there already.
            attribution.renew(connection, rule, {group.message_id for group in groups})
        total += len(verdicts)
        if len(verdicts) < BATCH:
            break
    return total


def reclassify(
    runtime: Runtime, selection: Selection, verdict: str, reason: str
) -> tuple[int, int, int, bool]:
    """Decide anew who made interactions, at most 10,000 at a call.

    Returns how many changed, were taken back, were told, and whether there are more. Raises InvalidArgument
    (NO_SELECTION).
    """
    both = selection.start_time is not None and selection.end_time is not None
    if not (selection.message_id or selection.origin or selection.rule or both):
        raise InvalidArgument(
            "nothing says which interactions: give a message, an origin, a rule, or start_time and end_time",
            reason="NO_SELECTION",
        )
    if verdict not in (HUMAN, SCANNER):
        raise InvalidArgument.field("verdict", "must be HUMAN or SCANNER")
    rule = f"{MANUAL}: {' '.join(reason.split())}" if reason.strip() else MANUAL
    now = runtime.clock.now()
    with runtime.db.transaction() as connection:
        store.lock(connection)
        renewed_by = attribution.prepare_renewal(connection)
        changed, groups = store.reclassify(connection, selection, verdict, rule, RECLASSIFY)
        reversed_, told = _correct(connection, groups, now)
        attribution.renew(connection, renewed_by, {group.message_id for group in groups})
    return changed, reversed_, told, changed == RECLASSIFY


def list_interactions(
    runtime: Runtime, selection: Selection, *, before: UUID | None, count: int
) -> list[Interaction]:
    """Return the next interactions, newest first."""
    with runtime.db.read() as connection:
        return store.page(connection, selection, before=before, count=count)


def forget_old(runtime: Runtime) -> int:
    """Delete interactions that are older than the settings keep them; returns how many."""
    before = runtime.clock.now() - timedelta(days=runtime.settings.interaction_retention_days)
    total = 0
    for _ in range(BATCHES):
        with runtime.db.transaction() as connection:
            deleted = store.forget(connection, before, _FORGET)
        total += deleted
        if deleted < _FORGET:
            break
    return total


def _decide(seen: Sequence[Seen]) -> list[tuple[str, str]]:
    """Return verdict and rule of each: first of each by itself, then by the machines that were with it."""
    alone = [decide(_signals(item)) for item in seen]
    machines: dict[tuple[UUID, bytes], list[datetime]] = {}
    for item, (verdict, _) in zip(seen, alone, strict=True):
        if verdict == SCANNER and item.source_hash is not None:
            machines.setdefault((item.message_id, bytes(item.source_hash)), []).append(item.time)
    return [
        verdict
        if verdict[0] == SCANNER or not _accompanied(item, machines)
        else decide(_signals(item, near=True))
        for item, verdict in zip(seen, alone, strict=True)
    ]


def _signals(item: Seen, *, near: bool = False) -> Signals:
    return Signals(
        kind=item.kind,
        agent=item.agent,
        after=None if item.send_time is None else item.time - item.send_time,
        burst_links=item.burst_links,
        twin_links=item.twin_links,
        shared_messages=item.shared_messages,
        with_scanner=near,
    )


def _accompanied(item: Seen, machines: dict[tuple[UUID, bytes], list[datetime]]) -> bool:
    if item.source_hash is None:
        return False
    times = machines.get((item.message_id, bytes(item.source_hash)), ())
    return item.scanner_near or any(abs(time - item.time) <= COMPANY for time in times)


def _correct(connection: Connection, wanted: Collection[Group], now: datetime) -> tuple[int, int]:
    """Tell and take back what the verdicts of groups demand; returns how many were taken back and told."""
    reversals: list[NewEvent] = []
    untold: list[tuple[Group, Sent, Told]] = []
    marks: list[tuple[UUID, UUID | None]] = []
    for group, (sent, rows) in store.groups(connection, wanted).items():
        wrong, missing = corrections(rows)
        for row in wrong:
            marks.append((row.id, None))
            # An erased contact's events are gone everywhere.
            if sent.contact_id is not None:
                reversals.append(_reversed(group, sent, row, now))
        if missing is not None and sent.contact_id is not None:
            untold.append((group, sent, missing))
    # Ids rise in the order in which the stream is to tell of them.
    untold.sort(key=lambda item: (item[2].time, item[2].id))
    told = [_engaged(*item) for item in untold]
    marks += [(row.id, event.id) for (_, _, row), event in zip(untold, told, strict=True)]
    if marks:
        store.mark_told(connection, marks)
    outbox.append(connection, kit.outbox, [*reversals, *told], record_time=now)
    return len(reversals), len(told)


def _engaged(group: Group, sent: Sent, row: Told) -> NewEvent:
    return NewEvent(
        id=new_id(),
        type="message.clicked" if group.kind == CLICK else "message.opened",
        subject=format_name("messages", group.message_id),
        contact=sent.contact_id,
        revision=1,
        occur_time=row.time,
        data=events_pb2.MessageEngaged(
            message=format_name("messages", group.message_id),
            origin=sent.origin,
            channel=sent.channel,
            topic=sent.topic,
            link=group.link,
        ),
    )


def _reversed(group: Group, sent: Sent, row: Told, now: datetime) -> NewEvent:
    return NewEvent(
        id=new_id(),
        type="message.click_reversed" if group.kind == CLICK else "message.open_reversed",
        subject=format_name("messages", group.message_id),
        contact=sent.contact_id,
        revision=1,
        occur_time=now,
        data=events_pb2.EngagementReversed(
            message=format_name("messages", group.message_id),
            origin=sent.origin,
            event=str(row.event_id),
            link=group.link,
        ),
    )
