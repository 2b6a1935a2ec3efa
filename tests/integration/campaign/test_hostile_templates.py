"""Templates written to break out, to spy, or to eat the process: none gets further than its own data."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.campaign.domain.rendering import MAX_OUTPUT, BadTemplate, CompiledContent, Content
from tests.support.stack import NOW

ROOT = Path(__file__).parents[3]
SECRET = "key-of-the-installation"


class Custom:
    """Stand for any object that might reach a template one day."""

    def __init__(self) -> None:
        self._secret = SECRET
        self.shown = "shown"

    def __repr__(self) -> str:
        return "a thing"

    def reveal(self) -> str:
        """Return nothing worth hiding."""
        return "revealed"


def context() -> dict[str, Any]:
    return {
        "contact": {
            "given_name": "Mai",
            "display_name": "Mai",
            "attributes": {"size": 38, "list": ["a", "b"], "when": NOW},
        },
        "event": {"type": "order.placed", "total": {"amount": 1.5}},
        "coupon": "GIFT",
        "now": NOW,
        "links": {"unsubscribe": "mailto:u@shop.test"},
    }


def render(source: str, values: dict[str, Any] | None = None) -> str:
    return CompiledContent(Content("", "subject", source, "")).render(values or context()).text


ESCAPES = [
    "{{ contact.__class__ }}",
    "{{ contact['__class__'] }}",
    "{{ contact['__cla' ~ 'ss__'] }}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ ''['__class__']['__base__'] }}",
    "{{ ().__class__.__bases__ }}",
    "{{ now.__class__ }}",
    "{{ now.__reduce__() }}",
    "{{ now.strftime.__self__ }}",
    "{{ now.__init_subclass__.__globals__ }}",
    "{{ contact | attr('__class__') }}",
    "{{ [contact] | map(attribute='__class__') | list }}",
    "{{ [''] | map('attr', '__class__') | list }}",
    "{{ ['a'] | groupby('__class__') | list }}",
    "{{ ['a'] | sort(attribute='__class__') }}",
    "{{ ['a'] | sum(attribute='__class__', start=[]) }}",
    "{{ ['a'] | unique(attribute='__class__') | list }}",
    "{{ ['a'] | max(attribute='__class__.__name__') }}",
    "{{ ['a'] | join(',', attribute='__class__') }}",
    "{{ ['a'] | selectattr('__class__.__name__', 'equalto', 'str') | list }}",
    "{{ '{0.__class__}'.format(contact) }}",
    "{{ '{0.__class__.__mro__}'.format(now) }}",
    "{{ '{a.__class__}'.format_map({'a': now}) }}",
    "{{ '{0.__class__}' | format(now) }}",
    "{{ '%s' % contact.__class__ }}",
    "{{ self }}",
    "{{ self.__init__.__globals__ }}",
    "{{ self._TemplateReference__context.environment }}",
    "{{ lipsum.__globals__['os'].popen('id').read() }}",
    "{{ cycler.__init__.__globals__.os }}",
    "{{ joiner.__init__.__globals__ }}",
    "{{ namespace.__init__.__globals__ }}",
    "{{ config }}{{ request }}{{ environment }}{{ context }}",
    "{{ range.__self__ }}",
    "{{ range.__func__.__globals__ }}",
    "{{ range(3).gi_frame.f_globals }}",
    "{{ range(3).gi_code }}",
    "{% for x in [1] %}{{ loop.__class__.__init__.__globals__ }}{% endfor %}",
    "{% for x in [1] %}{{ loop._iterator }}{% endfor %}",
    "{{ (contact.nosuch).__class__ }}",
    "{{ contact.nosuch._undefined_exception }}",
    "{{ contact.nosuch.__init__.__globals__ }}",
    "{% set x = contact.__class__ %}{{ x }}",
    "{% if contact.__class__ %}class{% endif %}",
    "{{ thing._secret }}",
    "{{ thing['_secret'] }}",
    "{{ thing.__dict__ }}",
    "{{ thing.reveal.__func__.__globals__ }}",
    "{{ [thing] | map(attribute='_secret') | join }}",
    "{{ [thing] | sum(attribute='_secret', start='') }}",
    "{{ [thing] | join(attribute='_secret') }}",
    "{{ [thing] | groupby('_secret') }}",
    "{{ thing | tojson }}",
    "{{ thing | items | list }}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}{{ os }}",
    "{% extends '/etc/passwd' %}",
    "{% macro x() %}{{ caller.__globals__ }}{% endmacro %}{{ x.__globals__ }}",
]
LEAKS = (
    "<class",
    "<function",
    "<bound",
    "<module",
    "<built-in",
    "<code",
    "<generator",
    "<frame",
    "<jinja2",
    " at 0x",
    "__builtins__",
    "mappingproxy",
    "uid=",
    "root:",
    "class",
    SECRET,
)


@pytest.mark.parametrize("source", ESCAPES)
def test_a_template_cannot_reach_past_its_data(source: str) -> None:
    values = {**context(), "thing": Custom()}
    try:
        shown = render(source, values)
    except BadTemplate as refused:
        # Nor does the refusal quote what was looked for.
        shown = str(refused).replace("__class__", "")
        assert SECRET not in shown
        assert " at 0x" not in shown
        return
    assert not [leak for leak in LEAKS if leak in shown], shown


@pytest.mark.parametrize(
    "source",
    [
        "{{ contact.update({'given_name': 'X'}) }}",
        "{{ contact['update']({'given_name': 'X'}) }}",
        "{{ contact.attributes.clear() }}",
        "{{ contact.attributes.list.append('X') }}",
        "{{ contact['attributes']['list'].append('X') }}",
        "{{ contact.attributes.list.sort(reverse=true) }}",
        "{{ contact.pop('given_name') }}",
        "{{ contact.setdefault('x', 1) }}",
        "{% set contact.given_name = 'X' %}",
        "{% set contact = {'given_name': 'X'} %}{{ contact.given_name }}",
    ],
)
def test_a_template_cannot_change_its_data(source: str) -> None:
    values = context()
    before = json.dumps(values, default=datetime.isoformat)
    with contextlib.suppress(BadTemplate):
        render(source, values)
    assert json.dumps(values, default=datetime.isoformat) == before
    assert render("{{ contact.given_name }}", values) == "Mai"


def test_one_rendering_leaves_nothing_for_the_next() -> None:
    content = CompiledContent(Content("", "subject", "{{ seen | default('none') }}{% set seen = 'a' %}", ""))
    assert [content.render(context()).text for _ in range(2)] == ["none", "none"]


@given(st.text(max_size=30), st.text(max_size=30))
def test_values_are_never_taken_for_a_template(name: str, city: str) -> None:
    values = context()
    values["contact"] |= {"given_name": "{{ coupon }}" + name, "locality": "{% raw %}" + city}
    shown = render("{{ contact.given_name }}|{{ contact.locality }}", values)
    assert shown == "{{ coupon }}" + name + "|{% raw %}" + city


@given(st.text(max_size=60))
def test_values_cannot_break_out_of_html(value: str) -> None:
    values = context()
    values["contact"]["given_name"] = value
    content = CompiledContent(Content("", "s", "t", '<a title="{{ contact.given_name }}">x</a>'))
    inner = content.render(values).html.removeprefix('<a title="').removesuffix('">x</a>')
    assert not set(inner) & set("<>\"'")


@given(st.text())
def test_a_subject_stays_one_line(value: str) -> None:
    values = context()
    values["contact"]["given_name"] = f"a\r\nBcc: x@mail.test{value}"
    subject = CompiledContent(Content("", "Hi {{ contact.given_name }}", "t", "")).render(values).subject
    assert len(subject.splitlines()) == 1
    assert not [character for character in subject if ord(character) < 32 or ord(character) == 127]


BOMBS = {
    "long string": "{{ 'a' * 1000000000 }}",
    "long string in turn": "{{ 1000000000 * 'a' }}",
    "list": "{{ [0] * 1000000000 }}",
    "repeated twice": "{{ ('a' * 10000) * 10000 }}",
    "power": "{{ 10 ** 1000000000 }}",
    "large product": "{{ " + " * ".join(["99999999999999999999"] * 60) + " }}",
    "range": "{% for n in range(1000000000) %}x{% endfor %}",
    "list of a range": "{{ range(1000000000) | list | length }}",
    "nested ranges": "{% for a in range(9000) %}{% for b in range(9000) %}x{% endfor %}{% endfor %}",
    "nested loops": "{% set x = 'a' * 10000 %}{% for a in x %}{% for b in x %}x{% endfor %}{% endfor %}",
    "nested loops that write nothing": "{% set x = 'a' * 10000 %}"
    "{% for a in x %}{% for b in x %}{% for c in x %}{% endfor %}{% endfor %}{% endfor %}",
    "doubling": "{% set x = 'a' * 10000 %}" + "{% set x = x ~ x ~ x ~ x %}" * 12 + "{{ x | length }}",
    "doubling by addition": "{% set x = 'a' * 10000 %}"
    + "{% set x = x + x + x + x %}" * 12
    + "{{ x | length }}",
    "doubling of a list": "{% set x = [1] * 10000 %}"
    + "{% set x = x + x + x + x %}" * 12
    + "{{ x | length }}",
    "replace": "{% set x = 'a' * 10000 %}{{ x | replace('a', x) | replace('a', x) | length }}",
    "replace by method": "{% set x = 'a' * 10000 %}{{ x.replace('a', x).replace('a', x) | length }}",
    "join": "{% set x = 'a' * 10000 %}{{ ([([x] * 10000) | join] * 100) | join | length }}",
    "join by method": "{% set x = 'a' * 10000 %}{{ x.join((x.join([x] * 5000),) * 50) | length }}",
    "indented json": "{{ [1] | tojson(indent=1000000000) }}",
    "format": "{{ '%1000000000d' | format(1) }}",
    "format by method": "{{ '{:1000000000d}'.format(1) }}",
    "format by operator": "{{ '%1000000000d' % 1 }}",
    "center": "{{ 'a' | center(1000000000) }}",
    "ljust": "{{ 'a'.ljust(1000000000) }}",
    "indent": "{{ 'a\\na' | indent(1000000000) }}",
    "time format": "{{ now.strftime('%1000000000Y' * 100) }}",
    "deep calls": "{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}",
    "recursive loop": "{% for a in [1] recursive %}{{ loop([1]) }}{% endfor %}",
    "deep nesting": "{{ " + "[" * 5000 + "]" * 5000 + " }}",
    "digits": "{{ ('9' * 10000) | int }}",
}

# Each template has a process of its own, whose bounds keep one that does get through from taking the machine with it.
DRIVER = """
import json, os, resource, sys
from datetime import datetime
from services.campaign.domain.rendering import BadTemplate, CompiledContent, Content

def attempt(source):
    resource.setrlimit(resource.RLIMIT_CPU, (6, 6))
    resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
    try:
        made = CompiledContent(Content("", "subject", source, "")).render({"now": datetime(2026, 1, 1)})
        said, length = "rendered", len(made.text)
    except BadTemplate as error:
        said, length = str(error), 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"said": said, "length": length, "peak_kilobytes": peak}

for line in sys.stdin:
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.write(writer, json.dumps(attempt(json.loads(line))).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        found = answer.read() or "{}"
    os.wait()
    print(found, flush=True)
"""


@pytest.fixture(scope="module")
def driver() -> Iterator[subprocess.Popen[str]]:
    """A process that renders each line of its input in a child."""
    folders = (ROOT, ROOT / "protos", ROOT / "protos" / "gen")
    process = subprocess.Popen(
        [sys.executable, "-c", DRIVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))},
    )
    with process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


@pytest.mark.parametrize("name", list(BOMBS))
def test_a_template_cannot_eat_the_process(driver: subprocess.Popen[str], name: str) -> None:
    assert driver.stdin is not None
    assert driver.stdout is not None
    driver.stdin.write(json.dumps(BOMBS[name]) + "\n")
    driver.stdin.flush()
    found = json.loads(driver.stdout.readline())
    assert found, "it had to be killed: out of CPU time or memory"
    assert found["length"] <= MAX_OUTPUT
    # An interpreter with jinja2 takes some 30 MB; a few values at the bound, some more.
    assert found["peak_kilobytes"] < 200 * 1024, found
    assert "MemoryError" not in found["said"], found


@pytest.mark.parametrize(
    "name", ["long string", "power", "large product", "range", "nested ranges", "format"]
)
def test_a_refusal_says_what_is_not_allowed(name: str) -> None:
    with pytest.raises(BadTemplate) as caught:
        render(BOMBS[name])
    assert caught.value.part == "text"
    assert caught.value.line == 1
    assert len(str(caught.value)) < 300
