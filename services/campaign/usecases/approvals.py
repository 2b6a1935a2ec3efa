"""Approval by a second person: policies, requests, decisions, and the check before a launch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from uuid import UUID

import grpc
from rapport_client.errors import RapportError as ClientError
from sqlalchemy import Connection

from services.campaign.domain.approvals import (
    APPROVED,
    REJECTED,
    REQUESTED,
    Approval,
    Policy,
    changes,
    fingerprint_of,
    policy_for,
    reasons,
)
from services.campaign.domain.campaigns import DRAFT, Campaign
from services.campaign.domain.ids import RuleError, check_topic
from services.campaign.domain.money import plain
from services.campaign.store import approvals as store
from services.campaign.store import campaigns, experiments, money, templates
from services.campaign.usecases.checks import refuse
from services.kit import context
from services.kit.errors import Aborted, FailedPrecondition, NotFound, PermissionDenied, Unavailable
from services.kit.names import format_name, new_id
from services.kit.runtime import Runtime


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Say why a campaign needs approval, what changed since it was asked for, and the last request."""

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


def request(runtime: Runtime, connection: Connection, key: str, comment: str) -> Approval:
    """Ask that a draft be approved as it is now.

    Raises NotFound, FailedPrecondition (CAMPAIGN_STATE), PermissionDenied (NAMELESS), Unavailable.
    """
    campaign = _draft(connection, key)
    subject = _subject(runtime, connection, campaign)
    made = Approval(
        id=new_id(),
        campaign_id=key,
        state=REQUESTED,
        requester=_caller(),
        request_comment=comment,
        request_time=runtime.clock.now(),
        subject=subject,
        fingerprint=fingerprint_of(subject),
    )
    store.insert(connection, made)
    return made


def approve(runtime: Runtime, connection: Connection, key: str, comment: str, fingerprint: str) -> Approval:
    """Approve what was asked about.

    fingerprint: of the request that was looked at, or "". Raises NotFound, PermissionDenied (SAME_PERSON, NAMELESS),
    FailedPrecondition (NOT_REQUESTED, APPROVAL_VOID), Aborted, Unavailable.
    """
    campaign = _draft(connection, key)
    asked = _open(connection, campaign)
    if fingerprint and fingerprint != asked.fingerprint:
        raise Aborted(
            f"{campaign.origin}: the open request is about something else than what was looked at; look again, "
            "then decide"
        )
    policy = policy_for(store.policies(connection), campaign.topic)
    differing = changes(
        asked.subject, _subject(runtime, connection, campaign), policy.size_tolerance_percent if policy else 0
    )
    if differing:
        raise _void(campaign, differing)
    return _decide(runtime, connection, asked, APPROVED, comment)


def reject(runtime: Runtime, connection: Connection, key: str, comment: str) -> Approval:
    """Reject what was asked about; raises NotFound, PermissionDenied, FailedPrecondition (NOT_REQUESTED)."""
    asked = _open(connection, _draft(connection, key))
    return _decide(runtime, connection, asked, REJECTED, comment)


def check(runtime: Runtime, key: str) -> Standing:
    """Return what approval a campaign needs and has; raises NotFound, Unavailable."""
    with runtime.db.read() as connection:
        campaign = campaigns.get(connection, key)
        if campaign is None:
            raise NotFound.resource(format_name("campaigns", key))
        return _standing(runtime, connection, campaign)


def require(runtime: Runtime, connection: Connection, campaign: Campaign) -> None:
    """Raise FailedPrecondition when a campaign may not be launched: APPROVAL_REQUIRED, APPROVAL_VOID.

    Asks segmentation when a policy holds for the campaign, and only then; raises NotFound, Unavailable.
    """
    if policy_for(store.policies(connection), campaign.topic) is None:
        return
    standing = _standing(runtime, connection, campaign)
    if standing.passes:
        return
    asked = standing.approval
    if asked is not None and asked.state == APPROVED:
        raise _void(campaign, standing.changes)
    state = f"the last request was {asked.state}" if asked else "nobody asked for it"
    if asked is not None and asked.state == REQUESTED:
        state = f"{asked.requester} asked for it, nobody has decided"
    raise FailedPrecondition(
        f"{campaign.origin} needs approval, as {' and '.join(standing.reasons)}; {state}",
        reason="APPROVAL_REQUIRED",
    )


def refuse_change(connection: Connection, template_id: str) -> None:
    """Raise FailedPrecondition (TEMPLATE_APPROVED) when a campaign still sends a template as it was approved."""
    if sending := store.running_with_template(connection, template_id):
        raise FailedPrecondition(
            f"templates/{template_id} was approved for campaigns/{sending[0]}, which is not done: make a new "
            "template, or wait for its end",
            reason="TEMPLATE_APPROVED",
        )


def list_approvals(
    runtime: Runtime, *, campaign_id: str, state: str, before: UUID | None, count: int
) -> list[Approval]:
    """Return the next requests, newest first."""
    with runtime.db.read() as connection:
        return store.page(connection, campaign_id=campaign_id, state=state, before=before, count=count)


def _standing(runtime: Runtime, connection: Connection, campaign: Campaign) -> Standing:
    policy = policy_for(store.policies(connection), campaign.topic)
    asked = store.newest(connection, campaign.id)
    subject = _subject(runtime, connection, campaign)
    why = reasons(policy, int(subject["audience"]), money.budget(connection, campaign.origin))
    differing = (
        changes(asked.subject, subject, policy.size_tolerance_percent if policy else 0)
        if asked is not None
        else []
    )
    return Standing(reasons=why, changes=differing, approval=asked)


def _subject(runtime: Runtime, connection: Connection, campaign: Campaign) -> Mapping[str, str]:
    """Return what is approved. Segmentation is asked while the campaign's row may be locked: it changes rarely."""
    try:
        segment = runtime.clients.segmentation.get_segment(name=campaign.segment).segment
    except ClientError as error:
        if error.code is grpc.StatusCode.NOT_FOUND:
            raise NotFound.resource(campaign.segment) from error
        raise Unavailable(
            f"{campaign.segment} cannot be asked for: {error.message}; try again later"
        ) from error
    budget = money.budget(connection, campaign.origin)
    tried = experiments.get(connection, campaign.id)
    used = {campaign.template_id} | ({item.template_id for item in tried.variants} if tried else set())
    found = templates.get_many(connection, used - {""}, share=True)
    return {
        "segment": campaign.segment,
        "segment_version": str(segment.version),
        "audience": str(segment.member_count),
        "template": format_name("templates", campaign.template_id),
        **{f"template:{key}": str(item.revision) for key, item in found.items()},
        "channel": campaign.channel,
        "topic": campaign.topic,
        "coupon_pool": campaign.coupon_pool_id,
        "budget": f"{plain(budget[0])} {budget[1]}" if budget else "",
        "evergreen": "yes" if campaign.evergreen else "",
        "experiment": json.dumps(tried.plan(), sort_keys=True) if tried else "",
    }


def _void(campaign: Campaign, differing: list[str]) -> FailedPrecondition:
    return FailedPrecondition(
        f"{campaign.origin} is not as it was approved: {'; '.join(differing)}; ask for approval anew",
        reason="APPROVAL_VOID",
        metadata={"changes": "; ".join(differing)[:500]},
    )


def _draft(connection: Connection, key: str) -> Campaign:
    campaign = campaigns.get(connection, key, lock=True)
    if campaign is None:
        raise NotFound.resource(format_name("campaigns", key))
    if campaign.state != DRAFT:
        raise FailedPrecondition(
            f"{campaign.origin} is {campaign.state}: only a draft is approved",
            reason="CAMPAIGN_STATE",
            metadata={"state": campaign.state},
        )
    return campaign


def _open(connection: Connection, campaign: Campaign) -> Approval:
    asked = store.newest(connection, campaign.id)
    if asked is None or asked.state != REQUESTED:
        raise FailedPrecondition(
            f"{campaign.origin}: there is no open request; RequestApproval makes one", reason="NOT_REQUESTED"
        )
    return asked


def _decide(runtime: Runtime, connection: Connection, asked: Approval, state: str, comment: str) -> Approval:
    decider = _caller()
    if decider == asked.requester:
        raise PermissionDenied(
            f"campaigns/{asked.campaign_id}: {decider} asked for approval, so somebody else has to decide",
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
