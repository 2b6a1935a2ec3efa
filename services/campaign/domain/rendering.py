"""Templates: jinja2 in a sandbox, compiled once per version and language, kept within bounds.

What a template names and is not there renders as nothing. Python is out of reach: attributes of values are those of
the data, and what could eat a process (huge ranges, powers, macros that call themselves) is refused.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from jinja2 import (
    ChainableUndefined,
    StrictUndefined,
    Template,
    TemplateError,
    TemplateSyntaxError,
    nodes,
    pass_context,
)
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup as Safe

from services.campaign.domain import people_filters
from services.campaign.domain.ids import one_line
from services.campaign.domain.link_marks import MARKED, STATIC, Links, mark_html, mark_text
from services.campaign.domain.links import BadUrl, check_url, is_web, tidy_url
from services.campaign.domain.mail_html import mail_html
from services.campaign.domain.markup import BadTemplate, Markup
from services.campaign.domain.template_bounds import (
    MAX_SECONDS,
    Budget,
    bound_filters,
    check_sum,
    count_loops_and_joins,
)
from services.campaign.domain.template_names import Named, names_in

MAX_OUTPUT = 2_000_000
MAX_SUBJECT = 1000
EXAMPLE_COUPON = "EXAMPLE-CODE"
__all__ = [
    "EXAMPLE_COUPON",
    "BadTemplate",
    "CompiledContent",
    "Content",
    "Rendered",
    "StoredTemplate",
    "choose",
    "language_chain",
]
_NOTES = "__notes"
_MAX_REPEAT = 10_000
_MAX_ASSIGNMENTS = 20
_REFUSED_NODES = (
    (nodes.Macro, "macros"),
    (nodes.CallBlock, "call blocks"),
    (nodes.Include, "include"),
    (nodes.Import, "import"),
    (nodes.FromImport, "import"),
    (nodes.Extends, "extends"),
    (nodes.AssignBlock, "set blocks"),
)
_REFUSED_FILTERS = (
    "center",
    "indent",
    "format",
    "batch",
    "slice",
    "wordwrap",
    "pprint",
    "attr",
    "map",
    "xmlattr",
)
_WIDE = frozenset(
    {
        "center",
        "ljust",
        "rjust",
        "zfill",
        "expandtabs",
        "format",
        "format_map",
        "translate",
        "join",
        "replace",
    }
)


@dataclass(frozen=True, slots=True)
class Content:
    """Hold the source of a template in one language."""

    language_code: str
    subject: str
    text: str
    html: str
    mjml: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTemplate:
    """Hold a template as stored; revision rises with each change."""

    id: str
    display_name: str
    contents: tuple[Content, ...]
    revision: int
    create_time: datetime
    update_time: datetime

    @property
    def etag(self) -> str:
        """Return what changes with each change, and differs from that of another history of the same length."""
        return f'"{self.revision}-{int(self.update_time.timestamp() * 1e6):x}"'

    def content(self, language_code: str) -> Content:
        """Return the content for a language, or what it falls back to."""
        return self.contents[choose([item.language_code for item in self.contents], language_code)]


@dataclass(frozen=True, slots=True)
class Rendered:
    """Hold a rendered message; urls: the links that are marked in it, by their numbers."""

    subject: str
    text: str
    html: str
    language_code: str
    urls: tuple[str, ...] = ()


class _Environment(ImmutableSandboxedEnvironment):
    """Reach data only."""

    intercepted_binops = frozenset({"**", "*", "%", "+"})

    def getattr(self, obj: Any, attribute: str) -> Any:
        # Data comes first: an attribute called "items" or "keys" is one, not dict's method.
        if isinstance(obj, Mapping):
            return obj[attribute] if attribute in obj else self.undefined(obj=obj, name=attribute)
        return super().getattr(obj, attribute)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if isinstance(obj, str | bytes) and attr in _WIDE:
            return False
        return super().is_safe_attribute(obj, attr, value)

    def wrap_str_format(self, value: Any) -> None:
        # Widths in a format take memory at will; without the wrapper, `is_safe_attribute` refuses the method.
        return None

    def unsafe_undefined(self, obj: Any, attribute: str) -> Any:
        # Silence would hide a mistake here: whoever uses the result is told.
        return StrictUndefined(
            f"access to {attribute!r} of a {type(obj).__name__} is not allowed", exc=SecurityError
        )

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "**":
            raise SecurityError("powers are not allowed")
        if operator == "+":
            check_sum(left, right)
        if operator == "%" and isinstance(left, str | bytes):
            raise SecurityError("formatting by % is not allowed")
        if operator == "*":
            for several, count in ((left, right), (right, left)):
                if isinstance(several, str | bytes | list | tuple) and (
                    not isinstance(count, int) or len(several) * count > _MAX_REPEAT
                ):
                    raise SecurityError(f"repeating beyond {_MAX_REPEAT:,} items is not allowed")
            if (
                isinstance(left, int)
                and isinstance(right, int)
                and left.bit_length() + right.bit_length() > 256
            ):
                raise SecurityError("numbers that large are not allowed")
        return super().call_binop(context, operator, left, right)


@pass_context
def _mark_link(context: Context, value: Any, ours: bool) -> Any:
    """Note a link whose end is the recipient's, and leave a mark in its place; ours: its host is the template's."""
    escaped = context.eval_ctx.autoescape
    raw = str(value)
    url = tidy_url(html.unescape(raw) if escaped else raw)
    if is_web(url) or ":" in url.partition("/")[0]:
        try:
            check_url(url)
        except BadUrl as error:
            raise SecurityError(str(error)) from error
    mark, urls = context.resolve(_NOTES)
    if not ours or not mark:
        return value
    urls.append(url)
    return Safe(f"\ue000{mark}{len(urls) - 1}\ue001") if escaped else f"\ue000{mark}{len(urls) - 1}\ue001"


def _environment(*, escape: bool) -> _Environment:
    # cache_size: sources are compiled by us and kept by version.
    made = _Environment(
        undefined=ChainableUndefined, autoescape=escape, keep_trailing_newline=True, cache_size=0
    )
    made.globals = {}
    for name in _REFUSED_FILTERS:
        made.filters.pop(name, None)
    bound_filters(made)
    made.filters.update(people_filters.FILTERS)
    made.filters[MARKED] = _mark_link
    return made


_PLAIN, _HTML = _environment(escape=False), _environment(escape=True)


class CompiledContent:
    """Hold one language of a template, ready to be filled; usable from any thread.

    links: the addresses of its static web links, each once. names: what it asks for, each once in a part.
    """

    def __init__(self, content: Content) -> None:
        """Compile; raises BadTemplate."""
        self.language_code = content.language_code
        if content.html and content.mjml:
            raise BadTemplate("mjml", 1, "takes the place of html: leave one of them empty")
        found = Links()
        names: list[Named] = []
        self._subject = _compile(_PLAIN, "subject", content.subject, names)
        text = mark_text(Markup(_PLAIN, "text", content.text), found)
        self._text = _compile(_PLAIN, "text", text, names)
        self._html_part = "mjml" if content.mjml else "html"
        self._html: Template | None = None
        self._lines: tuple[int, ...] = ()
        if content.html or content.mjml:
            page, self._lines = mail_html(_HTML, content.html, content.mjml)
            try:
                page = mark_html(Markup(_HTML, self._html_part, page), found)
                in_page: list[Named] = []
                self._html = _compile(_HTML, self._html_part, page, in_page)
            except BadTemplate as error:
                raise self._at_source(error) from error
            names += (replace(item, line=self._source_line(item.line)) for item in in_page)
        self.links = tuple(found.urls)
        self.names = tuple(names)

    def render(
        self,
        context: Mapping[str, Any],
        *,
        links: Sequence[str] | None = None,
        mark: str = "",
        seconds: float = MAX_SECONDS,
    ) -> Rendered:
        """Fill in; raises BadTemplate when a value does not do, or the result is too large or takes too long.

        links: what each of `self.links` becomes. mark: unless empty, a word that is in nobody's text; links with parts
        of the recipient's own become U+E000, mark, their number, U+E001, and the result has them in `urls`. seconds:
        of CPU that each part may take.
        """
        urls: list[str] = []
        context = {
            **context,
            STATIC: self.links if links is None else links,
            _NOTES: (mark, urls),
            people_filters.LANGUAGE: self.language_code,
        }
        try:
            page = _render(self._html, self._html_part, context, seconds) if self._html else ""
        except BadTemplate as error:
            raise self._at_source(error) from error
        return Rendered(
            one_line(_render(self._subject, "subject", context, seconds))[:MAX_SUBJECT],
            _render(self._text, "text", context, seconds),
            page,
            self.language_code,
            tuple(urls),
        )

    def _at_source(self, error: BadTemplate) -> BadTemplate:
        """Name the line that the template's author sees, not that of the HTML made of it."""
        return BadTemplate(error.part, self._source_line(error.line), error.problem)

    def _source_line(self, line: int) -> int:
        return self._lines[min(line, len(self._lines)) - 1] if self._lines else line


def _compile(environment: _Environment, part: str, source: str, names: list[Named]) -> Template:
    """Compile a part, and add to names what it asks for; raises BadTemplate."""
    try:
        tree = environment.parse(source)
        for kind, name in _REFUSED_NODES:
            for node in tree.find_all(kind):
                raise BadTemplate(part, node.lineno, f"{name} are not available")
        assignments = list(tree.find_all(nodes.Assign))
        if len(assignments) > _MAX_ASSIGNMENTS:
            raise BadTemplate(
                part, assignments[_MAX_ASSIGNMENTS].lineno, f"more than {_MAX_ASSIGNMENTS} assignments"
            )
        names += names_in(tree, part, (STATIC,))
        count_loops_and_joins(tree)
        return Template.from_code(environment, environment.compile(tree, filename=part), {}, None)
    except TemplateSyntaxError as error:
        raise BadTemplate(part, error.lineno, error.message or "syntax error") from error
    except RecursionError as error:
        raise BadTemplate(part, 1, "nested too deeply") from error


def _render(template: Template, part: str, context: Mapping[str, Any], seconds: float) -> str:
    budget = Budget(seconds)
    pieces: list[str] = []
    size = 0
    try:
        for piece in template.generate({**context, **budget.names()}):
            pieces.append(piece)
            size += len(piece)
            if size > MAX_OUTPUT:
                raise SecurityError(f"the result is longer than {MAX_OUTPUT:,} characters")
            if not len(pieces) & 63:
                budget.check()
    except (
        SecurityError,
        TemplateError,
        ArithmeticError,
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
        RecursionError,
        MemoryError,
    ) as error:
        raise BadTemplate(part, _line_of(template, error), _problem(error)) from error
    return "".join(pieces)


def _problem(error: Exception) -> str:
    # Errors of Python may quote values, which are people's data; those of jinja2 quote the template.
    if isinstance(error, TemplateError):
        return str(error)
    if isinstance(error, MemoryError):
        return "takes too much memory"
    return f"{type(error).__name__} while rendering"


def _line_of(template: Template, error: BaseException) -> int:
    """Return the line of the source that was being rendered: jinja2 rewrites the traceback to it."""
    line, trace = 1, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename in (template.filename, "subject", "text", "html", "mjml"):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def language_chain(language_code: str) -> Iterator[str]:
    """Yield what to look for: "zh-Hans-CN", "zh-Hans", "zh", ""; in lower case."""
    parts = language_code.replace("_", "-").lower().split("-")
    for length in range(len(parts), 0, -1):
        yield "-".join(parts[:length])
    if parts != [""]:
        yield ""


def choose(languages: Sequence[str], wanted: str) -> int:
    """Return the index of the language that fits best; the one for "" must be there."""
    known = {language.replace("_", "-").lower(): index for index, language in enumerate(languages)}
    return next(known[language] for language in language_chain(wanted) if language in known)
