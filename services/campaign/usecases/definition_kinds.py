"""How definitions of each kind are read, made comparable, and stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection

from services.campaign.domain.campaigns import DRAFT
from services.campaign.domain.definitions import (
    CAMPAIGNS,
    JOURNEYS,
    LIMITS,
    POLICIES,
    TEMPLATES,
    Item,
    Linked,
    Planned,
    contents,
)
from services.campaign.domain.journeys import Journey
from services.campaign.domain.policies import Policy
from services.campaign.domain.rates import RateLimit
from services.campaign.domain.rendering import StoredTemplate
from services.campaign.domain.steps import numbered
from services.campaign.domain.utm import LinkSettings
from services.campaign.store import campaigns as campaign_store
from services.campaign.store import journeys as journey_store
from services.campaign.store import links as link_store
from services.campaign.store import policies as policy_store
from services.campaign.store import rates as rate_store
from services.campaign.store import schedules as schedule_store
from services.campaign.store import templates as template_store
from services.campaign.usecases import (
    campaigns,
    journeys,
    link_settings,
    policies,
    rates,
    schedules,
    templates,
)
from services.campaign.usecases import journey_checks as checks
from services.campaign.usecases.campaigns import change_plan
from services.kit.runtime import Runtime


@dataclass(frozen=True, slots=True)
class Kind:
    """Say how one kind is dealt with.

    read: locks what it finds; settle: fills in what the server would, and what is left as it was read; put: stores what
    is given in the place of what was read, None for nothing, where the two differ.
    """

    read: Callable[[Connection, str], Item | None]
    settle: Callable[[Runtime, Any, Any], Item]
    put: Callable[[Runtime, Connection, Any, Any], None]


def _as_given(runtime: Runtime, given: Item, previous: Item | None) -> Item:
    return given


def _read_template(connection: Connection, key: str) -> StoredTemplate | None:
    return template_store.get(connection, key, lock=True)


def _put_template(
    runtime: Runtime, connection: Connection, given: StoredTemplate, previous: StoredTemplate | None
) -> None:
    if previous is None:
        templates.create_template(runtime, connection, given.id, given.display_name, given.contents)
        return
    fields = [name for name in templates.FIELDS if getattr(given, name) != getattr(previous, name)]
    templates.update_template(runtime, connection, given.id, fields, given.display_name, given.contents, "")


def _read_policy(connection: Connection, key: str) -> Policy | None:
    return policy_store.get(connection, key, lock=True)


def _put_policy(runtime: Runtime, connection: Connection, given: Policy, previous: Policy | None) -> None:
    policies.put_policy(runtime, connection, given)


def _read_limit(connection: Connection, key: str) -> RateLimit | None:
    return rate_store.get(connection, key, lock=True)


def _put_limit(
    runtime: Runtime, connection: Connection, given: RateLimit, previous: RateLimit | None
) -> None:
    rates.put_limit(runtime, connection, given)


def _links(connection: Connection, origin: str) -> LinkSettings:
    return link_store.settings(connection, [origin])[origin]


def _settle_linked(runtime: Runtime, given: Linked, previous: Linked | None) -> Linked:
    if given.links is not None:
        return given
    return replace(given, links=previous.links if previous is not None else None)


def _put_links(
    runtime: Runtime, connection: Connection, origin: str, given: Linked, previous: Linked | None
) -> None:
    present = previous.links if previous is not None else None
    if given.links is not None and given.links != (present or LinkSettings(origin=origin)):
        link_settings.put_settings(runtime, connection, given.links)


def _read_journey(connection: Connection, key: str) -> Linked | None:
    found = journey_store.lock(connection, key)
    return None if found is None else Linked(found, _links(connection, found.origin))


def _settle_journey(runtime: Runtime, given: Linked, previous: Linked | None) -> Linked:
    assert isinstance(given.item, Journey), "the kind says so"
    named = checks.with_channels(runtime, given.item)
    made = replace(given, item=replace(named, steps=numbered(named.steps)))
    return _settle_linked(runtime, made, previous)


def _put_journey_with_links(
    runtime: Runtime, connection: Connection, given: Linked, previous: Linked | None
) -> None:
    journey, before = given.item, previous.item if previous is not None else None
    assert isinstance(journey, Journey), "the kind says so"
    assert before is None or isinstance(before, Journey), "the kind says so"
    if before is None or contents(journey) != contents(before):
        _put_journey(runtime, connection, journey, before)
    _put_links(runtime, connection, journey.origin, given, previous)


def _put_journey(runtime: Runtime, connection: Connection, given: Journey, previous: Journey | None) -> None:
    # All that is wrong is told at once, where CreateJourney stops at the first template that is missing.
    problems = [*checks.local_problems(runtime, given), *checks.missing_parts(connection, given)]
    if not problems and given.active:
        problems += checks.empty_names(runtime, connection, given)
        problems += checks.used_up_parts(connection, given, runtime.clock.now())
        problems += checks.outside_problems(runtime, given)
    if problems:
        raise checks.refuse(problems)
    was_active = previous is not None and previous.active
    if was_active and not given.active:
        # First, so that what it names elsewhere need not be there.
        journeys.switch(runtime, connection, given.id, active=False)
    if previous is None:
        journeys.create_journey(runtime, connection, given)
    elif contents(replace(given, active=False)) != contents(replace(previous, active=False)):
        journeys.update_journey(runtime, connection, given, 0)
    if given.active and not was_active:
        journeys.switch(runtime, connection, given.id, active=True)


def _read_campaign(connection: Connection, key: str) -> Linked | None:
    found = campaign_store.get(connection, key, lock=True)
    if found is None:
        return None
    # The schedule of a draft was taken back; that of a campaign which was launched is how it was launched.
    kept = None if found.state == DRAFT else schedule_store.get(connection, key)
    planned = Planned(found, kept.schedule if kept is not None else None)
    return Linked(planned, _links(connection, found.origin))


def _put_campaign_with_links(
    runtime: Runtime, connection: Connection, given: Linked, previous: Linked | None
) -> None:
    planned, before = given.item, previous.item if previous is not None else None
    assert isinstance(planned, Planned), "the kind says so"
    assert before is None or isinstance(before, Planned), "the kind says so"
    if before is None or contents(planned) != contents(before):
        _put_campaign(runtime, connection, planned, before)
    _put_links(runtime, connection, planned.campaign.origin, given, previous)


def _put_campaign(runtime: Runtime, connection: Connection, given: Planned, previous: Planned | None) -> None:
    key = given.id
    if previous is None:
        campaigns.create_campaign(runtime, connection, given.campaign)
    else:
        change_plan("change", previous.campaign)
        if previous.schedule is not None and given.schedule != previous.schedule:
            schedules.drop_schedule(connection, key)
        without = (Planned(given.campaign), Planned(previous.campaign))
        if contents(without[0]) != contents(without[1]):
            campaigns.update_campaign(runtime, connection, given.campaign)
    if given.schedule is not None and (previous is None or given.schedule != previous.schedule):
        schedules.put_schedule(runtime, connection, key, given.schedule)


KINDS: Mapping[str, Kind] = {
    TEMPLATES: Kind(_read_template, _as_given, _put_template),
    POLICIES: Kind(_read_policy, _as_given, _put_policy),
    LIMITS: Kind(_read_limit, _as_given, _put_limit),
    JOURNEYS: Kind(_read_journey, _settle_journey, _put_journey_with_links),
    CAMPAIGNS: Kind(_read_campaign, _settle_linked, _put_campaign_with_links),
}
