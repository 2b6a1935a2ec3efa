"""Find the links of a template, so that they can be counted: `href` of `<a>` in HTML, bare addresses in text.

A link without constructs of jinja2 is static: it becomes the value `__link[n]`. One whose host is fixed and whose
rest is the recipient's becomes a filter `__mark`, which notes the address and leaves a mark for it. A link whose host
comes from data is left alone: were it ours, whoever can set that datum could make us redirect to a place of their
choosing.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable

from services.campaign.domain.links import BadUrl, check_url, is_web
from services.campaign.domain.markup import ATTRIBUTE, MARK, BadTemplate, Markup, scan, value_of

STATIC, MARKED = "__link", "__mark"
_FIXED_HOST = re.compile(r"https?://[^\s/?#@\\]+[/?#]", re.IGNORECASE)
_SCHEME = re.compile(r"\s*([a-zA-Z][a-zA-Z0-9+.-]*):")
_BARE = re.compile(r"https?://[^\s<>\"'`{}|\\^\[\]]+", re.IGNORECASE)
_TRAILING = ".,;:!?)*_~…"


class Links:
    """Collect the static links of a content: an address once, however often it is there."""

    def __init__(self) -> None:
        self.urls: list[str] = []
        self._places: dict[str, int] = {}

    def place(self, url: str) -> int:
        """Return the place of an address in the list."""
        if url not in self._places:
            self._places[url] = len(self.urls)
            self.urls.append(url)
        return self._places[url]


def mark_html(source: Markup, links: Links) -> str:
    """Return HTML for jinja2 in which links are marked; raises BadTemplate for one that must not be."""
    text = source.text
    pieces, place = [], 0
    for item in scan(text):
        if item.kind != "open" or item.name not in ("a", "area"):
            continue
        for found in ATTRIBUTE.finditer(text, item.start, item.end):
            span = value_of(found)
            if span is None or found["name"].lower() != "href":
                continue
            made = _made(source, text[slice(*span)], span[0], links, html.unescape)
            if made is not None:
                # A value without quotes gets some: what it becomes may hold what would end it.
                quote = '"' if found["bare"] is not None else ""
                pieces += [text[place : span[0]], quote, made, quote]
                place = span[1]
    return source.restore("".join([*pieces, text[place:]]))


def mark_text(source: Markup, links: Links) -> str:
    """Return text for jinja2 in which bare web addresses are marked; raises BadTemplate."""
    text = source.text
    pieces, done, place = [], 0, 0
    while found := _BARE.search(text, place):
        url = _balanced(source, found[0]).rstrip(_TRAILING)
        place = max(found.start() + len(url), found.start() + 1)
        if not url or (MARK.match(text, place) and source.of(text[place]).step == 1):
            continue  # a block goes on where the address ends: it would hold a half
        try:
            made = _made(source, url, found.start(), links, str)
        except BadTemplate:
            continue  # in running text it need not be one
        if made is not None:
            pieces += [text[done : found.start()], made]
            done = place
    return source.restore("".join([*pieces, text[done:]]))


def _made(source: Markup, raw: str, offset: int, links: Links, plain: Callable[[str], str]) -> str | None:
    """Return what a link becomes; None to leave it as it is."""
    if not MARK.search(raw):
        url = plain(raw).strip()
        scheme = _SCHEME.match(url)
        if scheme is None:
            return None  # a place on the page, or nothing
        try:
            check_url(url)
        except BadUrl as error:
            raise BadTemplate(source.part, source.line_of(offset), str(error)) from error
        return f"{{{{ {STATIC}[{links.place(url)}] }}}}" if is_web(url) else None
    scheme = _SCHEME.match(plain(raw))
    if scheme is not None and scheme[1].lower() not in ("http", "https", "mailto", "tel"):
        raise BadTemplate(
            source.part,
            source.line_of(offset),
            f"a link has the scheme {scheme[1][:20]!r}; use http, https, mailto or tel",
        )
    fixed = _FIXED_HOST.match(raw.lstrip())
    if fixed is None or MARK.search(fixed[0]):
        # Its scheme is looked at when it is rendered.
        return None if scheme else f"{{% filter {MARKED}(false) %}}{raw}{{% endfilter %}}"
    return f"{{% filter {MARKED}(true) %}}{raw}{{% endfilter %}}"


def _balanced(source: Markup, url: str) -> str:
    """Cut an address in running text before a block that does not end in it."""
    depth, whole = 0, 0
    for place, character in enumerate(url):
        if MARK.fullmatch(character):
            construct = source.of(character)
            if (construct.divides or construct.step == -1) and depth == 0:
                return url[:place]
            depth += construct.step
        if depth == 0:
            whole = place + 1
    return url[:whole]
