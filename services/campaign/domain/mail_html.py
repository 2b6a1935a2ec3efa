"""HTML fit for mail programs: MJML becomes tables, style sheets become attributes; nothing is read from elsewhere.

This is done once for a template's version, before jinja2 compiles it, and not for each recipient. Constructs of jinja2
go through both parsers as characters or comments. What a parser would lose, double or move is refused with its line:
the rendered result is that of inlining the rendered page.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

import css_inline
import mrml
from jinja2 import Environment

from services.campaign.domain.markup import ATTRIBUTE, MARK, VOID, BadTemplate, Markup, scan, value_of

MAX_HTML = 1_000_000
_BETWEEN = "write constructs of jinja2 into the values of attributes, not between them"
_PAGE = re.compile(r"<(?:html|body|head)[\s>]", re.IGNORECASE)
_STYLE = re.compile(r"<style[\s>]", re.IGNORECASE)
_COMMENTED = re.compile(rf"<!--({MARK.pattern})-->")
_UNKNOWN = re.compile(r"<(mj-[a-z-]+|mjml)[\s>/]")
_POSITION = re.compile(r"position (\d+):\d+")
_ESCAPE = re.compile(r"\\(?:u\{(?P<code>[0-9a-f]{1,6})\}|(?P<plain>[\\nrt\"']))")
_PLAIN = {"n": "\n", "r": "\r", "t": "\t"}


def mail_html(environment: Environment, html: str, mjml: str) -> tuple[str, tuple[int, ...]]:
    """Return the HTML of a template from its `html` or `mjml`, and for each of its lines that of the source.

    HTML without a style sheet stays as it is, to the letter, and has no list of lines. Raises BadTemplate.
    """
    if not mjml and not _STYLE.search(html):
        return html, ()
    part = "mjml" if mjml else "html"
    source = Markup(environment, part, mjml or html)
    _check_places(source)
    page = _whole(_from_mjml(source)) if mjml else _with_comments(_whole(source.text))
    page = _inlined(source, page)
    if len(page) > MAX_HTML:
        raise BadTemplate(part, 1, f"becomes more than {MAX_HTML:,} characters of HTML")
    _check_order(source, page)
    page = _COMMENTED.sub(r"\1", page)
    _check_blocks(source, page)
    lines = [1]
    for piece in re.split(f"(\n|{MARK.pattern})", page):
        if piece == "\n":
            lines.append(lines[-1])
        elif MARK.fullmatch(piece):
            found = source.of(piece)
            lines[-1] = found.line
            lines += [found.line + number for number in range(1, found.source.count("\n") + 1)]
    return source.restore(page), tuple(lines)


def _check_places(source: Markup) -> None:
    """Refuse constructs where a parser cannot carry them, and blocks that hold half of an element."""
    text = source.text
    _check_blocks(source, text)
    for item in scan(text):
        if item.kind == "open":
            _check_attributes(source, item.start, item.end)
        elif item.kind == "rawtext" and item.name in ("style", "mj-style"):
            for construct in source.marks(text[item.start : item.end]):
                if construct.kind != "value":
                    raise BadTemplate(
                        source.part,
                        construct.line,
                        "statements and comments of jinja2 do not go into a style sheet; write values only",
                    )


def _check_blocks(source: Markup, text: str) -> None:
    """Refuse blocks, and branches of them, that open what they do not close, or close what they did not open."""
    blocks: list[int] = []
    opened: list[str] = []
    last = 1
    for item in scan(text):
        piece = text[item.start : item.end]
        if item.kind == "text":
            for construct in source.marks(piece):
                last = construct.line
                if construct.step == 1:
                    blocks.append(len(opened))
                elif blocks and (construct.step == -1 or construct.divides):
                    if len(opened) != blocks[-1]:
                        raise BadTemplate(
                            source.part, last, "elements opened within a block must be closed within it"
                        )
                    if construct.step == -1:
                        blocks.pop()
        elif item.kind == "open":
            if item.name not in VOID and not piece.endswith("/"):
                opened.append(item.name)
        elif item.kind == "close" and item.name in opened:
            while opened.pop() != item.name:
                pass
            if blocks and len(opened) < blocks[-1]:
                raise BadTemplate(
                    source.part, last, f"the block closes <{item.name}>, which was opened before it"
                )


def _check_attributes(source: Markup, start: int, end: int) -> None:
    place = start
    for found in ATTRIBUTE.finditer(source.text, start, end):
        span = value_of(found)
        outside = source.text[place : span[0] if span else found.end()]
        for construct in source.marks(outside):
            raise BadTemplate(
                source.part,
                construct.line,
                _BETWEEN,
            )
        place = found.end()
        if span is not None and found["name"].lower() == "style":
            for construct in source.marks(source.text[slice(*span)]):
                if construct.kind != "value":
                    raise BadTemplate(
                        source.part, construct.line, "a style attribute takes values of jinja2, no statements"
                    )
    for construct in source.marks(source.text[place:end]):
        raise BadTemplate(
            source.part,
            construct.line,
            _BETWEEN,
        )


def _with_comments(text: str) -> str:
    """Return the text with constructs between elements as comments, which no parser moves out of a table."""
    pieces = []
    place = 0
    for item in scan(text):
        if item.kind == "text":
            pieces += [text[place : item.start], MARK.sub(r"<!--\g<0>-->", text[item.start : item.end])]
            place = item.end
    return "".join([*pieces, text[place:]])


def _whole(text: str) -> str:
    """Write out what a parser of HTML would put in by itself, perhaps into the midst of a block: `tbody`, `body`."""
    added: list[tuple[int, str]] = []
    stack: list[tuple[str, bool]] = []  # open elements, and whether a tbody of ours is open in them
    after = 0  # the end of the last tag: constructs that follow it belong to what comes
    for item in scan(text):
        if item.kind not in ("open", "close"):
            continue
        begin = text.rindex("<", 0, item.start + 1) if item.kind == "open" else item.start
        parent, ours = stack[-1] if stack else ("", False)
        if item.kind == "open":
            if parent == "table" and item.name == "tr" and not ours:
                added.append((after, "<tbody>"))
                stack[-1] = ("table", True)
            elif parent == "table" and ours and item.name in ("tbody", "thead", "tfoot"):
                added.append((after, "</tbody>"))
                stack[-1] = ("table", False)
            if item.name not in VOID and not text[item.start : item.end].endswith("/"):
                stack.append((item.name, False))
            after = item.end + 1
        elif any(name == item.name for name, _ in stack):
            while True:
                name, open_ = stack.pop()
                if name == "table" and open_:
                    added.append((begin, "</tbody>"))
                if name == item.name:
                    break
            after = item.end
    pieces, place = [], 0
    for at, tag in added:
        pieces += [text[place:at], tag]
        place = at
    text = "".join([*pieces, text[place:]])
    if not _PAGE.search(text):
        text = f"<html><head></head><body>{text}</body></html>"
    return text


def _from_mjml(source: Markup) -> str:
    # Attributes are written by mrml as Rust shows texts, which spells out characters that are not printable: within
    # them constructs are words of ASCII.
    word = "zj"
    while word in source.text:
        word += "j"
    text = unicodedata.normalize("NFC", source.text)
    pieces, place = [], 0
    for item in scan(text):
        if item.kind == "open":
            inner = MARK.sub(lambda found: f"{word}{ord(found[0]):x}z", text[item.start : item.end])
            pieces += [text[place : item.start], inner]
            place = item.end
    text = _with_comments("".join([*pieces, text[place:]]))
    try:
        page = str(
            mrml.to_html(
                text,
                parser_options=mrml.ParserOptions(include_loader=mrml.noop_loader()),
                render_options=mrml.RenderOptions(fonts={}),
            ).content
        )
    except Exception as error:  # of Rust: there is no class of its own
        found = _POSITION.search(str(error))
        before = text.encode()[: int(found[1])].decode("utf-8", "ignore") if found else ""
        before = re.sub(
            word + "([0-9a-f]+)z", lambda hit: chr(int(hit[1], 16)), _COMMENTED.sub(r"\1", before)
        )
        line = source.restore(before).count("\n") + 1
        raise BadTemplate("mjml", line, f"is not MJML: {error}") from error
    if unknown := _UNKNOWN.search(page):
        line = source.line_of(max(source.text.find(f"<{unknown[1]}"), 0))
        raise BadTemplate("mjml", line, f"<{unknown[1]}> is not an element of MJML here")
    pieces, place = [], 0
    for item in scan(page):
        if item.kind == "open":
            pieces += [page[place : item.start], _ESCAPE.sub(_unescaped, page[item.start : item.end])]
            place = item.end
    page = "".join([*pieces, page[place:]])
    return re.sub(word + "([0-9a-f]+)z", lambda hit: chr(int(hit[1], 16)), page)


def _unescaped(found: re.Match[str]) -> str:
    if found["code"]:
        return chr(int(found["code"], 16))
    # A quote would end the attribute: as mrml writes it, it was an entity in the source.
    return "&quot;" if found["plain"] == '"' else _PLAIN.get(found["plain"], found["plain"])


@lru_cache(maxsize=1)
def _inliner() -> css_inline.CSSInliner:
    return css_inline.CSSInliner(
        load_remote_stylesheets=False,
        keep_style_tags=True,  # what is no style of one element, such as @media and :hover, stays a style sheet
        keep_at_rules=True,
        keep_link_tags=True,
        remove_inlined_selectors=True,
    )


def _inlined(source: Markup, page: str) -> str:
    if not _STYLE.search(page):
        return page
    try:
        return _inliner().inline(page)
    except css_inline.InlineError as error:
        raise BadTemplate(source.part, 1, f"style sheets cannot be inlined: {error}") from error


def _check_order(source: Markup, page: str) -> None:
    """Refuse what a parser lost, doubled or moved; values may be doubled, as a style is by its elements."""
    wanted = [mark for mark in MARK.findall(source.text) if source.of(mark).kind == "statement"]
    found = [mark for mark in MARK.findall(page) if source.of(mark).kind == "statement"]
    if wanted != found:
        odd = next((mark for mark, other in zip(wanted, found, strict=False) if mark != other), None)
        odd = odd or next((mark for mark in wanted if mark not in found), None) or found[-1]
        raise BadTemplate(
            source.part,
            source.of(odd).line,
            "this statement stands where the page's structure does not keep it",
        )
    there = set(MARK.findall(page))
    for mark in MARK.findall(source.text):
        if mark not in there and source.of(mark).kind != "silent":
            raise BadTemplate(
                source.part,
                source.of(mark).line,
                "this value stands where the page's structure does not keep it",
            )
