"""Templates: compiled before they are stored, shown before they are sent."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from services.campaign.domain.ids import RuleError, check_id
from services.campaign.domain.rendering import (
    EXAMPLE_COUPON,
    BadTemplate,
    Content,
    Rendered,
    StoredTemplate,
)
from services.campaign.domain.template_names import Named, unknown
from services.campaign.renderer.pool import shared
from services.campaign.store import links
from services.campaign.store import templates as store
from services.campaign.usecases import approvals, audience, template_names
from services.campaign.usecases.checks import exists_already, refuse
from services.campaign.usecases.contents import example
from services.kit.errors import Aborted, FieldViolation, InvalidArgument, NotFound
from services.kit.names import format_name
from services.kit.runtime import Runtime

FIELDS = ("display_name", "contents")


def create_template(
    runtime: Runtime, connection: Connection, key: str, display_name: str, contents: Sequence[Content]
) -> StoredTemplate:
    """Store a new template; raises AlreadyExists, InvalidArgument (INVALID_TEMPLATE), Unavailable."""
    try:
        check_id(key)
    except RuleError as error:
        raise refuse(error, "template_id") from error
    found = _check(runtime, contents)
    now = runtime.clock.now()
    made = StoredTemplate(
        id=key,
        display_name=display_name,
        contents=tuple(contents),
        revision=1,
        create_time=now,
        update_time=now,
    )
    if not store.insert(connection, made):
        raise exists_already(format_name("templates", key))
    links.add(connection, key, found)
    return made


def update_template(
    runtime: Runtime,
    connection: Connection,
    key: str,
    fields: Collection[str],
    display_name: str,
    contents: Sequence[Content],
    etag: str,
) -> StoredTemplate:
    """Change fields of a template in the caller's transaction.

    Raises NotFound, Aborted (ETAG_MISMATCH), FailedPrecondition (TEMPLATE_APPROVED), InvalidArgument, Unavailable.
    """
    unknown = sorted(set(fields) - set(FIELDS))
    if unknown or not fields:
        raise InvalidArgument.field(
            "update_mask",
            f"{unknown[0]!r} cannot be changed; name 'display_name', 'contents'"
            if unknown
            else "names no field; name 'display_name', 'contents'",
        )
    urls = _check(runtime, contents) if "contents" in fields else []
    found = store.get(connection, key, lock=True)
    if found is None:
        raise NotFound.resource(format_name("templates", key))
    if etag and etag != found.etag:
        raise Aborted(f"templates/{key} was changed meanwhile: read it again, then decide anew")
    if "contents" in fields:
        approvals.refuse_change(connection, key)
    changed = replace(
        found,
        display_name=display_name if "display_name" in fields else found.display_name,
        contents=tuple(contents) if "contents" in fields else found.contents,
        revision=found.revision + 1,
        update_time=runtime.clock.now(),
    )
    store.update(connection, changed)
    links.add(connection, key, urls)
    return changed


def get_template(runtime: Runtime, key: str) -> StoredTemplate:
    """Return a template; raises NotFound."""
    with runtime.db.read() as connection:
        found = store.get(connection, key)
    if found is None:
        raise NotFound.resource(format_name("templates", key))
    return found


def list_templates(runtime: Runtime, *, after: str, count: int) -> list[StoredTemplate]:
    """Return the next templates by id."""
    with runtime.db.read() as connection:
        return store.page(connection, after=after, count=count)


def preview_template(
    runtime: Runtime,
    key: str,
    contact_id: UUID,
    *,
    language_code: str | None = None,
    topic: str = "marketing",
    event: Mapping[str, Any] | None = None,
) -> Rendered:
    """Render a template for a contact, its links as they are; raises NotFound, InvalidArgument (RENDER_FAILED).

    language_code: instead of the contact's. event: what the template sees of one.
    """
    template = get_template(runtime, key)
    found = audience.recipients(runtime, [contact_id], "email", topic).get(contact_id)
    if found is None:
        raise NotFound.resource(format_name("contacts", contact_id))
    context = audience.template_context(runtime, found, topic=topic, coupon=EXAMPLE_COUPON, event=event)
    content = template.content(found.language_code if language_code is None else language_code)
    try:
        return example(content, context)
    except BadTemplate as error:
        raise InvalidArgument.field("name", str(error), reason="RENDER_FAILED") from error


def _check(runtime: Runtime, contents: Sequence[Content]) -> list[str]:
    """Compile all contents and return the addresses of their links.

    Raises InvalidArgument that says all that is wrong, names that nobody knows included; Unavailable.
    """
    urls: list[str] = []
    violations: list[FieldViolation] = []
    seen: set[str] = set()
    names: list[tuple[str, Sequence[Named]]] = []
    for index, content in enumerate(contents):
        path = f"template.contents[{index}]"
        language = content.language_code.replace("_", "-").lower()
        if language in seen:
            violations.append(FieldViolation(f"{path}.language_code", "the language is there twice"))
        seen.add(language)
        try:
            compiled = shared().compiled(content)
            urls += compiled.links
            names.append((path, compiled.names))
        except BadTemplate as error:
            violations.append(_violation(path, error))
    attributes = template_names.attributes_for(runtime, [item for _, some in names for item in some])
    violations += [_violation(path, error) for path, some in names for error in unknown(some, attributes)]
    if "" not in seen:
        violations.append(
            FieldViolation("template.contents", 'one with the language "" must be there as fallback')
        )
    if violations:
        first = violations[0]
        raise InvalidArgument(
            f"{first.field}: {first.description}", reason="INVALID_TEMPLATE", violations=violations
        )
    return urls


def _violation(path: str, error: BadTemplate) -> FieldViolation:
    return FieldViolation(f"{path}.{error.part}", str(error))
