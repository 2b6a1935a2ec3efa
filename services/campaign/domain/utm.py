"""How the links of an origin are counted: what is added to them, and whether visits and openings are tracked."""

from __future__ import annotations

from dataclasses import dataclass, fields
from urllib.parse import quote_plus, unquote_plus

from services.campaign.domain.ids import TRANSACTIONAL
from services.campaign.domain.links import MAX_URL, is_web


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkSettings:
    """Hold the UTM parameters of an origin's links, empty for none, and its tracking; None: as the topic has it."""

    origin: str = ""
    utm_source: str = ""
    utm_medium: str = ""
    utm_campaign: str = ""
    utm_content: str = ""
    track_clicks: bool | None = None
    track_opens: bool | None = None

    def tracks_clicks(self, topic: str) -> bool:
        """Say whether visits are counted: unless told otherwise, of all but transactional messages."""
        return topic != TRANSACTIONAL if self.track_clicks is None else self.track_clicks

    def tracks_opens(self, topic: str) -> bool:
        """Say whether openings are counted: unless told otherwise, of all but transactional messages."""
        return topic != TRANSACTIONAL if self.track_opens is None else self.track_opens


UTM = tuple(field.name for field in fields(LinkSettings) if field.name.startswith("utm_"))


def add_utm(url: str, settings: LinkSettings) -> str:
    """Return a link with the UTM parameters that it lacks; those that it has win, as does its fragment.

    Only web links get any, and none that they would make longer than 2,000 characters.
    """
    wanted = [(name, value) for name in UTM if (value := getattr(settings, name))]
    if not wanted or not is_web(url):
        return url
    rest, mark, fragment = url.partition("#")
    base, _, query = rest.partition("?")
    known = {unquote_plus(part.partition("=")[0]).lower() for part in query.split("&")}
    added = "&".join(f"{name}={quote_plus(value)}" for name, value in wanted if name not in known)
    if not added:
        return url
    joined = f"{query}&{added}" if query and not query.endswith("&") else f"{query}{added}"
    made = f"{base}?{joined}{mark}{fragment}"
    return made if len(made) <= MAX_URL else url
