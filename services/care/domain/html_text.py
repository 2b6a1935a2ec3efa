"""The words of an HTML text.

The time it takes grows with the length of the text and no faster, however broken the text is; the standard library's
parser has no such bound.
"""

from __future__ import annotations

import html
import re

_HIDDEN = ("script", "style", "title")
_CLOSING = {tag: re.compile(f"</{tag}", re.IGNORECASE) for tag in _HIDDEN}
_BREAKS = {"address", "blockquote", "br", "div", "hr", "li", "p", "pre", "table", "tr", "ul"}
_BREAKS |= {f"h{level}" for level in range(1, 7)}
_TAG_LENGTH = 2_000
_NAME = re.compile(r"/?([a-zA-Z][a-zA-Z0-9]*)")
# A tag ends at the first ">" outside of quotes.
_TAG_END = re.compile(r"""[^>"']*+(?:(?:"[^"]*+"|'[^']*+')[^>"']*+)*+>""")
_SPACE = re.compile(r"\s+")


def html_to_text(markup: str) -> str:
    """Return what a reader sees of a text in HTML, without its layout; takes any text."""
    parts: list[str] = []
    position = 0
    while position < len(markup):
        start = markup.find("<", position)
        if start < 0:
            start = len(markup)
        parts.append(_SPACE.sub(" ", markup[position:start]))
        position = _after_markup(markup, start, parts)
    text = html.unescape("".join(parts)).replace("\u00a0", " ")
    return "\n".join(" ".join(line.split(" ")).strip() for line in text.split("\n")).strip()


def _after_markup(markup: str, start: int, parts: list[str]) -> int:
    """Return where the text goes on after the markup that may begin at `start`."""
    if start >= len(markup):
        return start
    if markup.startswith("<!--", start):
        return _after(markup.find("-->", start + 4), 3, len(markup))
    name = _NAME.match(markup, start + 1)
    if name is None and markup[start + 1 : start + 2] not in ("!", "?"):
        parts.append("<")
        return start + 1
    found = _TAG_END.match(markup, start + 1, start + _TAG_LENGTH)
    end = found.end() if found else _after(markup.find(">", start), 1, len(markup))
    tag = name.group(1).lower() if name else ""
    if tag in _BREAKS:
        parts.append("\n")
    if tag in _HIDDEN and markup[start + 1] != "/":
        closing = _CLOSING[tag].search(markup, end)
        return closing.start() if closing else len(markup)
    return end


def _after(found: int, length: int, end: int) -> int:
    return end if found < 0 else found + length
