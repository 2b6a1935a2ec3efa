"""Where the links of messages lead."""

from __future__ import annotations

from services.campaign.domain.links import Link
from services.campaign.store import links
from services.kit.runtime import Runtime


def destination(runtime: Runtime, link: Link) -> str | None:
    """Return where a link leads that a signed token named, None when nobody knows any more."""
    with runtime.db.read() as connection:
        return links.destination(connection, link)
