"""Templates: what they may do, what they must not, and which language is chosen."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.campaign.domain.rendering import (
    BadTemplate,
    CompiledContent,
    Content,
    Rendered,
    choose,
)


def render(text: str, **context: object) -> str:
    return CompiledContent(Content("", "s", text, "")).render(context).text


def test_values_fill_in_and_missing_ones_are_nothing():
    text = "Hi {{ contact.given_name | default('friend') }}{{ a.b.c }}{{ event.total.amount }}{{ coupon }}!"
    assert render(text) == "Hi friend!"
    assert render(text, contact={"given_name": "Lan"}, coupon="X1") == "Hi LanX1!"


def test_html_is_escaped_and_text_is_not():
    made = CompiledContent(Content("vi", "{{ a }}", "{{ a }}", "<p>{{ a }}</p>")).render({"a": "<b>&"})
    assert made == Rendered("<b>&", "<b>&", "<p>&lt;b&gt;&amp;</p>", "vi")


def test_data_comes_before_methods():
    assert render("{{ contact.items }} {{ contact.keys }}", contact={"items": 3}) == "3 "


@pytest.mark.parametrize(
    "text",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ ().__class__.__bases__[0].__subclasses__() }}",
        "{{ self._TemplateReference__context }}",
        "{{ cycler.__init__.__globals__.os.popen('id') }}",
        "{{ range.__globals__ }}",
        "{{ 'a'.join.__self__.__class__ }}",
        "{{ [].append(1) }}",
        "{{ contact.update({'a': 1}) }}",
        "{{ contact['__class__'].mro() }}",
        "{{ '{0.__class__}'.format(contact) }}",
        "{{ 'x' * 100000000 }}",
        "{{ [0] * 100000000 }}",
        "{{ 9 ** 9 ** 9 }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ 'x'.center(1000000000) }}",
        "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
        "{% for a in range(9000) %}{{ long }}{% endfor %}",
    ],
)
def test_python_and_the_machine_are_out_of_reach(text: str):
    with pytest.raises(BadTemplate):
        render(text, contact={"a": 1}, long="x" * 1000)


@pytest.mark.parametrize("name", ["lipsum", "cycler", "namespace", "joiner", "dict", "config", "request"])
def test_nothing_is_there_but_the_data(name: str):
    assert render(f"{{{{ {name} }}}}") == ""


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a\n{% if %}", 2),
        ("{{ x | nope }}", 1),
        ("\n\n{% macro f() %}{% endmacro %}", 3),
        ("{% import 'a' as b %}", 1),
    ],
)
def test_what_does_not_compile_names_its_line(text: str, line: int):
    with pytest.raises(BadTemplate) as caught:
        CompiledContent(Content("", "s", text, ""))
    assert (caught.value.part, caught.value.line) == ("text", line)


def test_what_does_not_render_names_its_line_but_no_value():
    with pytest.raises(BadTemplate, match=r"^text, line 2: ") as caught:
        render("a\n{{ secret + 1 }}", secret="a@mail.test")
    assert "mail.test" not in str(caught.value)


@given(st.text())
def test_a_subject_is_one_line(value: str):
    made = CompiledContent(Content("", "Re: {{ a }}", "t", "")).render({"a": value})
    assert not set(made.subject) & set("\r\n\x00\x0b\x0c\x1b\x85\u2028\u2029")
    assert len(made.subject) <= 1000


def test_the_language_falls_back():
    languages = ["", "zh", "zh-Hant", "vi", "pt-BR"]
    chosen = {
        wanted: languages[choose(languages, wanted)]
        for wanted in ("zh-Hans-CN", "zh-Hant-TW", "VI_vn", "pt", "fr", "", "pt-br")
    }
    assert chosen == {
        "zh-Hans-CN": "zh",
        "zh-Hant-TW": "zh-Hant",
        "VI_vn": "vi",
        "pt": "",
        "fr": "",
        "": "",
        "pt-br": "pt-BR",
    }
