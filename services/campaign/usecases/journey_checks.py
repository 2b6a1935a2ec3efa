"""What a journey names, looked up where it lives, before anybody enters it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial

from rapport.contacts.v1 import contacts_pb2
from rapport_client.errors import RapportError as ClientError
from sqlalchemy import Connection

from services.campaign.channels import known_channels
from services.campaign.domain.graph import Problem
from services.campaign.domain.journeys import Journey, check_journey
from services.campaign.domain.steps import (
    Branch,
    Node,
    OpenCase,
    OpenTask,
    Send,
    SetAttribute,
    WaitEvent,
    Webhook,
    numbered,
)
from services.campaign.domain.triggers import BIRTH_DATE
from services.campaign.store import coupons, templates
from services.campaign.usecases import segments, template_names
from services.campaign.usecases.journey_moving import is_refusal
from services.campaign.usecases.template_names import Sending
from services.kit.errors import FieldViolation, InvalidArgument, Unavailable
from services.kit.log import safe_text
from services.kit.names import format_name
from services.kit.runtime import Runtime
from services.kit.wire import enum_text

INVALID = "INVALID_JOURNEY"
WEBHOOK = "webhook"


def refuse(problems: Sequence[Problem]) -> InvalidArgument:
    """Build the error that names each problem."""
    violations = [FieldViolation(f"journey.{item.field}", _sentence(item)) for item in problems]
    text = "; ".join(f"{item.field}: {item.description}" for item in violations[:5])
    if len(violations) > 5:
        text += f"; and {len(violations) - 5} more"
    return InvalidArgument(text, reason=INVALID, violations=violations)


def _sentence(item: Problem) -> str:
    return f"step {item.step!r}: {item.text}" if item.step else item.text


def with_channels(runtime: Runtime, given: Journey) -> Journey:
    """Return a journey whose webhooks name their channel, if there is one to be meant."""
    if not any(_is_webhook(step) for step in given.steps):
        return given
    offered = [
        name for name in sorted(known_channels(runtime)) if name == WEBHOOK or name.startswith(f"{WEBHOOK}.")
    ]
    steps = tuple(
        replace(node, action=replace(node.action, channel=node.action.channel or _only(offered)))
        if isinstance(node.action, Webhook)
        else node
        for node in numbered(given.steps)
    )
    return replace(given, steps=steps)


def _is_webhook(step: object) -> bool:
    return isinstance(step.action if isinstance(step, Node) else step, Webhook)


def _only(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else ""


def local_problems(runtime: Runtime, given: Journey) -> list[Problem]:
    """Return what is wrong with a journey by itself and with the channels it names."""
    found = check_journey(given)
    channels = known_channels(runtime)
    there = ", ".join(sorted(channels)) or "none"
    for index, node in enumerate(numbered(given.steps)):
        path = f"steps[{index}]"
        match node.action:
            case Send(channel=channel) if channel not in channels:
                text = f"no plugin offers {channel!r}; there are: {there}"
                found.append(Problem(f"{path}.send.channel", text, node.id))
            case Webhook(channel=channel) if channel not in channels:
                wanted = (
                    f"the channel {channel!r}"
                    if channel
                    else "a channel for webhooks, or several do: name one"
                )
                found.append(Problem(f"{path}.webhook.channel", f"no plugin offers {wanted}", node.id))
            case Webhook(url=url, channel=channel):
                # Else each call would fail when it is made, long after the journey was activated.
                schemes = channels[channel].url_schemes or ("https",)
                scheme = url.partition(":")[0].lower()
                if scheme not in schemes and scheme in ("http", "https"):
                    text = f"{channel} calls {' and '.join(schemes)} only, not {scheme}; its settings say so"
                    found.append(Problem(f"{path}.webhook.url", text, node.id))
    return found


def missing_parts(connection: Connection, given: Journey) -> list[Problem]:
    """Return the templates and pools that are not there."""
    nodes = numbered(given.steps)
    sends = [(index, node, node.action) for index, node in enumerate(nodes) if isinstance(node.action, Send)]
    known = templates.existing(connection, {send.template_id for _, _, send in sends})
    wanted = {send.coupon_pool_id for _, _, send in sends if send.coupon_pool_id}
    pools = coupons.pools(connection, wanted) if wanted else {}
    found = []
    for index, node, send in sends:
        path = f"steps[{index}].send"
        if send.template_id not in known:
            name = format_name("templates", send.template_id)
            found.append(Problem(f"{path}.template", f"{name} does not exist", node.id))
        if send.coupon_pool_id and send.coupon_pool_id not in pools:
            name = format_name("couponPools", send.coupon_pool_id)
            found.append(Problem(f"{path}.coupon_pool", f"{name} does not exist", node.id))
    return found


def empty_names(runtime: Runtime, connection: Connection, given: Journey) -> list[Problem]:
    """Return what its templates name that would be empty for everybody; raises Unavailable."""
    sends = [
        (index, node, Sending(node.action.template_id, coupon=bool(node.action.coupon_pool_id), event=True))
        for index, node in enumerate(numbered(given.steps))
        if isinstance(node.action, Send)
    ]
    told = template_names.problems(runtime, connection, [sending for *_, sending in sends])
    return [
        Problem(f"steps[{index}].send.template", text, node.id)
        for index, node, sending in sends
        for text in told[sending]
    ]


def used_up_parts(connection: Connection, given: Journey, now: datetime) -> list[Problem]:
    """Return the pools that have no coupon for anybody: expired, or uploaded codes that are all taken."""
    sends = [
        (index, node, node.action.coupon_pool_id)
        for index, node in enumerate(numbered(given.steps))
        if isinstance(node.action, Send) and node.action.coupon_pool_id
    ]
    pools = coupons.pools(connection, {key for _, _, key in sends}) if sends else {}
    why: dict[str, str] = {}
    for key, pool in pools.items():
        name = format_name("couponPools", key)
        if pool.expire_time is not None and pool.expire_time <= now:
            why[key] = f"the coupons of {name} expired at {pool.expire_time.isoformat()}: name another pool"
        elif pool.imported and not coupons.free_count(connection, key):
            why[key] = f"{name} has no code left: import more"
    return [
        Problem(f"steps[{index}].send.coupon_pool", why[key], node.id)
        for index, node, key in sends
        if key in why
    ]


def outside_problems(runtime: Runtime, given: Journey) -> list[Problem]:
    """Return what is named that other services do not have; raises Unavailable when one does not answer."""
    found: list[Problem] = []
    seen: dict[tuple[str, str], str] = {}

    def look(kind: str, value: str, ask: Callable[[], str], field: str, step: str = "") -> None:
        if (kind, value) not in seen:
            seen[kind, value] = ask()
        if seen[kind, value]:
            found.append(Problem(field, seen[kind, value], step))

    segmentation = runtime.clients.segmentation
    for segment, field, step in _segments(given):
        look("segment", segment, partial(segments.problem, runtime, segment), field, step)
    nodes = numbered(given.steps)
    for index, node in enumerate(nodes):
        if isinstance(node.action, Branch):
            for place, case in enumerate(node.action.cases):
                field = f"steps[{index}].branch.cases[{place}].rule"
                look(
                    "rule",
                    case.rule,
                    partial(_refusal, partial(segmentation.match_contacts, rule=case.rule)),
                    field,
                    node.id,
                )
    found += _attribute_problems(runtime, given, nodes)
    found += _care_problems(runtime, nodes)
    return found


def _care_problems(runtime: Runtime, nodes: Sequence[Node]) -> list[Problem]:
    """Return the queues and agents that care does not have."""
    care = runtime.clients.care
    lists = {"queue": care.list_queues, "assignee": care.list_agents}
    found = []
    for part, listed in lists.items():
        wanted = [
            (f"steps[{index}].{node.kind}.{part}", node.id, name)
            for index, node in enumerate(nodes)
            if isinstance(node.action, (OpenCase, OpenTask)) and (name := getattr(node.action, part, ""))
        ]
        if wanted:
            there: set[str] = set()
            _must(lambda there=there, listed=listed: there.update(item.name for item in listed.iterate()))  # type: ignore[misc]
            found += [
                Problem(field, f"{name} does not exist", step)
                for field, step, name in wanted
                if name not in there
            ]
    return found


def _segments(given: Journey) -> Iterator[tuple[str, str, str]]:
    if given.segment:
        yield given.segment, "trigger.segment", ""
    for name, matches in (("exits", given.exits), ("goals", given.goals)):
        for index, match in enumerate(matches):
            if match.segment:
                yield match.segment, f"{name}[{index}].segment", ""
    for index, node in enumerate(numbered(given.steps)):
        if isinstance(node.action, WaitEvent) and node.action.match.segment:
            yield node.action.match.segment, f"steps[{index}].wait_event.event.segment", node.id


def _attribute_problems(runtime: Runtime, given: Journey, nodes: Sequence[Node]) -> list[Problem]:
    sets = [
        (f"steps[{index}].set_attribute.attribute", node.id, node.action.attribute, node.action.kind)
        for index, node in enumerate(nodes)
        if isinstance(node.action, SetAttribute)
    ]
    if given.date is not None and given.date.attribute != BIRTH_DATE:
        sets.append(("trigger.date.attribute", "", given.date.attribute, "timestamp"))
    if not sets:
        return []
    types: dict[str, str] = {}
    _must(
        lambda: types.update(
            (item.id, enum_text(contacts_pb2.ValueType, item.type))
            for item in runtime.clients.contacts.list_attributes.iterate()
        )
    )
    found = []
    for field, step, name, kind in sets:
        if name not in types:
            found.append(Problem(field, f"no attribute {name!r} is defined in contacts", step))
        elif types[name] != kind:
            found.append(Problem(field, f"{name!r} is of type {types[name]}, not {kind}", step))
    return found


def _refusal(ask: Callable[[], object]) -> str:
    """Return why a service refuses what is asked, "" when it does not; raises Unavailable."""
    try:
        ask()
    except ClientError as error:
        if is_refusal(error):
            return safe_text(error.message)
        raise _away(error) from error
    return ""


def _must(ask: Callable[[], object]) -> None:
    try:
        ask()
    except ClientError as error:
        raise _away(error) from error


def _away(error: ClientError) -> Unavailable:
    return Unavailable(
        f"what the journey names cannot be looked up: {error.message}", reason=error.reason or None
    )
