"""What mail servers and providers report of messages: bounces, delays, complaints.

A report is believed when it proves that its sender had the message: by the signed address that the message came
from, or by its id, which nobody can guess. Whoever has a message can thus suppress its recipient's address, and no
other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Literal
from uuid import UUID

from rapport.campaign.v1 import events_pb2
from rapport_client.errors import RapportError as ClientError
from rapport_sdk import DeliveryReport
from rapport_sdk.mail_reports import BadReport, read_report
from sqlalchemy import Connection

from services.campaign.domain.delivery import (
    BOUNCED,
    COMPLAINED,
    EVENT_TYPES,
    SOFT_BOUNCED,
    SUPPRESS_REASON,
    Finding,
    gravest,
    kind_of,
)
from services.campaign.domain.ids import TRANSACTIONAL
from services.campaign.domain.ledger import normalise_address
from services.campaign.models import contact_gone, kit
from services.campaign.store import reports as store
from services.campaign.store import suppressions
from services.campaign.store.reports import Engagement, Quarantined, Report, Reported
from services.campaign.store.suppressions import Suppressed
from services.campaign.usecases import audience, unsubscribing
from services.kit import gone, outbox
from services.kit.errors import InvalidArgument, Unavailable
from services.kit.log import get_logger, safe_text
from services.kit.names import format_name, new_id
from services.kit.outbox import NewEvent
from services.kit.runtime import Runtime
from services.kit.signing import MESSAGE

Outcome = Literal["recorded", "ignored", "unproven", "quarantined"]
QUARANTINE_MOST = 2_000
QUARANTINE_BYTES = 64 << 10
QUARANTINE_DAYS = 30
_log = get_logger("reports")


def report_mail(runtime: Runtime, raw: bytes, recipient: str) -> tuple[Outcome, UUID | None]:
    """Take in a mail that may be a report, and return what became of it and the message that it is about.

    recipient: of its envelope. Raises Unavailable (CONTACTS_UNAVAILABLE), with nothing recorded.
    """
    try:
        report = read_report(raw)
    except BadReport as error:
        put_in_quarantine(runtime, "mail", str(error), raw)
        return "quarantined", None
    if report is None:
        return "ignored", None
    finding = gravest(report.recipients)
    if finding is None:
        return "ignored", None
    key = _proven(runtime, [recipient, *report.addresses])
    if key is None or not _record(runtime, key, finding):
        return "unproven", None
    return "recorded", key


def report_callback(runtime: Runtime, channel: str, reports: Sequence[DeliveryReport]) -> int:
    """Take in what a channel's provider reports, and return how many of them are about messages that it was given.

    Raises Unavailable (CONTACTS_UNAVAILABLE); what was recorded until then stays, and the rest comes with the
    repetition.
    """
    counted = 0
    for item in reports:
        try:
            key = UUID(item.message_id)
        except ValueError:
            continue
        finding = Finding(kind_of(item.status, item.permanent), item.reason)
        counted += _record(runtime, key, finding, channel)
    return counted


def put_in_quarantine(runtime: Runtime, source: str, reason: str, content: bytes) -> None:
    """Keep a report that cannot be read, for people to look at; of too many only the log tells."""
    item = Quarantined(
        id=new_id(),
        source=source,
        reason=_clean(reason),
        content=content[:QUARANTINE_BYTES],
        size=len(content),
        time=runtime.clock.now(),
    )
    with runtime.db.transaction() as connection:
        kept = store.put_in_quarantine(connection, item, QUARANTINE_MOST)
    _log.warning("a report cannot be read", source=source, problem=item.reason, size=item.size, kept=kept)


def list_quarantine(runtime: Runtime, *, before: UUID | None, count: int) -> list[Quarantined]:
    """Return the next reports in quarantine, newest first."""
    with runtime.db.read() as connection:
        return store.quarantine_page(connection, before=before, count=count)


def drop_quarantined(runtime: Runtime, keys: Sequence[UUID]) -> int:
    """Delete reports from quarantine and return how many there were."""
    with runtime.db.transaction() as connection:
        return store.drop(connection, keys)


def prune_quarantine(runtime: Runtime) -> int:
    """Delete what has been in quarantine for a month."""
    with runtime.db.transaction() as connection:
        return store.prune(connection, runtime.clock.now() - timedelta(days=QUARANTINE_DAYS))


def list_reports(
    runtime: Runtime, *, message_id: UUID | None, origin: str, kind: str, before: UUID | None, count: int
) -> list[Report]:
    """Return the next reports, newest first."""
    with runtime.db.read() as connection:
        return store.page(
            connection, message_id=message_id, origin=origin, kind=kind, before=before, count=count
        )


def get_engagement(runtime: Runtime, origin: str) -> Engagement:
    """Return what became of the messages of an origin, as of one moment."""
    with runtime.db.snapshot() as connection:
        return store.engagement(connection, origin)


def _proven(runtime: Runtime, addresses: Iterable[str]) -> UUID | None:
    """Return the message that the first signed address of ours among some names."""
    domain = runtime.settings.mail_domain.lower()
    for address in addresses:
        local, _, host = address.strip().strip("<>").lower().rpartition("@")
        prefix, plus, token = local.partition("+")
        if host != domain or prefix != "reply" or not plus:
            continue
        try:
            kind, key = runtime.signer.verify(token)
        except InvalidArgument:
            continue
        if kind == MESSAGE:
            return UUID(bytes=key)
    return None


def _record(runtime: Runtime, key: UUID, finding: Finding, channel: str = "") -> bool:
    """Write what is reported of a message, with what follows; says whether it left, by that channel if given."""
    with runtime.db.read() as connection:
        found = store.find(connection, key)
        if found is None or (channel and found.channel != channel):
            return False
        if store.known(connection, key, finding.kind):
            return True
        wanted = _suppresses(runtime, connection, found, finding)
    # Before the transaction: contacts may take its time.
    address = _address(runtime, found, finding) if wanted else ""
    now = runtime.clock.now()
    with runtime.db.transaction() as connection:
        gone.current(connection, contact_gone, [])
        found = store.find(connection, key, lock=True)
        if found is None:
            return False
        suppressed = bool(address) and _suppresses(runtime, connection, found, finding)
        reason = _clean(finding.reason)
        report = Report(
            id=new_id(),
            message_id=key,
            contact_id=found.contact_id,
            origin=found.origin,
            kind=finding.kind,
            reason=reason,
            time=now,
            suppressed=suppressed,
        )
        if not store.add(connection, report, found.recipient_hash):
            return True
        if suppressed:
            kind = found.address_kind
            entry = Suppressed(kind, normalise_address(kind, address), SUPPRESS_REASON[finding.kind], now)
            suppressions.add(connection, [entry])
        _tell(connection, found, report)
        if finding.kind == COMPLAINED and found.contact_id is not None and found.topic != TRANSACTIONAL:
            unsubscribing.request(
                connection, found.contact_id, found.address_kind, found.topic, key, "complaint", now
            )
    return True


def _suppresses(runtime: Runtime, connection: Connection, found: Reported, finding: Finding) -> bool:
    """Say whether the address is to be suppressed, once the finding is written."""
    if finding.kind in (BOUNCED, COMPLAINED):
        return True
    if finding.kind != SOFT_BOUNCED or found.recipient_hash is None:
        return False
    since = runtime.clock.now() - timedelta(days=runtime.settings.soft_bounce_days)
    before = store.soft_bounces(connection, bytes(found.recipient_hash), since)
    return before + 1 >= runtime.settings.soft_bounce_limit


def _address(runtime: Runtime, found: Reported, finding: Finding) -> str:
    """Return the address that a message went to, which the ledger knows by its hash only; "" when nobody tells.

    A report may name any address, and a contact may have another by now: the hash decides.
    """
    if found.recipient_hash is None:
        return ""
    for address in finding.addresses:
        if _is_recipient(runtime, found, address):
            return address
    if found.contact_id is None:
        return ""
    try:
        people = audience.recipients(runtime, [found.contact_id], found.address_kind, found.topic)
    except ClientError as error:
        raise Unavailable(
            f"contacts does not say which address {format_name('messages', found.id)} went to: {error.message}; "
            "send the report again later",
            reason="CONTACTS_UNAVAILABLE",
        ) from error
    person = people.get(found.contact_id)
    if person is not None and _is_recipient(runtime, found, person.address):
        return person.address
    return ""


def _is_recipient(runtime: Runtime, found: Reported, address: str) -> bool:
    kind = found.address_kind
    text = f"{kind}:{normalise_address(kind, address)}".encode("utf-8", "replace")
    return bool(address) and runtime.signer.matches("recipient", text, bytes(found.recipient_hash or b""))


def _tell(connection: Connection, found: Reported, report: Report) -> None:
    kind = EVENT_TYPES.get(report.kind)
    if kind is None:
        return
    event = NewEvent(
        type=kind,
        subject=format_name("messages", found.id),
        contact=found.contact_id,
        revision=1,
        occur_time=report.time,
        data=events_pb2.DeliveryReported(
            message=format_name("messages", found.id),
            origin=found.origin,
            channel=found.channel,
            reason=report.reason,
            suppressed=report.suppressed,
        ),
    )
    outbox.append(connection, kit.outbox, [event], record_time=report.time)


def _clean(text: str) -> str:
    """Return what a stranger wrote as one short line that can be stored and shown, without addresses."""
    plain = text[:2000].encode("utf-8", "replace").decode().replace("\0", "")
    return safe_text(" ".join(plain.split()))[:300]
