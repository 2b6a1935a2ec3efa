"""HTML, MJML and text with jinja2 in them, seen as markup: each construct of the template is one character.

jinja2's own lexer finds the constructs; each becomes a character of the private use area, which parsers of HTML and
CSS take for a letter. So `<table>{% for … %}<tr>` and `href="{{ x | default("a") }}"` are plain markup, can be walked
by a small scanner, and are put back to the letter afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from jinja2 import Environment, TemplateSyntaxError

MAX_CONSTRUCTS = 20_000
_FIRST = 0xF0000
MARK = re.compile(f"[{chr(_FIRST)}-{chr(_FIRST + 0xFFFD)}]")
_ENDS = {
    "block_begin": "block_end",
    "variable_begin": "variable_end",
    "comment_begin": "comment_end",
    "raw_begin": "raw_end",
}
_OPENING = frozenset({"for", "if", "filter", "with", "autoescape"})
_MIDDLE = frozenset({"else", "elif"})
_OURS = re.compile(r"\b__(?:mark|link|notes|language)\b")
_RAW_TEXT = frozenset({"style", "script", "title", "textarea", "xmp", "mj-style", "mj-title", "mj-preview"})
VOID = frozenset(
    "area base br col embed hr img input link meta param source track wbr".split()  # noqa: SIM905
)
_ITEM = re.compile(
    r"<!--(?P<comment>.*?)-->"
    r"|<(?P<close>/?)(?P<name>[a-zA-Z][a-zA-Z0-9:_-]*)(?P<attributes>(?:[^<>\"']|\"[^\"]*\"|'[^']*')*)>",
    re.DOTALL,
)
Place = Literal["text", "rawtext", "comment", "tag", "value"]


class BadTemplate(Exception):
    """Say what is wrong with a template: part (subject, text, html, mjml) and line, counted from 1."""

    def __init__(self, part: str, line: int, problem: str) -> None:
        super().__init__(f"{part}, line {line}: {problem}")
        self.part = part
        self.line = line
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Construct:
    """Hold one construct: `{{ … }}` is a value, `{% … %}` a statement with its keyword, the rest neither."""

    source: str
    line: int
    kind: Literal["value", "statement", "silent"]
    keyword: str = ""

    @property
    def step(self) -> int:
        """Return 1 when it opens a block, -1 when it closes one, else 0."""
        return 1 if self.keyword in _OPENING else -1 if self.keyword.startswith("end") else 0

    @property
    def divides(self) -> bool:
        """Say whether it begins another branch of a block."""
        return self.keyword in _MIDDLE


@dataclass(frozen=True, slots=True)
class Item:
    """Hold a piece of markup: where it is in the text, and what it is; name: of a tag, in lower case.

    tag: `attributes` are at `start` to `end` of the text. rawtext: the text of an element such as style, with its name.
    """

    kind: Literal["open", "close", "comment", "text", "rawtext"]
    start: int
    end: int
    name: str = ""


class Markup:
    """Hold a template's source with its constructs as characters."""

    def __init__(self, environment: Environment, part: str, source: str) -> None:
        """Read; raises BadTemplate for a source that jinja2 cannot read."""
        self.part = part
        self.constructs: list[Construct] = []
        if found := MARK.search(source):
            raise BadTemplate(
                part, source.count("\n", 0, found.start()) + 1, "characters of private use are not allowed"
            )
        try:
            self.text = "".join(self._read(environment, source))
        except TemplateSyntaxError as error:
            raise BadTemplate(part, error.lineno, error.message or "syntax error") from error

    def _read(self, environment: Environment, source: str) -> Iterator[str]:
        pieces: list[str] = []
        ending = keyword = ""
        first_line, began = 1, ""
        for line, kind, value in environment.lex(source):
            if ending:
                pieces.append(value)
                if kind == "name" and not keyword:
                    keyword = value
                if kind == ending:
                    yield self._mark("".join(pieces), first_line, began, keyword)
                    pieces, ending = [], ""
            elif kind in _ENDS:
                pieces, ending, began, keyword, first_line = [value], _ENDS[kind], kind, "", line
            else:
                yield value
        yield "".join(pieces)  # one that never ends, of which jinja2's parser tells best

    def _mark(self, source: str, line: int, began: str, keyword: str) -> str:
        if len(self.constructs) == MAX_CONSTRUCTS:
            raise BadTemplate(self.part, line, f"more than {MAX_CONSTRUCTS:,} constructs of jinja2")
        if _OURS.search(source):
            raise BadTemplate(self.part, line, "names that begin with __ are not available")
        if began == "variable_begin":
            made = Construct(source, line, "value")
        elif began == "block_begin":
            made = Construct(source, line, "statement", keyword)
        else:
            # A comment renders as nothing; a raw block as what is in it, and has neither values nor branches.
            made = Construct(source, line, "silent")
        self.constructs.append(made)
        return chr(_FIRST + len(self.constructs) - 1)

    def of(self, mark: str) -> Construct:
        """Return the construct of a character."""
        return self.constructs[ord(mark) - _FIRST]

    def marks(self, text: str) -> list[Construct]:
        """Return the constructs in a piece of the text."""
        return [self.of(mark) for mark in MARK.findall(text)]

    def restore(self, text: str) -> str:
        """Return a piece of the text as jinja2 reads it."""
        return MARK.sub(lambda found: self.of(found[0]).source, text)

    def line_of(self, offset: int) -> int:
        """Return the line of the source at an offset of the text."""
        return self.restore(self.text[:offset]).count("\n") + 1


def scan(text: str) -> Iterator[Item]:
    """Yield the pieces of HTML in their order; what is no markup is text."""
    place = 0
    for found in _ITEM.finditer(text):
        if found.start() < place:
            continue  # within the text of a script or style
        if found.start() > place:
            yield Item("text", place, found.start())
        place = found.end()
        if found["name"] is None:
            yield Item("comment", found.start(), place)
            continue
        name = found["name"].lower()
        if found["close"]:
            yield Item("close", found.start(), place, name)
            continue
        yield Item("open", found.start("attributes"), found.end("attributes"), name)
        if name in _RAW_TEXT and not found["attributes"].endswith("/"):
            end = re.compile(rf"</{name}\s*>", re.IGNORECASE).search(text, place)
            stop = end.start() if end else len(text)
            yield Item("rawtext", place, stop, name)
            place = stop
    if place < len(text):
        yield Item("text", place, len(text))


ATTRIBUTE = re.compile(
    r"(?P<name>[^\s\"'<>/=]+)(?:(?P<equals>\s*=\s*)(?:\"(?P<double>[^\"]*)\"|'(?P<single>[^']*)'|(?P<bare>[^\s\"'<>]+)))?"
)


def value_of(found: re.Match[str]) -> tuple[int, int] | None:
    """Return where the value of an attribute is, without its quotes; None when it has none."""
    for group in ("double", "single", "bare"):
        if found[group] is not None:
            return found.span(group)
    return None
