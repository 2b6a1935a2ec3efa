"""Links in templates: which are counted, which are left alone, which are refused."""

from __future__ import annotations

from html import unescape
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.campaign.domain.rendering import BadTemplate, CompiledContent, Content
from services.campaign.domain.utm import LinkSettings, add_utm


def compiled(text: str = "t", html: str = "") -> CompiledContent:
    return CompiledContent(Content("", "s", text, html))


def render(text: str = "t", html: str = "", **values: Any) -> tuple[str, str, tuple[str, ...]]:
    content = compiled(text, html)
    made = content.render(values, links=[f"L{number}" for number in range(len(content.links))], mark="m")
    show = {f"\ue000m{number}\ue001": f"D{number}" for number in range(len(made.urls))}
    text, html = made.text, made.html
    for mark, name in show.items():
        text, html = text.replace(mark, name), html.replace(mark, name)
    return text, html, made.urls


@pytest.mark.parametrize(
    ("source", "wanted", "links"),
    [
        ("See https://shop.test/a.", "See L0.", ("https://shop.test/a",)),
        ("(https://shop.test/a?x=1&y=2), ok", "(L0), ok", ("https://shop.test/a?x=1&y=2",)),
        ("https://a.test https://b.test https://a.test", "L0 L1 L0", ("https://a.test", "https://b.test")),
        (
            "{% if v %}https://a.test/{% else %}https://b.test/{% endif %}",
            "L0",
            ("https://a.test/", "https://b.test/"),
        ),
        ("https://a.test/{% if v %}x{% endif %}", "D0", ()),
        ("https://a.test{% if v %} and more{% endif %}", "https://a.test and more", ()),
        ("https://{{ v }}.test/x", "https://V.test/x", ()),
        ("https://a.test/{{ v }}/b.", "D0.", ()),
        ("mail me: mailto:a@b.test", "mail me: mailto:a@b.test", ()),
        ("{# https://a.test #}{% raw %}https://b.test{% endraw %}", "https://b.test", ()),
    ],
)
def test_addresses_in_text(source: str, wanted: str, links: tuple[str, ...]) -> None:
    assert compiled(source).links == links
    assert render(source, v="V")[0] == wanted


@pytest.mark.parametrize(
    ("source", "wanted", "links"),
    [
        ('<a href="https://a.test/?x=1&amp;y=2">x</a>', '<a href="L0">x</a>', ("https://a.test/?x=1&y=2",)),
        ("<A class=b HREF = https://a.test/>x</A>", '<A class=b HREF = "L0">x</A>', ("https://a.test/",)),
        ("<a href='#top'>x</a>", "<a href='#top'>x</a>", ()),
        ('<a href="mailto:a@b.test">x</a>', '<a href="mailto:a@b.test">x</a>', ()),
        ('<a href="{{ v }}">x</a>', '<a href="V">x</a>', ()),
        ('<a href="https://a.test/{{ v | default("q") }}">x</a>', '<a href="D0">x</a>', ()),
        ('<a href="https://{{ v }}/">x</a>', '<a href="https://V/">x</a>', ()),
        ('<a href="https://a.test{{ v }}/">x</a>', '<a href="https://a.testV/">x</a>', ()),
        (
            '<a title="{{ \'>\' }}" href="https://a.test/">x</a>',
            '<a title="&gt;" href="L0">x</a>',
            ("https://a.test/",),
        ),
        (
            "<img src='https://a.test/i.png'>https://b.test",
            "<img src='https://a.test/i.png'>https://b.test",
            (),
        ),
        ("<!-- <a href='https://a.test/'> -->", "<!-- <a href='https://a.test/'> -->", ()),
        (
            "<script>'<a href=\"https://a.test/\">'</script>",
            "<script>'<a href=\"https://a.test/\">'</script>",
            (),
        ),
    ],
)
def test_links_in_html(source: str, wanted: str, links: tuple[str, ...]) -> None:
    assert compiled(html=source).links == links
    assert render(html=source, v="V")[1] == wanted


def test_a_host_from_data_is_never_ours_to_redirect_to() -> None:
    html = (
        '<a href="{{ site }}">a</a><a href="https://{{ site }}">b</a><a href="https://a.test{{ site }}">c</a>'
    )
    assert render(html=html, site="https://evil.test/")[2] == ()
    assert render(html='<a href="https://a.test/{{ site }}">c</a>', site="../@evil.test")[2] == (
        "https://a.test/../@evil.test",
    )


@pytest.mark.parametrize(
    "html",
    [
        '<p>\n<a href="javascript:alert(1)">x</a>',
        '<p>\n<a href="JAVASCRIPT:{{ v }}">x</a>',
        '<p>\n<a href="data:text/html,{{ v }}">x</a>',
        '<p>\n<a href="https://u:p@a.test/">x</a>',
        '<p>\n<a href="&#106;avascript:alert(1)">x</a>',
    ],
)
def test_what_must_not_be_linked_to_is_refused_with_its_line(html: str) -> None:
    with pytest.raises(BadTemplate, match=r"html, line 2: a link"):
        compiled(html=html)


def test_a_scheme_from_data_fails_for_that_recipient() -> None:
    content = compiled(html='<a href="{{ v }}">x</a>')
    for good in ("https://x.test/?a b", "/x", "#y", "", "mailto:a@b.test"):
        content.render({"v": good})
    for bad in ("javascript:alert(1)", " data:x,y"):
        with pytest.raises(BadTemplate, match="scheme"):
            content.render({"v": bad})


@pytest.mark.parametrize("name", ["__link", "__mark", "__notes"])
def test_names_of_ours_are_refused(name: str) -> None:
    with pytest.raises(BadTemplate, match="begin with __"):
        compiled(f"{{{{ 'x' | {name} }}}}")


paths = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Co")), max_size=12)


@settings(max_examples=40)
@given(paths)
def test_the_recipients_part_is_carried_whole(value: str) -> None:
    html = '<a href="https://a.test/?x={{ v | urlencode }}">x</a>'
    [url] = render(html=html, v=value)[2]
    plain = compiled(html=html).render({"v": value}).html
    assert url == unescape(plain.removeprefix('<a href="').removesuffix('">x</a>'))


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("https://a.test", "https://a.test?utm_source=mail&utm_medium=e+x"),
        ("https://a.test/?b=1#c", "https://a.test/?b=1&utm_source=mail&utm_medium=e+x#c"),
        ("https://a.test/?utm_source=own", "https://a.test/?utm_source=own&utm_medium=e+x"),
        ("https://a.test/?UTM_source=own&utm%5Fmedium=z", "https://a.test/?UTM_source=own&utm%5Fmedium=z"),
        ("https://a.test/?", "https://a.test/?utm_source=mail&utm_medium=e+x"),
        ("mailto:a@b.test", "mailto:a@b.test"),
        ("https://a.test/" + "x" * 1980, "https://a.test/" + "x" * 1980),
    ],
)
def test_parameters_that_are_there_win(url: str, wanted: str) -> None:
    assert add_utm(url, LinkSettings(utm_source="mail", utm_medium="e x")) == wanted
    assert add_utm(wanted, LinkSettings(utm_source="mail", utm_medium="e x")) == wanted
