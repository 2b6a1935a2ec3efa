"""Make the claimed messages ready to leave, or say why they must not."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from rapport.contacts.v1 import contacts_pb2
from rapport_sdk import OutboundMessage, Recipient
from sqlalchemy import Connection

from services.campaign.domain.coupons import Coupon, Pool, new_code
from services.campaign.domain.decisions import Facts, HourRules, Stay, coupon_problem, refusal
from services.campaign.domain.ids import one_line
from services.campaign.domain.ledger import (
    FAILED,
    JOURNEYS,
    PLANNED,
    REQUESTS,
    SUPPRESSED,
    lane_of,
    normalise_address,
)
from services.campaign.domain.policies import Policies
from services.campaign.domain.rendering import BadTemplate, Rendered, StoredTemplate
from services.campaign.domain.utm import LinkSettings
from services.campaign.renderer.pool import Late, Patience, Renderer
from services.campaign.store import (
    campaigns,
    coupons,
    experiments,
    journeys,
    links,
    policies,
    suppressions,
    templates,
)
from services.campaign.store.claims import Claim, HandOver, Result
from services.campaign.usecases import audience, contents
from services.campaign.usecases.contents import NO_SETTINGS, Draft
from services.campaign.usecases.holding import held
from services.campaign.usecases.throttle import Admission, Put, Throttle
from services.kit import log
from services.kit.errors import RapportError
from services.kit.log import safe_text
from services.kit.plugins import PluginManager
from services.kit.runtime import Runtime

_log = log.get_logger("sender")
_FROM = "care"


@dataclass(frozen=True, slots=True)
class Ready:
    """Hold a message that may leave: what is recorded of it, what the channel gets, and its coupon if it is new."""

    hand_over: HandOver
    outbound: OutboundMessage
    coupon: Coupon | None
    # What is recorded of it although it leaves, and its place in the admission of the batch.
    note: str = ""
    position: int = 0
    zone: str = ""
    # Whether it is sent again when nobody knows whether it was, if its channel never delivers twice.
    again: bool = False


@dataclass(slots=True)
class Prepared:
    """Hold what became of claimed messages: ready to leave, or decided already.

    policies: by which those that are ready are capped. admission: their places in the limits of their domains.
    asked: when contacts was asked about them, in real seconds, and ask_time by the business clock.
    """

    ready: list[Ready] = field(default_factory=list)
    decided: list[Result] = field(default_factory=list)
    policies: Policies = field(default_factory=lambda: Policies(()))
    admission: Admission | None = None
    asked: float = 0.0
    ask_time: datetime = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Needs:
    """Hold what the messages of a batch refer to."""

    templates: Mapping[str, StoredTemplate]
    pools: Mapping[str, Pool]
    events: Mapping[UUID, Mapping[str, Any]]
    settings: Mapping[str, LinkSettings]
    numbers: Mapping[str, Mapping[str, int]]
    retrying: Set[str]


@dataclass(frozen=True, slots=True)
class _Open:
    """Hold a message that nothing speaks against so far: to whom it goes, its coupon, and its place in the limits."""

    claim: Claim
    person: contacts_pb2.Recipient | None
    address: str
    code: str = ""
    coupon: Coupon | None = None
    unsubscribe: tuple[str, str] = ("", "")
    position: int = 0


def prepare(
    runtime: Runtime,
    manager: PluginManager,
    claims: Sequence[Claim],
    kind: str,
    topic: str,
    throttle: Throttle | None = None,
    beat: Callable[[], None] = lambda: None,
    renderer: Renderer | None = None,
    patience: Patience | None = None,
) -> Prepared:
    """Decide on messages of one channel and topic.

    kind: of address. throttle: gives places in the limits of domains; those of messages that are not ready are back
    when this returns. beat: called when there is progress in what takes long. renderer: None for that of the process.
    patience: how long the messages of one lane may take to render; those that do not fit are neither ready nor decided,
    so that they go back. Asks contacts for the addresses and
    consents of this moment; its errors are raised, and Unavailable when templates cannot be rendered at all.
    """
    keys = list(dict.fromkeys(claim.contact_id for claim in claims if claim.contact_id is not None))
    asked, ask_time = time.monotonic(), runtime.clock.now()
    people = audience.recipients(runtime, keys, kind, topic) if keys else {}
    addresses: dict[UUID, str] = {}
    compared: dict[UUID, tuple[str, str]] = {}
    for claim in claims:
        person = people.get(claim.contact_id) if claim.contact_id else None
        addresses[claim.id] = (claim.content or {}).get("address") or (person.address if person else "")
        compared[claim.id] = kind, normalise_address(kind, addresses[claim.id])
    now = runtime.clock.now()
    with runtime.db.read() as connection:
        held_out = experiments.get_hold_out(connection)
        blocked = suppressions.find(connection, {pair for pair in compared.values() if pair[1]})
        needs = _needs(connection, claims)
        prepared = Prepared(policies=policies.load(connection), asked=asked, ask_time=ask_time)
    hours = HourRules(prepared.policies, runtime.settings.time_zone)
    allowed: list[tuple[Claim, contacts_pb2.Recipient | None]] = []
    for claim in claims:
        person = people.get(claim.contact_id) if claim.contact_id else None
        facts = Facts(
            claim.contact_id,
            person is not None,
            audience.consent_of(person) if person is not None else "",
            addresses[claim.id],
            compared[claim.id] in blocked,
        )
        if problem := refusal(claim.topic, facts, held_out, now):
            prepared.decided.append(held(claim, Stay(problem), now))
        elif stay := hours.stay(claim.channel, claim.topic, claim.contact_id, _zone(person), now):
            prepared.decided.append(held(claim, stay, now))
        else:
            allowed.append((claim, person))
    left: list[_Open] = []
    puts: Sequence[Put | None] = [None] * len(allowed)
    if throttle is not None and allowed:
        wanted = [(lane_of(claim.origin), addresses[claim.id]) for claim, _ in allowed]
        prepared.admission = throttle.admit(allowed[0][0].channel, wanted)
        puts = prepared.admission.puts
    for position, ((claim, person), put) in enumerate(zip(allowed, puts, strict=True)):
        if put is not None:
            prepared.decided.append(_put_back(runtime, claim, put))
            continue
        unsubscribe = ("", "")
        if person is not None:
            unsubscribe = audience.unsubscribe_links(
                runtime, claim.contact_id, claim.topic, claim.id, person.language_code
            )
        left.append(_Open(claim, person, addresses[claim.id], claim.coupon_code, None, unsubscribe, position))
    left = _with_coupons(runtime, left, needs, prepared)
    contexts = _contexts(runtime, left, needs, prepared)
    try:
        texts = _rendered(runtime, left, contexts, needs, beat, renderer, patience)
    except RapportError:
        if prepared.admission is not None:
            prepared.admission.give_back(range(len(allowed)))
        raise
    for item in left:
        claim = item.claim
        text = texts.get(claim.id)
        if claim.id not in contexts or isinstance(text, Late):
            continue
        try:
            note = safe_text(hours.note(claim.channel, claim.topic, _zone(item.person)))[:500]
            ready = _make(runtime, item, text, compared[claim.id], note, claim.origin in needs.retrying)
        except BadTemplate as error:
            prepared.decided.append(_result(runtime, claim, FAILED, f"RENDER_FAILED: {error}"))
            continue
        except Exception as error:
            # A mistake of ours in one message must not stop all others, again and again.
            _log.exception("message cannot be made", message=str(claim.id))
            prepared.decided.append(_result(runtime, claim, FAILED, f"RENDER_FAILED: {type(error).__name__}"))
            continue
        veto = manager.send_veto(ready.outbound, _recipient(claim, item.person, kind))
        if veto is not None:
            prepared.decided.append(_result(runtime, claim, SUPPRESSED, f"VETOED: {veto.reason}"))
            continue
        prepared.ready.append(ready)
    if prepared.admission is not None:
        used = {ready.position for ready in prepared.ready}
        prepared.admission.give_back(position for position in range(len(allowed)) if position not in used)
    _give_back(runtime, left, prepared)
    return prepared


def _needs(connection: Connection, claims: Sequence[Claim]) -> _Needs:
    names = {claim.template_id for claim in claims if claim.template_id}
    return _Needs(
        templates.get_many(connection, names),
        coupons.pools(connection, {claim.coupon_pool_id for claim in claims if claim.coupon_pool_id}),
        journeys.events_of(
            connection, {claim.entry_id for claim in claims if claim.origin.startswith("journeys/")}
        ),
        links.settings(connection, {claim.origin for claim in claims if claim.template_id}) if names else {},
        links.numbers(connection, names) if names else {},
        campaigns.retrying(connection, {claim.origin for claim in claims}),
    )


def _with_coupons(runtime: Runtime, left: Sequence[_Open], needs: _Needs, prepared: Prepared) -> list[_Open]:
    """Find a code for each message that is to carry one; those for which there is none are decided."""
    now = runtime.clock.now()
    wanted: dict[str, list[UUID]] = defaultdict(list)
    expired: dict[str, str] = {}
    for pool in needs.pools.values():
        if problem := coupon_problem(pool.id, pool.expire_time, None, now):
            expired[pool.id] = problem
    for item in left:
        key = item.claim.coupon_pool_id
        if key and not item.code and needs.pools[key].imported and key not in expired:
            wanted[key].append(item.claim.id)
    uploaded: dict[UUID, str] = {}
    for name, keys in wanted.items():
        with runtime.db.transaction() as connection:
            uploaded |= coupons.reserve(connection, name, keys)
    made: list[_Open] = []
    for item in left:
        claim, code = item.claim, item.code
        # Also a code of an earlier attempt: nobody could redeem it any more.
        if problem := expired.get(claim.coupon_pool_id, ""):
            prepared.decided.append(_result(runtime, claim, FAILED, problem))
            continue
        if not claim.coupon_pool_id or code:
            made.append(item)
            continue
        pool = needs.pools[claim.coupon_pool_id]
        code = uploaded.get(claim.id, "") if pool.imported else new_code(pool.prefix)
        if not code:
            problem = coupon_problem(pool.id, pool.expire_time, 0, now)
            prepared.decided.append(_result(runtime, claim, FAILED, problem))
            continue
        # It is issued in the transaction that lets the message go: none for those that do not.
        coupon = Coupon(
            code=code,
            pool_id=pool.id,
            contact_id=claim.contact_id,
            message_id=claim.id,
            issue_time=now,
            redeem_time=None,
            order_id=None,
            imported=pool.imported,
        )
        made.append(replace(item, code=code, coupon=coupon))
    return made


def _give_back(runtime: Runtime, left: Sequence[_Open], prepared: Prepared) -> None:
    leaving = {item.hand_over.claim.id for item in prepared.ready}
    unused = [
        item.claim.id
        for item in left
        if item.coupon is not None and item.coupon.imported and item.claim.id not in leaving
    ]
    if unused:
        with runtime.db.transaction() as connection:
            coupons.release(connection, unused)


def _contexts(
    runtime: Runtime, left: Sequence[_Open], needs: _Needs, prepared: Prepared
) -> dict[UUID, dict[str, Any] | None]:
    """Return what the template of each message sees, None where it has none; those without an answer are decided."""
    made: dict[UUID, dict[str, Any] | None] = {}
    for item in left:
        claim, person = item.claim, item.person
        if claim.content is not None or person is None:
            made[claim.id] = None
            continue
        try:
            made[claim.id] = audience.template_context(
                runtime,
                person,
                topic=claim.topic,
                coupon=item.code,
                event=needs.events.get(claim.entry_id),
                message_id=claim.id,
                unsubscribe=item.unsubscribe,
            )
        except Exception as error:
            # What is wrong with one contact or event must not stop the messages to all others, again and again.
            _log.exception("what a template sees cannot be made", message=str(claim.id))
            reason = f"RENDER_FAILED: {type(error).__name__} in what the template would see"
            prepared.decided.append(_result(runtime, claim, FAILED, reason))
    return made


def _rendered(
    runtime: Runtime,
    left: Sequence[_Open],
    contexts: Mapping[UUID, dict[str, Any] | None],
    needs: _Needs,
    beat: Callable[[], None],
    renderer: Renderer | None,
    patience: Patience | None,
) -> dict[UUID, Rendered | BadTemplate | Late]:
    """Render the messages that have a template, all at once."""
    drafts: list[Draft] = []
    for item in left:
        claim, person = item.claim, item.person
        if (context := contexts.get(claim.id)) is None or person is None:
            continue
        drafts.append(
            Draft(
                claim.id,
                needs.templates[claim.template_id],
                person.language_code,
                claim.topic,
                context,
                needs.settings.get(claim.origin, NO_SETTINGS),
                needs.numbers.get(claim.template_id),
                lane_of(claim.origin),
            )
        )
    if not drafts:
        return {}
    made = contents.render(runtime, drafts, renderer=renderer, beat=beat, patience=patience)
    return {draft.message_id: text for draft, text in zip(drafts, made, strict=True)}


def _zone(person: contacts_pb2.Recipient | None) -> str:
    return person.time_zone if person is not None else ""


def _make(
    runtime: Runtime,
    item: _Open,
    rendered: Rendered | BadTemplate | None,
    compared: tuple[str, str],
    note: str,
    again: bool,
) -> Ready:
    """Put a message together; raises BadTemplate. compared: kind and address as the suppressions have them."""
    claim, person, address = item.claim, item.person, item.address
    reply_to = audience.reply_address(runtime, claim.id)
    bounce = reply_to
    headers = contents.headers(
        runtime,
        claim.origin,
        claim.topic,
        item.unsubscribe,
        automatic=bool((claim.content or {}).get("automatic")),
    )
    if claim.content is not None:
        subject, text, html = claim.subject, str(claim.content["text"]), str(claim.content.get("html", ""))
        reply_to = str(claim.content["reply_to"]) or reply_to
        if answered := str(claim.content["in_reply_to"]):
            headers |= {"In-Reply-To": answered, "References": answered}
    else:
        assert rendered is not None, "only single messages go to somebody who is no contact"
        if isinstance(rendered, BadTemplate):
            raise rendered
        subject, text, html = rendered.subject, rendered.text, rendered.html
    return Ready(
        HandOver(
            claim=claim,
            subject=subject,
            recipient_hash=runtime.signer.mac("recipient", ":".join(compared).encode()),
            coupon_code=item.code,
            address=compared[1],
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
            # What a journey calls is its step's URL, never the one that the channel sends contacts' messages to.
            target=address if claim.content is not None and claim.origin.startswith(f"{JOURNEYS}/") else "",
        ),
        item.coupon,
        note,
        item.position,
        _zone(person),
        again,
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


def _put_back(runtime: Runtime, claim: Claim, put: Put) -> Result:
    due_time = runtime.clock.now() + timedelta(seconds=put.seconds)
    return Result(claim=claim, state=PLANNED, reason=put.reason[:500], due_time=due_time, tried=False)


def _result(runtime: Runtime, claim: Claim, state: str, reason: str) -> Result:
    # What plugins and servers say may quote the address, which the ledger does not keep.
    return Result(claim=claim, state=state, reason=safe_text(reason)[:500], due_time=runtime.clock.now())
