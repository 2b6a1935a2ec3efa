"""MJML and style sheets under jinja2: rendering what was inlined is inlining what was rendered."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import css_inline
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.campaign.domain.rendering import _HTML, BadTemplate, CompiledContent, Content

CSS = "<style>.a{color:red} td{padding:1px} .b{margin:{{ width }}px}</style>"
VALUES: dict[str, Any] = {
    "name": "Lan & Co <x>",
    "items": ["one", "two"],
    "yes": True,
    "no": False,
    "width": 3,
    "link": "https://shop.test/?a=1&b=2",
}


class Page(HTMLParser):
    """Collect what people see and where links lead, and the styles in their order."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[object] = []
        self.inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.inside = tag
        kept = {name: value for name, value in attrs if name in ("href", "title", "class")}
        styles = dict(attrs).get("style") or ""
        declared = sorted(re.sub(r"\s", "", item) for item in styles.split(";") if item.strip())
        if tag not in ("html", "head", "body", "tbody", "style"):
            self.seen.append((tag, kept, declared))

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside != "style" and data.strip():
            self.seen.append(data.strip())


def seen(html: str) -> list[object]:
    page = Page()
    page.feed(html)
    page.close()
    return page.seen


def inlined_afterwards(source: str, values: dict[str, Any]) -> str:
    rendered = _HTML.from_string(source).render(values)
    return css_inline.CSSInliner(
        load_remote_stylesheets=False, keep_style_tags=True, remove_inlined_selectors=True
    ).inline(rendered)


def block(children: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds("<div class=a>{}</div>".format, children),
        st.builds(
            "<p class='b' title=\"{{{{ name }}}}\">{}</p>".format, st.sampled_from(["x", "{{ name }}"])
        ),
        st.builds("{{% if yes %}}{}{{% else %}}<b class=a>no</b>{{% endif %}}".format, children),
        st.builds("{{% for item in items %}}<i class=b>{{{{ item }}}}</i>{}{{% endfor %}}".format, children),
        st.builds(
            "<table>{{% for item in items %}}<tr class=a><td>{}{{{{ item }}}}</td></tr>{{% endfor %}}</table>".format,
            children,
        ),
        st.builds("{}{}".format, children, children),
    )


leaves = st.sampled_from(
    [
        "text ",
        "{{ name }}",
        '<a class="a" href="{{ link }}">go</a>',
        "<a href=https://shop.test/x>go</a>",
        "<b>{{ items | join(', ') }}</b>",
        "<br>",
        "{# nothing #}",
        "<img class=b alt='{{ name }}'>",
    ]
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.recursive(leaves, block, max_leaves=8))
def test_rendering_and_inlining_commute(body: str) -> None:
    source = f"<html><head>{CSS}</head><body>{body}</body></html>"
    made = CompiledContent(Content("", "s", "t", source)).render(VALUES).html
    assert seen(made) == seen(inlined_afterwards(source, VALUES))


def test_without_a_style_sheet_html_stays_as_it_is() -> None:
    source = "<TABLE>{% for x in items %}<tr><td nowrap>{{ x }}{% endfor %}</TABLE>"
    assert CompiledContent(Content("", "s", "t", source)).render(VALUES).html == (
        "<TABLE><tr><td nowrap>one<tr><td nowrap>two</TABLE>"
    )


def test_what_is_no_style_of_one_element_stays() -> None:
    sheet = "<style>a:hover{color:blue} @media (max-width:9px){.a{color:blue}} .a{color:red}</style>"
    source = sheet + "<p class=a>{{ name }}"
    made = CompiledContent(Content("", "s", "t", source)).render(VALUES).html
    assert "a:hover" in made
    assert "@media" in made
    assert 'style="color: red;">Lan &amp; Co &lt;x&gt;</p>' in made


@pytest.mark.parametrize(
    ("html", "problem"),
    [
        ("<style>\n{% if x %}.a{color:red}{% endif %}</style>", "html, line 2: statements"),
        ("<style></style>\n<p {% if x %}class=a{% endif %}>", "html, line 2: write constructs"),
        ("<style></style>\n\n<p style='{% if x %}color:red{% endif %}'>", "html, line 3: a style attribute"),
        ("<style></style>\n{% if x %}<div>{% endif %}</div>", "html, line 2: elements opened"),
        ("<style></style><div>\n{% if x %}</div>{% endif %}", "html, line 2: the block closes"),
        ("<style></style>\n<h{{ n }}>x</h{{ n }}>", "html, line 2"),
        ("<style></style>\n{{ x | nope }}", "html, line 2: No filter"),
        ("<style></style>\n{% if %}", "html, line 2"),
        ("\U000f0001", "html, line 1: characters of private use"),
    ],
)
def test_what_a_parser_would_break_is_refused_with_its_line(html: str, problem: str) -> None:
    with pytest.raises(BadTemplate) as caught:
        CompiledContent(Content("", "s", "t", html))
    assert problem in str(caught.value)


def test_an_error_while_rendering_names_the_line_of_the_source() -> None:
    content = CompiledContent(
        Content("", "s", "t", "<style>.a{color:red}</style>\n<p class=a>\n{{ 1 / zero }}</p>")
    )
    with pytest.raises(BadTemplate, match="html, line 3: ZeroDivisionError"):
        content.render({"zero": 0})


MJML = """<mjml>
<mj-head><mj-title>{{ name }}</mj-title><mj-preview>For {{ name }}</mj-preview>
<mj-style>.x{color:red}</mj-style></mj-head>
<mj-body>
{% if yes %}<mj-section background-color="{{ colour }}"><mj-column>
<mj-text>Hello {{ name }}, <b class="x">welcome</b>&nbsp;{% for i in items %}<i>{{ i }}</i>{% endfor %}</mj-text>
<mj-button href="https://shop.test/go?a=1&amp;b=2">Go</mj-button>
<mj-image src="https://shop.test/{{ width }}.png" alt="Nguyê\u0303n &quot;{{ name }}&quot; \\ x"/>
<mj-table>{% for i in items %}<tr><td>{{ i }}</td></tr>{% endfor %}</mj-table>
</mj-column></mj-section>{% endif %}
</mj-body></mjml>"""


def test_mjml_becomes_html_once() -> None:
    content = CompiledContent(Content("", "s", "t", "", MJML))
    assert content.links == ("https://shop.test/go?a=1&b=2",)
    html = content.render({**VALUES, "colour": "#abcdef"}, links=["https://go.test/c/1"]).html
    for part in (
        "<title>Lan &amp; Co &lt;x&gt;</title>",
        'Hello Lan &amp; Co &lt;x&gt;, <b class="x" style="color: red;">welcome</b>',
        "<i>one</i><i>two</i>",
        'href="https://go.test/c/1"',
        'src="https://shop.test/3.png"',
        'alt="Nguyễn &quot;Lan &amp; Co &lt;x&gt;&quot; \\ x"',
        "background: #abcdef",
        ">one</td></tr><tr>",
    ):
        assert part in html, part
    assert "mj-" not in re.sub(r'class="[^"]*"|\.mj-[a-z0-9-]+|\.moz-text-html[^{]*', "", html).replace(
        "mj-full", ""
    )
    assert "fonts.googleapis" not in html
    assert "{%" not in html


@pytest.mark.parametrize(
    ("mjml", "problem"),
    [
        ("<mjml><mj-body>\n<mj-include path='/etc/passwd'/></mj-body></mjml>", "mjml, line 2"),
        (
            "<mjml><mj-body>\n<mj-section><mj-nonsense/></mj-section></mj-body></mjml>",
            "mjml, line 2: <mj-nonsense>",
        ),
        ("hello", "mjml, line 1: is not MJML"),
        ("<mjml>\n<mj-body>{% if x %}<mj-section>{% endif %}</mj-section></mj-body></mjml>", "mjml, line 2"),
        ("<mjml><mj-body>\n\n{{ a | nope }}</mj-body></mjml>", "mjml, line 3"),
    ],
)
def test_bad_mjml_is_refused_with_its_line(mjml: str, problem: str) -> None:
    with pytest.raises(BadTemplate) as caught:
        CompiledContent(Content("", "s", "t", "", mjml))
    assert problem in str(caught.value)
    assert "root:" not in str(caught.value)


def test_html_and_mjml_are_not_both_given() -> None:
    with pytest.raises(BadTemplate, match="leave one of them empty"):
        CompiledContent(Content("", "s", "t", "<p>", "<mjml/>"))
