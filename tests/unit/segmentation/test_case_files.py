"""Files of rule tests: YAML 1.2 with lines, and every mistake with its place."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kit.errors import InvalidArgument
from services.segmentation.cases.nodes import Node, parse
from services.segmentation.cases.problems import FileError, Problems
from services.segmentation.cases.profiles import Vocabulary, profile_of
from services.segmentation.cases.reading import CaseFile, read
from services.segmentation.cases.values import number
from services.segmentation.cases.vocabulary import registry_for
from services.segmentation.rules import EventType, Profile, Registry

BASE = Registry(event_types=(EventType.parse("order.placed", {"amount": "double", "line_count": "int"}),))


def plain(node: Node) -> Any:
    if isinstance(node.value, dict):
        return {key: plain(item) for key, item in node.value.items()}
    return [plain(item) for item in node.value] if isinstance(node.value, list) else node.value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("NO", "NO"), ("no", "no"), ("yes", "yes"), ("on", "on"), ("y", "y"),
        ("true", True), ("False", False), ("null", None), ("~", None), ("", None), ("'null'", "null"),
        ("12", 12), ("-7", -7), ("+3", 3), ("0o17", 15), ("017", 17), ("0x1F", 31), ("1_000", "1_000"),
        ("1.50", Decimal("1.50")), (".5", Decimal("0.5")), ("1e3", Decimal(1000)), ("'1'", "1"), ('"1"', "1"),
        ("2026-03-01", "2026-03-01"), ("2026-03-01T00:00:00Z", "2026-03-01T00:00:00Z"), ("12:30", "12:30"),
        ("!!str 12", "12"), ("[1, [a]]", [1, ["a"]]), ("&x a", "a"),
    ],
)  # fmt: skip
def test_scalars_are_those_of_yaml_1_2(text: str, value: Any) -> None:
    found = plain(parse(f"key: {text}"))["key"]
    assert found == value
    assert type(found) is type(value)


def test_aliases_stand_for_what_they_name() -> None:
    assert plain(parse("a: &x {b: [1]}\nc: *x\n")) == {"a": {"b": [1]}, "c": {"b": [1]}}


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("a: 1\nb: [\n", 3, "no YAML"),
        ("a: 1\na: 2\n", 2, "'a' is there already, on line 1"),
        ("a:\n  - &x [*x]\n", 2, "*x holds itself"),
        ("a: *x\n", 1, "stands for nothing"),
        ("a: 1\n---\nb: 2\n", 2, "second document"),
        ("a: !!python/object:os.system x\n", 1, "tag"),
        ("a:\n  b: .nan\n", 2, "not a finite number"),
        ("a: " + "[" * 21 + "]" * 21, 1, "nested more than"),
        ("[" * 100_000, 1, "nested more than"),
        ("{[1]: 2}", 1, "key must be a text"),
        ("# nothing\n", 1, "empty"),
        ("x" * 500_001, 1, "characters"),
        ("a: \x07", 1, "no YAML"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_is_no_tree_is_refused_at_its_line(text: str, line: int, said: str) -> None:
    with pytest.raises(FileError) as caught:
        parse(text)
    assert caught.value.line == line
    assert said in caught.value.message


@given(st.text(max_size=200))
def test_no_text_breaks_the_reader(text: str) -> None:
    """No text of a file holds a whole case by chance, so each is refused, and as what it is."""
    with pytest.raises(InvalidArgument) as caught:
        read(text, Problems("x"))
    assert caught.value.reason == "INVALID_CASES"
    assert caught.value.violations


FLOATS = st.floats(allow_nan=False, allow_infinity=False).map(repr)


@given(st.one_of(st.integers(), st.decimals(allow_nan=False, allow_infinity=False), FLOATS))
def test_numbers_are_exact_where_decimals_are_kept(value: Any) -> None:
    given_number = value if isinstance(value, int) else Decimal(value)
    found = number(given_number)
    if isinstance(found, Decimal):
        assert found == given_number
    else:
        near = found
        assert near == float("inf") or near == float("-inf") or near == float(given_number)


@pytest.mark.parametrize("text", ["1e999999999", "-1e999999999", "1e-999999999", "9" * 399])
def test_a_monstrous_number_costs_nothing(text: str) -> None:
    number(parse(f"a: {text}").value["a"].value)


def understand(content: str) -> tuple[CaseFile, Registry, list[Profile]]:
    problems = Problems("cases.yaml")
    file = read(content, problems)
    registry = registry_for(file, BASE, problems)
    known = Vocabulary.of(registry)
    profiles = []
    for case in file.cases:
        problems.case = case.name
        try:
            profiles.append(profile_of(case, known))
        except FileError as error:
            problems.add(error)
    problems.raise_if_any()
    return file, registry, profiles


ONE = "cases: [{{name: one, rule: 'true', expect: member, {}}}]"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("cases: []", "line 1: there are no cases"),
        ("case: []", "line 1: the file: 'case' is not known; did you mean cases?"),
        (
            "attributes: {age: double}\n" + ONE.format(""),
            "line 1: attribute 'age' is a core attribute of type int",
        ),
        ("attributes: {x: text}\n" + ONE.format(""), "line 1: attribute 'x' has the unknown type 'text'"),
        ("event_types: {order_placed: {time: string}}\n" + ONE.format(""), "'time' is built in"),
        ("event_types:\n  a.b: {}\n  a_b: {}\n" + ONE.format(""), "line 3: event types a.b and a_b are both"),
        ("cases:\n- rule: 'true'\n  expect: member\n", "line 2, case 'number 1': name is missing"),
        (
            "cases:\n- name: x\n  rule: 'true'\n  expect: yes\n",
            "line 4, case 'x': expect must be one of member",
        ),
        (ONE.format("contact: {cuntry: VN}"), "'cuntry' is not known"),
        (
            ONE.format("contact: {region_code: 12}"),
            "contact.region_code must be a text, this is a whole number",
        ),
        (ONE.format("contact: {age: old}"), "contact.age must be a whole number, this is a text"),
        (ONE.format("contact: {age: 9223372036854775808}"), "does not fit in 64 bits"),
        (ONE.format("contact: {tags: vip}"), "contact.tags must be a list of texts"),
        (ONE.format("contact: {birth_date: 31.5.1990}"), "must be a date such as 1990-05-31"),
        (ONE.format("contact: {location: [91, 0]}"), "a latitude lies within 90"),
        (ONE.format("contact: {location: [1]}"), "must have a latitude and a longitude"),
        (ONE.format("segments: [No Good]"), "segments: segment_id: expected"),
        (ONE.format("as_of: tomorrow"), "as_of must be a time such as 2026-03-01T09:30:00Z"),
        (ONE.format("events: [{type: order_placed}]"), "an event lacks its time"),
        (ONE.format("events: [{type: bought, time: 2026-01-01}]"), "event type: 'bought' is not known"),
        (ONE.format("events: [{type: order.placed, time: 2026-01-01, amount: 1}]"), "lacks line_count"),
        (ONE.format("events: [{type: order.placed, time: 2026-01-01, amout: 1}]"), "did you mean amount?"),
        (ONE.format("plugins: {'a.b(contact)': 1}"), "must be a rule's name, or a call of literals"),
        (ONE.format("plugins: {nonsense: 1}"), "'nonsense' is not a usable name"),
        ("cases: [{name: x, rule: 'tru', expect: invalid, next_change: null}]", "next_change says nothing"),
        ("cases: [" + "{name: x, rule: 'true', expect: member}, " * 1001 + "]", "at most 1000"),
    ],
)
def test_each_mistake_is_told_with_its_place(content: str, said: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        understand(content)
    assert caught.value.reason == "INVALID_CASES"
    assert said in caught.value.message
    assert caught.value.message.startswith("cases.yaml, line ")


def test_all_mistakes_are_told_at_once() -> None:
    content = "cases:\n" + "".join(f"- {{name: case {n}, rule: 'true'}}\n" for n in range(25))
    with pytest.raises(InvalidArgument) as caught:
        understand(content)
    assert len(caught.value.violations) == 21
    assert "line 2, case 'case 0': expect is missing" in caught.value.violations[0].description
    assert "5 more mistakes" in caught.value.violations[-1].description


def test_many_aliases_cannot_blow_up() -> None:
    events = (
        "[" + ", ".join(["{type: order.placed, time: 2026-01-01, amount: 1, line_count: 1}"] * 1000) + "]"
    )
    cases = "".join(f"- {{name: c{n}, rule: 'true', expect: member, events: *e}}\n" for n in range(30))
    with pytest.raises(InvalidArgument, match="more than 20000 events"):
        understand(f"cases:\n- {{name: a, rule: 'true', expect: member, events: &e {events}}}\n{cases}")


def test_what_is_given_is_registered_by_its_use() -> None:
    _, registry, (one, two) = understand("""
attributes: {country: string, age: int, joined: timestamp}
event_types: {order_placed: {category: string, amount: double, note: string?}}
traits: {seen: timestamp}
cases:
  - name: one
    rule: in_segment("segments/named")
    expect: member
    contact:
      country: NO
      age: 44
      joined: 2026-01-01 08:00
      consents: {letters_about_wine: granted}
      traits: {churn: 1, seen: 2026-02-03T10:00:00+07:00}
      location: {latitude: 10.5, longitude: 106}
      tags: [a, NO]
      segments: [given]
    segments: [segments/beside]
    events: [{type: order.placed, time: 2026-01-01T10:00:00, category: NO, amount: 0.10}]
    plugins: {risk.score: 2, 'risk.flag("x", 3)': true}
  - name: two
    rule: 'true'
    expect: member
    contact: {traits: {churn: 0.5}}
    plugins: {risk.score: 0.5}
""")
    assert {a.name: a.type for a in registry.attributes} == {"country": "string", "joined": "timestamp"}
    assert [e.name for e in registry.event_types] == ["order_placed"]
    assert {t.name: t.type for t in registry.traits} == {"churn": "double", "seen": "timestamp"}
    functions = {f.name: (f.returns, f.params) for f in registry.functions}
    assert functions == {"risk.score": ("double", ()), "risk.flag": ("bool", ("string", "int"))}
    assert set(registry.segments) == {"segments/named", "segments/given", "segments/beside"}
    assert "letters_about_wine" in registry.consents
    assert one.attributes["country"] == "NO"
    assert one.attributes["joined"].isoformat() == "2026-01-01T08:00:00+00:00"
    assert one.traits["seen"].isoformat() == "2026-02-03T03:00:00+00:00"
    assert one.tags == ("a", "NO")
    assert one.segments == {"segments/given", "segments/beside"}
    assert one.location == (10.5, 106.0)
    (event,) = one.events
    assert event.type == "order_placed"
    assert event.payload == {"category": "NO", "amount": Decimal("0.10")}
    assert two.traits == {"churn": Decimal("0.5")}


def test_a_trait_of_two_types_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="trait level is string here and int in another case"):
        understand("""
cases:
  - {name: a, rule: 'true', expect: member, contact: {traits: {level: 1}}}
  - {name: b, rule: 'true', expect: member, contact: {traits: {level: high}}}
""")
