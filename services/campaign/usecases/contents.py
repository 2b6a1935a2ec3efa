"""What is in messages: templates rendered for a batch at once, with their links, and the headers that go with them."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any
from uuid import UUID

from services.campaign.domain.ids import TRANSACTIONAL
from services.campaign.domain.ledger import REQUESTS
from services.campaign.domain.links import (
    LINK_PATH,
    MAX_LINKS,
    OPEN_PATH,
    OPEN_SUFFIX,
    BadUrl,
    is_web,
    link_token,
    open_token,
)
from services.campaign.domain.rendering import BadTemplate, Content, Rendered, StoredTemplate
from services.campaign.domain.utm import LinkSettings, add_utm
from services.campaign.renderer.pool import Job, Late, Patience, Renderer, shared
from services.kit.runtime import Runtime

NO_SETTINGS = LinkSettings()
_BODY_END = re.compile(r"</body\s*>", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Draft:
    """Describe a message to be rendered; numbers: those of its template's links, by address; group: as in a Job."""

    message_id: UUID
    template: StoredTemplate
    language_code: str
    topic: str
    context: Mapping[str, Any]
    settings: LinkSettings = NO_SETTINGS
    numbers: Mapping[str, int] | None = None
    group: str = ""


def render(
    runtime: Runtime,
    drafts: Sequence[Draft],
    *,
    renderer: Renderer | None = None,
    beat: Callable[[], None] = lambda: None,
    patience: Patience | None = None,
) -> list[Rendered | BadTemplate | Late]:
    """Render messages, each with links of its own: what it became, why it cannot be, or that there was no time.

    patience: how long groups may take, None for as long as it takes. beat: called whenever the work goes on after a
    rendering that had to be stopped. Raises Unavailable (RENDERER_UNAVAILABLE).
    """
    renderer = renderer or shared()
    made: list[Rendered | BadTemplate | Late | None] = [None] * len(drafts)
    jobs: list[Job] = []
    places: list[int] = []
    known: dict[tuple[str, str, str, str], _Shared | BadTemplate] = {}
    for place, draft in enumerate(drafts):
        key = (draft.template.id, draft.language_code, draft.settings.origin, draft.topic)
        shared_ = known.get(key)
        if shared_ is None:
            shared_ = known[key] = _shared(runtime, draft, renderer)
        if isinstance(shared_, BadTemplate):
            made[place] = shared_
            continue
        links = _links(runtime, draft.message_id, shared_)
        jobs.append(Job(shared_.content, draft.context, links, draft.group))
        places.append(place)
    if jobs:
        mark = secrets.token_hex(8)
        answers = renderer.render(jobs, mark, beat=beat, patience=patience)
        for place, rendered in zip(places, answers, strict=True):
            made[place] = (
                rendered
                if isinstance(rendered, BadTemplate | Late)
                else _finished(runtime, drafts[place], rendered, mark)
            )
    return [item for item in made if item is not None]


def example(content: Content, context: Mapping[str, Any], *, renderer: Renderer | None = None) -> Rendered:
    """Render a content with its links as they are; raises BadTemplate."""
    [made] = (renderer or shared()).render([Job(content, context)])
    if isinstance(made, BadTemplate):
        raise made
    assert not isinstance(made, Late), "it was given all its time"
    return made


def headers(
    runtime: Runtime, origin: str, topic: str, unsubscribe: tuple[str, str], *, automatic: bool = False
) -> dict[str, str]:
    """Return the headers of a message; unsubscribe: the web and the mail address for it, empty for none.

    automatic: whether a machine wrote a single message.

    Mail on a topic can be stopped with one click (RFC 8058) and says which list it belongs to (RFC 2919);
    `Precedence: bulk` keeps programs that answer by themselves from doing so. What a machine sends to one person,
    such as a receipt or a survey, says so (RFC 3834, 5); an agent's answer does not, for a person wrote it, nor does
    mail of a list, whose headers say the same.
    """
    web, mail = unsubscribe
    made: dict[str, str] = {}
    if web or mail:
        made["List-Unsubscribe"] = ", ".join(f"<{address}>" for address in (web, mail) if address)
        if web:
            made["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    if origin.startswith(f"{REQUESTS}/"):
        if automatic:
            made["Auto-Submitted"] = "auto-generated"
        return made
    if topic == TRANSACTIONAL:
        made["Auto-Submitted"] = "auto-generated"
    else:
        made["List-Id"] = f"<{topic.replace('_', '-')}.{runtime.settings.mail_domain}>"
        made["Precedence"] = "bulk"
    return made


def _tracked(runtime: Runtime, draft: Draft) -> bool:
    return bool(runtime.settings.public_web_url) and draft.settings.tracks_clicks(draft.topic)


@dataclass(frozen=True, slots=True)
class _Shared:
    """Hold what messages of a template, language, topic and origin have in common.

    links: the static ones of the content, each an address, or the number under which its visits are counted.
    """

    content: Content
    links: tuple[str | int, ...]
    tracked: bool


def _shared(runtime: Runtime, draft: Draft, renderer: Renderer) -> _Shared | BadTemplate:
    content = draft.template.content(draft.language_code)
    try:
        urls = renderer.compiled(content).links
    except BadTemplate as error:
        return error
    tracked = _tracked(runtime, draft)
    # One written before links had numbers, or one of too many, travels in the token.
    numbers = draft.numbers or {} if tracked else {}
    links = tuple(numbers.get(url, add_utm(url, draft.settings)) for url in urls)
    return _Shared(content, links, tracked)


def _links(runtime: Runtime, message_id: UUID, shared_: _Shared) -> list[str]:
    """Return what the static links become in a message."""
    if not shared_.tracked:
        return [str(link) for link in shared_.links]
    start = f"{runtime.settings.public_web_url}{LINK_PATH}"
    return [
        start + link_token(runtime.signer, message_id, link, None)
        if isinstance(link, int)
        else _ours(runtime, message_id, 0, link)
        for link in shared_.links
    ]


def _ours(runtime: Runtime, message_id: UUID, number: int, url: str) -> str:
    try:
        token = link_token(runtime.signer, message_id, min(number, MAX_LINKS - 1), url)
    except BadUrl:
        return url  # too long to be carried, or of a kind that is not followed
    return f"{runtime.settings.public_web_url}{LINK_PATH}{token}"


def _finished(runtime: Runtime, draft: Draft, rendered: Rendered, mark: str) -> Rendered:
    text, html = rendered.text, rendered.html
    if rendered.urls:
        finder = re.compile(f"\ue000{mark}([0-9]+)\ue001")
        urls = [add_utm(url, draft.settings) if is_web(url) else url for url in rendered.urls]
        if _tracked(runtime, draft):
            urls = [_ours(runtime, draft.message_id, number, url) for number, url in enumerate(urls)]
        text = finder.sub(lambda found: urls[int(found[1])], text)
        html = finder.sub(lambda found: escape(urls[int(found[1])]), html)
    if html and runtime.settings.public_web_url and draft.settings.tracks_opens(draft.topic):
        token = open_token(runtime.signer, draft.message_id)
        html = _with_pixel(html, f"{runtime.settings.public_web_url}{OPEN_PATH}{token}{OPEN_SUFFIX}")
    return Rendered(rendered.subject, text, html, rendered.language_code, rendered.urls)


def _with_pixel(html: str, url: str) -> str:
    pixel = f'<img src="{url}" width="1" height="1" alt="" style="display:block">'
    end = html.rfind("</body>")
    if end < 0:
        found = list(_BODY_END.finditer(html))
        end = found[-1].start() if found else len(html)
    return html[:end] + pixel + html[end:]
