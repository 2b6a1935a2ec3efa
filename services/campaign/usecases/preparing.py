"""Make the claimed messages ready to leave, or say why they must not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from rapport.contacts.v1 import contacts_pb2
from rapport_sdk import OutboundMessage, Recipient

from services.campaign.domain.coupons import Coupon, Pool, new_code
from services.campaign.domain.ids import TRANSACTIONAL, one_line
from services.campaign.domain.ledger import FAILED, REQUESTS, SUPPRESSED, consent_problem, normalise_address
from services.campaign.domain.rendering import BadTemplate, Compiler, StoredTemplate
from services.campaign.store import coupons, journeys, suppressions, templates
from services.campaign.store.claims import Claim, HandOver, Result
from services.campaign.usecases import audience
from services.kit import log
from services.kit.log import safe_text
from services.kit.plugins import PluginManager
from services.kit.runtime import Runtime

_log = log.get_logger("sender")
_compiler = Compiler()
_FROM = "care"


@dataclass(frozen=True, slots=True)
class Ready:
    """Hold a message that may leave: what is recorded of it, what the channel gets, and its coupon if it is new."""

    hand_over: HandOver
    outbound: OutboundMessage
    coupon: Coupon | None


@dataclass(slots=True)
class Prepared:
    """Hold what became of claimed messages: ready to leave, or decided already."""

    ready: list[Ready] = field(default_factory=list)
    decided: list[Result] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Needs:
    """Hold what the messages of a batch refer to."""

    templates: Mapping[str, StoredTemplate]
    pools: Mapping[str, Pool]
    events: Mapping[UUID, Mapping[str, Any]]


def prepare(
    runtime: Runtime, manager: PluginManager, claims: Sequence[Claim], kind: str, topic: str
) -> Prepared:
    """Decide on messages of one channel and topic.

    kind: of address. Asks contacts for the addresses and consents of this moment; its errors are raised.
    """
    keys = list(dict.fromkeys(claim.contact_id for claim in claims if claim.contact_id is not None))
    people = audience.recipients(runtime, keys, kind, topic) if keys else {}
    addresses: dict[UUID, str] = {}
    compared: dict[UUID, tuple[str, str]] = {}
    for claim in claims:
        person = people.get(claim.contact_id) if claim.contact_id else None
        addresses[claim.id] = (claim.content or {}).get("address") or (person.address if person else "")
        compared[claim.id] = kind, normalise_address(kind, addresses[claim.id])
    with runtime.db.read() as connection:
        blocked = suppressions.find(connection, {pair for pair in compared.values() if pair[1]})
        needs = _Needs(
            templates.get_many(connection, {claim.template_id for claim in claims if claim.template_id}),
            coupons.pools(connection, {claim.coupon_pool_id for claim in claims if claim.coupon_pool_id}),
            journeys.events_of(
                connection, {claim.entry_id for claim in claims if claim.origin.startswith("journeys/")}
            ),
        )
    prepared = Prepared()
    for claim in claims:
        person = people.get(claim.contact_id) if claim.contact_id else None
        address = addresses[claim.id]
        problem = _problem(claim, person, address, compared[claim.id] in blocked)
        if problem:
            prepared.decided.append(_result(runtime, claim, SUPPRESSED, problem))
            continue
        try:
            ready = _make(runtime, claim, person, kind, address, needs)
        except BadTemplate as error:
            prepared.decided.append(_result(runtime, claim, FAILED, f"RENDER_FAILED: {error}"))
            continue
        except Exception as error:
            # A mistake of ours in one message must not stop all others, again and again.
            _log.exception("message cannot be made", message=str(claim.id))
            prepared.decided.append(_result(runtime, claim, FAILED, f"RENDER_FAILED: {type(error).__name__}"))
            continue
        veto = manager.send_veto(ready.outbound, _recipient(claim, person, kind))
        if veto is not None:
            prepared.decided.append(_result(runtime, claim, SUPPRESSED, f"VETOED: {veto.reason}"))
            continue
        prepared.ready.append(ready)
    return prepared


def _problem(claim: Claim, person: contacts_pb2.Recipient | None, address: str, blocked: bool) -> str:
    if claim.contact_id is not None:
        if person is None:
            return "CONTACT_GONE"
        if problem := consent_problem(claim.topic, audience.consent_of(person)):
            return problem
    elif claim.topic != TRANSACTIONAL:
        return "NO_CONSENT"
    if not address:
        return "NO_ADDRESS"
    return "SUPPRESSED" if blocked else ""


def _make(
    runtime: Runtime,
    claim: Claim,
    person: contacts_pb2.Recipient | None,
    kind: str,
    address: str,
    needs: _Needs,
) -> Ready:
    """Render a message; raises BadTemplate."""
    code, coupon = claim.coupon_code, None
    if claim.coupon_pool_id and not code:
        # It is issued in the transaction that lets the message go: none for those that do not.
        code = new_code(needs.pools[claim.coupon_pool_id].prefix)
        coupon = Coupon(
            code=code,
            pool_id=claim.coupon_pool_id,
            contact_id=claim.contact_id,
            message_id=claim.id,
            issue_time=runtime.clock.now(),
            redeem_time=None,
            order_id=None,
        )
    reply_to = audience.reply_address(runtime, claim.id)
    bounce, headers = reply_to, {}
    if claim.content is not None:
        subject, text, html = claim.subject, str(claim.content["text"]), ""
        reply_to = str(claim.content["reply_to"]) or reply_to
        if answered := str(claim.content["in_reply_to"]):
            headers = {"In-Reply-To": answered, "References": answered}
    else:
        assert person is not None, "only single messages go to somebody who is no contact"
        context = audience.template_context(
            runtime,
            person,
            topic=claim.topic,
            coupon=code,
            event=needs.events.get(claim.entry_id),
            message_id=claim.id,
        )
        content = _compiler.content(needs.templates[claim.template_id], person.language_code)
        rendered = content.render(context)
        subject, text, html = rendered.subject, rendered.text, rendered.html
    if person is not None and (stop := audience.unsubscribe_address(runtime, person.contact, claim.topic)):
        headers["List-Unsubscribe"] = f"<mailto:{stop}>"
    return Ready(
        HandOver(
            claim=claim,
            subject=subject,
            recipient_hash=runtime.signer.mac(
                "recipient", f"{kind}:{normalise_address(kind, address)}".encode()
            ),
            coupon_code=code,
        ),
        OutboundMessage(
            message_id=str(claim.id),
            to=address,
            to_name=one_line(person.display_name)[:200] if person is not None else "",
            subject=subject,
            text=text,
            html=html,
            from_address=f"{_FROM}@{runtime.settings.mail_domain}",
            reply_to=reply_to,
            bounce_address=bounce,
            headers=headers,
            contact_id=str(claim.contact_id or ""),
            campaign="" if claim.origin.startswith(f"{REQUESTS}/") else claim.origin,
        ),
        coupon,
    )


def _recipient(claim: Claim, person: contacts_pb2.Recipient | None, kind: str) -> Recipient:
    if person is None:
        return Recipient(contact_id="")
    consent = audience.consent_of(person)
    return Recipient(
        contact_id=str(claim.contact_id),
        region_code=person.region_code,
        language_code=person.language_code,
        time_zone=person.time_zone,
        tags=tuple(person.tags),
        consents={f"{kind}_{claim.topic}": consent} if consent else {},
    )


def _result(runtime: Runtime, claim: Claim, state: str, reason: str) -> Result:
    # What plugins and servers say may quote the address, which the ledger does not keep.
    return Result(claim=claim, state=state, reason=safe_text(reason)[:500], due_time=runtime.clock.now())
