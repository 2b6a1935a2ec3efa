"""Approval by a second person: policies, requests, decisions, and the check before a launch or activation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from sqlalchemy import Connection

from services.campaign.domain.approvals import (
    APPROVED,
    REJECTED,
    REQUESTED,
    Approval,
    Policy,
    changes,
    fingerprint_of,
)
from services.campaign.domain.campaigns import DRAFT, SCHEDULED, Campaign
from services.campaign.domain.ids import RuleError, check_topic
from services.campaign.domain.journeys import Journey, definition_from_json, definition_to_json
from services.campaign.domain.schedules import check_recurrence
from services.campaign.store import approvals as store
from services.campaign.store import campaigns, journeys, schedules
from services.campaign.usecases.approval_matters import Matter, of_campaign, of_journey
from services.campaign.usecases.checks import refuse
from services.campaign.usecases.journey_control import locked, plan
from services.kit import context
from services.kit.errors import Aborted, FailedPrecondition, InvalidArgument, NotFound, PermissionDenied
from services.kit.names import new_id
from services.kit.runtime import Runtime


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Say why something needs approval, what changed since it was asked for, and the last request."""

    reasons: list[str]
    changes: list[str]
    approval: Approval | None

    @property
    def passes(self) -> bool:
        """Tell whether a launch may go on."""
        if not self.reasons:
            return True
        return self.approval is not None and self.approval.state == APPROVED and not self.changes


def set_policy(runtime: Runtime, policy: Policy) -> Policy:
    """Store a policy in the place of the one for its topic; raises InvalidArgument."""
    if policy.topic:
        try:
            check_topic(policy.topic)
        except RuleError as error:
            raise refuse(error, "policy.topic") from error
    stored = replace(policy, update_time=runtime.clock.now())
    with runtime.db.transaction() as connection:
        store.set_policy(connection, stored)
    return stored


def delete_policy(runtime: Runtime, topic: str) -> None:
    """Remove the policy for a topic."""
    with runtime.db.transaction() as connection:
        store.delete_policy(connection, topic)


def list_policies(runtime: Runtime) -> list[Policy]:
    """Return all policies by topic."""
    with runtime.db.read() as connection:
        return store.policies(connection)


def request(
    runtime: Runtime,
    connection: Connection,
    origin: str,
    comment: str,
    proposal: Journey | None = None,
    recurrence: str = "",
) -> Approval:
    """Ask that a draft, or a journey, be approved as it is now, or a journey as proposed.

    recurrence: by which a draft is to be launched again and again, "" for once. Raises NotFound, InvalidArgument,
    FailedPrecondition (CAMPAIGN_STATE, JOURNEY_STATE), PermissionDenied (NAMELESS), Unavailable.
    """
    if recurrence:
        if not origin.startswith("campaigns/"):
            raise InvalidArgument.field(
                "recurrence", "is of campaigns: nothing else is launched again and again"
            )
        try:
            check_recurrence(recurrence)
        except RuleError as error:
            raise refuse(error, "recurrence") from error
    matter = _locked_matter(runtime, connection, origin, proposal, recurrence)
    kind, _, key = origin.partition("/")
    made = Approval(
        id=new_id(),
        campaign_id=key if kind == "campaigns" else None,
        journey_id=key if kind == "journeys" else None,
        proposal=definition_to_json(proposal) if proposal is not None else None,
        state=REQUESTED,
        requester=_caller(),
        request_comment=comment,
        request_time=runtime.clock.now(),
        subject=matter.subject,
        fingerprint=fingerprint_of(matter.subject),
    )
    store.insert(connection, made)
    return made


def approve(
    runtime: Runtime, connection: Connection, origin: str, comment: str, fingerprint: str
) -> Approval:
    """Approve what was asked about.

    fingerprint: of the request that was looked at, or "". Raises NotFound, PermissionDenied (SAME_PERSON, NAMELESS),
    FailedPrecondition (NOT_REQUESTED, APPROVAL_VOID), Aborted, Unavailable.
    """
    asked, matter = _asked(runtime, connection, origin)
    if fingerprint and fingerprint != asked.fingerprint:
        raise Aborted(
            f"{origin}: the open request is about something else than what was looked at; look again, then decide"
        )
    if differing := _changes(asked, matter, store.policies(connection)):
        raise _void(origin, differing)
    return _decide(runtime, connection, asked, matter, APPROVED, comment)


def reject(runtime: Runtime, connection: Connection, origin: str, comment: str) -> Approval:
    """Reject what was asked about; raises NotFound, PermissionDenied, FailedPrecondition (NOT_REQUESTED)."""
    asked, matter = _asked(runtime, connection, origin)
    return _decide(runtime, connection, asked, matter, REJECTED, comment)


def check(runtime: Runtime, origin: str) -> Standing:
    """Return what approval a campaign or journey needs and has; raises NotFound, Unavailable."""
    with runtime.db.read() as connection:
        recurrence = _recurs(connection, origin) or None
        return _standing(connection, _matter(runtime, connection, origin, recurrence=recurrence))


def require(
    runtime: Runtime, connection: Connection, campaign: Campaign, recurrence: str | None = None
) -> None:
    """Raise FailedPrecondition when a campaign may not be launched: APPROVAL_REQUIRED, APPROVAL_VOID.

    recurrence: None for that of its schedule, if it is scheduled. One launch is within what was approved for several.
    Asks segmentation when a policy holds for the campaign, and only then; raises NotFound, Unavailable.
    """
    wanted = _recurs(connection, campaign.origin) if recurrence is None else recurrence
    wanted = wanted or _asked_recurrence(connection, campaign.origin)
    _require(connection, of_campaign(runtime, connection, campaign, wanted))


def require_journey(runtime: Runtime, connection: Connection, journey: Journey) -> None:
    """Raise FailedPrecondition when people may not be put on a journey as it is given, as require does."""
    _require(connection, of_journey(runtime, connection, journey, ""))


def _require(connection: Connection, matter: Matter) -> None:
    if not matter.policies(store.policies(connection)):
        return
    standing = _standing(connection, matter)
    if standing.passes:
        return
    asked = standing.approval
    if asked is not None and asked.state == APPROVED:
        raise _void(matter.origin, standing.changes)
    state = f"the last request was {asked.state}" if asked else "nobody asked for it"
    if asked is not None and asked.state == REQUESTED:
        state = f"{asked.requester} asked for it, nobody has decided"
    raise FailedPrecondition(
        f"{matter.origin} needs approval, as {' and '.join(standing.reasons)}; {state}",
        reason="APPROVAL_REQUIRED",
    )


def refuse_change(connection: Connection, template_id: str) -> None:
    """Raise FailedPrecondition (TEMPLATE_APPROVED) when something sends, or will, a template as it was approved."""
    if sending := store.bound_to_template(connection, template_id):
        raise FailedPrecondition(
            f"templates/{template_id} was approved for {sending[0]}, which is not done: make a new template, wait for "
            "its end, or take back its schedule",
            reason="TEMPLATE_APPROVED",
        )


def refuse_other(connection: Connection, origin: str, part: str, reason: str) -> None:
    """Raise FailedPrecondition when something still sends with a part, in words, as it was approved."""
    if store.is_running(connection, origin):
        raise FailedPrecondition(
            f"{origin} was approved with {part} as it is, and still sends: wait for its end", reason=reason
        )


def require_still(runtime: Runtime, connection: Connection, origin: str) -> None:
    """Raise what require does when a scheduled campaign, or an active journey, is not as it was approved any more.

    What would not be launched when it is due must be told to who changes it. Its row must be locked.
    """
    kind, _, key = origin.partition("/")
    if kind == "campaigns":
        campaign = campaigns.get(connection, key)
        if campaign is not None and campaign.state == SCHEDULED:
            require(runtime, connection, campaign)
    else:
        journey = journeys.get(connection, key)
        if journey is not None and journey.active:
            require_journey(runtime, connection, journey)


def list_approvals(
    runtime: Runtime, *, origin: str, state: str, before: UUID | None, count: int
) -> list[Approval]:
    """Return the next requests, newest first."""
    with runtime.db.read() as connection:
        return store.page(connection, origin=origin, state=state, before=before, count=count)


def _standing(connection: Connection, matter: Matter) -> Standing:
    known = store.policies(connection)
    asked = store.newest(connection, matter.origin)
    return Standing(
        reasons=matter.reasons(matter.policies(known)),
        changes=_changes(asked, matter, known) if asked is not None else [],
        approval=asked,
    )


def _changes(asked: Approval, matter: Matter, known: Sequence[Policy]) -> list[str]:
    tolerance = min((policy.size_tolerance_percent for policy in matter.policies(known)), default=0)
    return changes(asked.subject, matter.subject, tolerance)


def _void(origin: str, differing: list[str]) -> FailedPrecondition:
    return FailedPrecondition(
        f"{origin} is not as it was approved: {'; '.join(differing)}; ask for approval anew",
        reason="APPROVAL_VOID",
        metadata={"changes": "; ".join(differing)[:500]},
    )


def _recurs(connection: Connection, origin: str) -> str:
    """Return by which rule a campaign that is scheduled recurs, else ""."""
    kept = schedules.get(connection, origin.partition("/")[2]) if origin.startswith("campaigns/") else None
    return "" if kept is None or kept.next_local is None else kept.schedule.recurrence


def _asked_recurrence(connection: Connection, origin: str) -> str:
    """Return how a campaign is to recur by the newest request, else ""."""
    asked = store.newest(connection, origin)
    return "" if asked is None else asked.subject.get("recurrence", "")


def _matter(
    runtime: Runtime,
    connection: Connection,
    origin: str,
    proposal: Journey | None = None,
    recurrence: str | None = None,
) -> Matter:
    """Return what approval is about; recurrence: None for that of the newest request."""
    kind, _, key = origin.partition("/")
    if kind == "campaigns":
        if (campaign := campaigns.get(connection, key)) is not None:
            if recurrence is None:
                recurrence = _asked_recurrence(connection, origin)
            return of_campaign(runtime, connection, campaign, recurrence)
    elif (journey := journeys.get(connection, key)) is not None:
        # A proposal is its requester's.
        author = "" if proposal is not None else journeys.author(connection, key, journey.version)
        return of_journey(runtime, connection, proposal or journey, author)
    raise NotFound.resource(origin)


def _locked_matter(
    runtime: Runtime,
    connection: Connection,
    origin: str,
    proposal: Journey | None = None,
    recurrence: str | None = None,
) -> Matter:
    """Return what is to be approved, locked; raises NotFound, FailedPrecondition when its state forbids a decision."""
    kind, _, key = origin.partition("/")
    if kind == "campaigns":
        campaign = campaigns.get(connection, key, lock=True)
        if campaign is not None and campaign.state != DRAFT:
            raise FailedPrecondition(
                f"{campaign.origin} is {campaign.state}: only a draft is approved",
                reason="CAMPAIGN_STATE",
                metadata={"state": campaign.state},
            )
    else:
        plan("change", locked(connection, key))
    return _matter(runtime, connection, origin, proposal, recurrence)


def _asked(runtime: Runtime, connection: Connection, origin: str) -> tuple[Approval, Matter]:
    """Return the open request and what it is about as that is now; raises as _locked_matter, or NOT_REQUESTED."""
    asked = store.newest(connection, origin)
    proposal = None
    if asked is not None and asked.proposal is not None:
        present = locked(connection, str(asked.journey_id))
        proposal = replace(present, **definition_from_json(asked.proposal))
    matter = _locked_matter(runtime, connection, origin, proposal)
    # Now that it is locked, nobody decides or asks at the same time.
    asked = store.newest(connection, origin)
    if asked is None or asked.state != REQUESTED:
        raise FailedPrecondition(
            f"{origin}: there is no open request; RequestApproval makes one", reason="NOT_REQUESTED"
        )
    return asked, matter


def _decide(
    runtime: Runtime, connection: Connection, asked: Approval, matter: Matter, state: str, comment: str
) -> Approval:
    decider = _caller()
    if decider in (asked.requester, matter.author):
        did = "asked for approval" if decider == asked.requester else "made its newest version"
        raise PermissionDenied(
            f"{asked.origin}: {decider} {did}, so somebody else has to decide",
            reason="SAME_PERSON",
        )
    decided = replace(
        asked,
        state=state,
        decider=decider,
        decision_comment=comment,
        decide_time=runtime.clock.now(),
    )
    store.decide(connection, decided)
    return decided


def _caller() -> str:
    name = context.principal()
    if not name:
        raise PermissionDenied("approval is between callers with a name: use a token", reason="NAMELESS")
    return name
