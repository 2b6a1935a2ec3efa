"""Whether there is what templates name: attributes of contacts, and where they are sent an event and a coupon."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rapport_client.errors import RapportError as ClientError
from sqlalchemy import Connection

from services.campaign.domain.markup import BadTemplate
from services.campaign.domain.rendering import StoredTemplate
from services.campaign.domain.template_names import Named, absent, asks_contacts, unknown
from services.campaign.renderer.pool import shared
from services.campaign.store import templates as store
from services.kit.errors import Unavailable
from services.kit.names import format_name
from services.kit.runtime import Runtime

_WITHOUT = {
    "event": "there is no event but in journeys",
    "coupon": "there is no coupon without a coupon pool",
}


@dataclass(frozen=True, slots=True)
class Sending:
    """Say how a template is sent. coupon: with one; event: of a journey, which has one."""

    template_id: str
    coupon: bool
    event: bool


def attributes_for(runtime: Runtime, names: Iterable[Named]) -> frozenset[str]:
    """Return the attributes that are defined of contacts, if names depend on them; raises Unavailable."""
    if not asks_contacts(names):
        return frozenset()
    try:
        return frozenset(item.id for item in runtime.clients.contacts.list_attributes.iterate())
    except ClientError as error:
        raise Unavailable(
            f"the attributes that templates name cannot be looked up: {error.message}; try again later",
            reason=error.reason or None,
        ) from error


def problems(
    runtime: Runtime, connection: Connection, sendings: Sequence[Sending]
) -> dict[Sending, list[str]]:
    """Return in words what templates name that would be empty for everybody; a template that is gone has nothing.

    Each was checked when it was stored, but not for what it is used, and not by earlier versions. Raises Unavailable.
    """
    found = store.get_many(connection, {item.template_id for item in sendings})
    parts: dict[str, list[tuple[str, tuple[Named, ...]]]] = {}
    broken: dict[str, list[str]] = {}
    for key, template in found.items():
        parts[key], broken[key] = _compiled(template)
    names = [name for item in parts.values() for _, some in item for name in some]
    attributes = attributes_for(runtime, names)
    told: dict[Sending, list[str]] = {}
    for sending in sendings:
        told[sending] = list(broken.get(sending.template_id, ()))
        for place, some in parts.get(sending.template_id, ()):
            wrong = [*unknown(some, attributes), *_absent(some, sending)]
            told[sending] += [f"{place}, {item}" for item in wrong]
    return told


def _compiled(template: StoredTemplate) -> tuple[list[tuple[str, tuple[Named, ...]]], list[str]]:
    """Return the names of each content with where it is, and what does not compile."""
    parts, broken = [], []
    for content in template.contents:
        place = format_name("templates", template.id)
        if content.language_code:
            place += f" ({content.language_code})"
        try:
            parts.append((place, shared().compiled(content).names))
        except BadTemplate as error:
            broken.append(f"{place}, {error}")
    return parts, broken


def _absent(names: Iterable[Named], sending: Sending) -> list[BadTemplate]:
    missing = {root for root in _WITHOUT if not getattr(sending, root)}
    return [
        BadTemplate(
            item.part,
            item.line,
            f"{'.'.join(item.path)[:100]!r} would be empty, as {_WITHOUT[item.path[0]]}: take it out, say what else to "
            f"write by `| default(…)`, or put it under `{{% if {item.path[0]} %}}`",
        )
        for item in absent(names, missing)
    ]
