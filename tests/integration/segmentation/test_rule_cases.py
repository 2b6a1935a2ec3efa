"""Rule tests through both engines, on a database that holds a business of its own."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from services.demo.definitions import SEGMENTS
from services.kit.errors import InvalidArgument, ResourceExhausted
from services.segmentation.cases.problems import Problems
from services.segmentation.cases.reading import read
from services.segmentation.rules import CompiledRule, Outcome, Profile
from services.segmentation.store import scratch
from services.segmentation.usecases import previewing, rule_testing
from services.segmentation.usecases.rule_testing import CaseResult, run_cases
from tests.support.segmentation import NOW, World, attribute_defined, contact, contact_id, order

EXAMPLE = Path(__file__).resolve().parents[3] / "services/segmentation/examples/demo.cases.yaml"
OF_THE_SPECIFICATION = """
attributes: {age: int, country: string}
event_types: {order_placed: {category: string, amount: double}}
cases:
  - name: lapsed buyer
    rule: 'events.order_placed.size() > 0 && !events.order_placed.exists(e, now - e.time <= days(90))'
    as_of: 2026-03-01T00:00:00Z
    contact: {country: VN}
    events: [{type: order_placed, time: 2025-11-01T10:00:00Z, category: shoes, amount: 20.0}]
    expect: member
    next_change: null
"""


def verdicts(results: list[CaseResult]) -> list[tuple[str, str, str, bool]]:
    return [(item.name, item.sql, item.cel, item.ok) for item in results]


def run(seg: World, cases: str, head: str = "") -> list[CaseResult]:
    return run_cases(seg.service, f"{head}\ncases:\n{cases}", "cases.yaml")


def one(seg: World, case: str, head: str = "") -> CaseResult:
    (result,) = run(seg, f"- {case}", head)
    return result


def test_the_example_holds_and_tests_the_rules_of_the_demo(seg: World) -> None:
    content = EXAMPLE.read_text(encoding="utf-8")
    results = run_cases(seg.service, content)
    assert [item for item in results if not item.ok] == []
    assert {item.sql for item in results} == {"member", "not_member", "unknown", "invalid"}
    tested = {" ".join(case.rule.split()) for case in read(content, Problems("example")).cases}
    assert {" ".join(rule.split()) for _, rule in SEGMENTS.values()} <= tested


def test_the_example_of_the_specification(seg: World) -> None:
    (result,) = run_cases(seg.service, OF_THE_SPECIFICATION)
    assert (result.name, result.line, result.message) == ("lapsed buyer", 5, "")
    assert (result.sql, result.cel, result.expected, result.ok) == ("member", "member", "member", True)


@pytest.mark.parametrize(
    "case",
    [
        "{name: tags, rule: '\"vip\" in contact.tags', contact: {tags: [vip]}, expect: member}",
        "{name: core, rule: 'contact.has_email && contact.total_spent == 1.5', "
        "contact: {has_email: true, total_spent: 1.5}, expect: member}",
        "{name: consent, rule: contact.consents.email_marketing == 'granted', "
        "contact: {consents: {email_marketing: granted}}, expect: member}",
        "{name: trait, rule: contact.traits.rfm_recency >= 4, contact: {traits: {rfm_recency: 5}}, expect: member}",
        "{name: no trait, rule: contact.traits.rfm_recency >= 4, expect: invalid}",
        "{name: near, rule: 'distance_km(contact.location, 10.7769, 106.7009) < 5.0', "
        "contact: {location: [10.78, 106.7]}, expect: member}",
        "{name: nowhere, rule: 'distance_km(contact.location, 10.7769, 106.7009) < 5.0', expect: unknown}",
        "{name: in, rule: in_segment('segments/churned'), segments: [churned], expect: member}",
        "{name: out, rule: in_segment('segments/churned'), contact: {segments: [segments/other]}, expect: not_member}",
        "{name: plugin, rule: loyalty.tier(contact) == 'gold', plugins: {loyalty.tier: gold}, expect: member}",
        "{name: of two, rule: 'risk.p(contact, 1) > risk.p(contact, 2)', "
        "plugins: {risk.p(1): 0.5, risk.p(2): 1}, expect: not_member}",
        "{name: silent, rule: 'risk.flag(contact) || true', plugins: {risk.flag: true}, expect: member}",
        "{name: born, rule: contact.age == 18, contact: {birth_date: 2008-03-01}, as_of: 2026-03-01, expect: member, "
        "next_change: 2027-03-01}",
        "{name: stated, rule: contact.age == 18, contact: {age: 18}, expect: member}",
        "{name: missing, rule: contact.age != 18, expect: member}",
        "{name: yaml's true, rule: true, expect: member}",
        "{name: sum, rule: 'sum(events.order_placed.map(e, e.amount)) == 0.3', expect: member, "
        "events: [{type: order.placed, time: 2026-01-01, amount: 0.1, currency: EUR, source: x, line_count: 1},"
        "{type: order_placed, time: 2026-01-02, amount: 0.2, currency: EUR, source: x, line_count: 1}]}",
    ],
    ids=lambda case: case.split(",")[0],
)
def test_what_a_contact_may_have(seg: World, case: str) -> None:
    result = one(seg, case)
    assert result.ok, result


def test_what_the_business_has_defined_may_be_named(seg: World) -> None:
    case = "{name: x, rule: contact.shoe_size > 40, contact: {shoe_size: 44}, expect: member}"
    with pytest.raises(InvalidArgument, match="'shoe_size' is not known"):
        one(seg, case)
    seg.deliver(attribute_defined("shoe_size", 2))
    declared = one(seg, case.replace("40", "'40'").replace("44", "'44'"), "attributes: {shoe_size: string}")
    assert declared.ok, "what the file declares wins"
    own = one(seg, case)
    assert own.ok, own
    assert seg.query("SELECT type FROM attribute") == ["int"]


def test_an_unknown_answer_of_a_plugin_is_unknown(seg: World) -> None:
    cases = """
- {name: given, rule: loyalty.tier(contact) == 'gold', plugins: {loyalty.tier: gold}, expect: member}
- {name: silent, rule: loyalty.tier(contact) == 'gold', expect: unknown}
- {name: nothing, rule: loyalty.tier(contact) == 'gold', plugins: {loyalty.tier: null}, expect: unknown}
"""
    assert [item.ok for item in run(seg, cases)] == [True, True, True]
    with pytest.raises(InvalidArgument, match=r"case 'x': plugins: the rule does not call loyalty.tire"):
        one(seg, "{name: x, rule: loyalty.tier(contact) == 'gold', plugins: {loyalty.tier: a, loyalty.tire: b}, "
                 "expect: member}")  # fmt: skip


def test_a_failure_says_what_was_expected(seg: World) -> None:
    result = one(seg, "{name: x, rule: contact.age > 3, as_of: 2026-03-01, expect: member}")
    assert (result.sql, result.cel, result.expected, result.ok) == ("unknown", "unknown", "member", False)
    assert result.message == "expected member, it is unknown as of 2026-03-01T00:00:00Z"
    wrong = one(seg, "{name: x, rule: contact.agee > 3, expect: member}")
    assert (wrong.sql, wrong.cel, wrong.ok) == ("invalid", "invalid", False)
    assert "line 1, column 8" in wrong.message
    assert "did you mean age?" in wrong.message
    valid = one(seg, "{name: x, rule: contact.age > 3, expect: invalid}")
    assert (valid.sql, valid.ok) == ("unknown", False)


def test_as_of_is_needed_when_time_matters(seg: World) -> None:
    for rule in ("now - contact.last_order_time > days(1)", "contact.age > 3"):
        case = f"{{name: x, rule: '{rule}', contact: {{birth_date: 2000-01-01}}, expect: unknown}}"
        with pytest.raises(InvalidArgument, match=r"cases.yaml, line 3, case 'x': as_of is missing"):
            one(seg, case)


@pytest.mark.parametrize(
    ("next_change", "said"),
    [
        ("2026-01-31T00:00:00.000001Z", ""),
        ("2026-01-31T07:00:00.000001+07:00", ""),
        (
            "2026-01-31T00:00:00Z",
            "expected the next change 2026-01-31T00:00:00Z, it is 2026-01-31T00:00:00.000001Z",
        ),
        ("null", "expected the next change never, it is 2026-01-31T00:00:00.000001Z"),
    ],
)
def test_the_next_change_is_exact(seg: World, next_change: str, said: str) -> None:
    result = one(
        seg,
        "{name: x, rule: 'events.order_placed.exists(e, now - e.time <= days(30))', as_of: 2026-01-10, expect: member, "
        f"events: [{{type: order_placed, time: 2026-01-01}}], next_change: '{next_change}'}}".replace(
            "'null'", "null"
        ),
        "event_types: {order_placed: {}}",
    )
    assert (result.message, result.ok) == (said, not said)


def test_an_optional_field_may_be_missing(seg: World) -> None:
    cases = """
- {name: a, rule: 'events.seen.exists(e, e.note == "x")', events: [{type: seen, time: 2026-01-01}], expect: not_member}
- {name: b, rule: 'events.seen.exists(e, e.stars > 3)', events: [{type: seen, time: 2026-01-01}], expect: unknown}
"""
    assert [i.ok for i in run(seg, cases, "event_types: {seen: {note: string?, stars: int?}}")] == [
        True,
        True,
    ]


def test_past_the_evaluators_limit_the_interpreter_answers(seg: World) -> None:
    events = ", ".join(["{type: seen, time: 2026-01-01}"] * 150)
    rule = "events.seen.all(a, events.seen.all(b, a.time == b.time))"
    result = one(
        seg, f"{{name: x, rule: '{rule}', events: [{events}], expect: member}}", "event_types: {seen: {}}"
    )
    assert (result.sql, result.cel, result.ok, result.limited) == ("member", "member", True, True)


def test_a_case_that_takes_too_long_is_refused(seg: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plain interpreter has no limit of steps: only the time bounds it."""
    monkeypatch.setattr(rule_testing, "LONGEST_SECONDS", 0.5)
    events = ", ".join(f"{{type: seen, time: 2026-01-01T00:00:00.{n:06d}}}" for n in range(200))
    rule = (
        "events.seen.all(a, events.seen.all(b, events.seen.exists(c, c.time >= a.time && c.time >= b.time)))"
    )
    with pytest.raises(ResourceExhausted, match=r"'slow' on line 3") as caught:
        one(
            seg,
            f"{{name: slow, rule: '{rule}', events: [{events}], expect: member}}",
            "event_types: {seen: {}}",
        )
    assert caught.value.reason == "RULE_TOO_COSTLY"


def test_a_disagreement_of_the_engines_is_a_failure(seg: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def contrary(self: CompiledRule, profile: Profile, now: datetime) -> Outcome:
        return Outcome.MEMBER

    monkeypatch.setattr(CompiledRule, "evaluate", contrary)
    for expect in ("member", "not_member"):
        result = one(seg, f"{{name: x, rule: contact.has_email, expect: {expect}}}")
        assert (result.sql, result.cel, result.ok) == ("not_member", "member", False)
        assert "the engines disagree: SQL says not_member, CEL member" in result.message


@pytest.mark.parametrize("form", ["rebuild", "increment", "list filter"])
def test_the_statements_of_the_sql_must_agree(seg: World, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ask = scratch.ask

    def lying(*arguments: Any) -> dict[Any, scratch.Spoken]:
        return {
            key: scratch.Spoken(said.value, {**said.forms, form: not said.forms[form]}, said.next_changes)
            for key, said in ask(*arguments).items()
        }

    monkeypatch.setattr(scratch, "ask", lying)
    result = one(seg, "{name: x, rule: contact.has_email, expect: not_member}")
    assert not result.ok
    assert f"the SQL of the {form} says member" in result.message


def test_a_next_change_that_sql_tells_too_late_is_a_failure(
    seg: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = scratch.ask

    def late(*arguments: Any) -> dict[Any, scratch.Spoken]:
        return {
            key: scratch.Spoken(
                said.value,
                said.forms,
                {
                    **said.next_changes,
                    "increment": said.next_changes["increment"] + timedelta(microseconds=1),
                },  # type: ignore[operator]
            )
            for key, said in ask(*arguments).items()
        }

    monkeypatch.setattr(scratch, "ask", late)
    result = one(
        seg,
        "{name: x, rule: 'now - contact.last_order_time <= days(1)', as_of: 2026-01-01, expect: member, "
        "contact: {last_order_time: 2026-01-01}, next_change: 2026-01-02T00:00:00.000001Z}",
    )
    assert not result.ok
    assert "the SQL of the increment gives the next change 2026-01-02T00:00:00.000002Z" in result.message


def test_nothing_of_the_business_is_seen_or_changed(seg: World) -> None:
    """Not even by a session that has prepared the very statement for the real tables."""
    seg.deliver(contact(contact_id(1), tags=["real"]), order(contact_id(1), NOW - timedelta(days=1)))
    seg.define("real", '"real" in contact.tags')
    rule = "events.order_placed.size() > 0"
    for _ in range(8):  # the driver prepares what it has sent five times
        assert previewing.evaluate_rule(seg.service, rule=rule).members == 1
    tables = ("profile", "event", "membership", "segment", "outbox", "contact_state", "vocabulary")
    before = {name: seg.query(f"SELECT t::text FROM {name} AS t ORDER BY 1") for name in tables}
    cases = f"""
- {{name: nobody ordered, rule: {rule}, expect: not_member}}
- {{name: a segment of the same name, rule: in_segment("segments/real"), expect: not_member}}
- name: one who did
  rule: {rule}
  events: [{{type: order.placed, time: 2026-01-01, amount: 1, currency: EUR, source: x, line_count: 1}}]
  segments: [real]
  expect: member
"""
    for _ in range(8):
        assert verdicts(run(seg, cases)) == [
            ("nobody ordered", "not_member", "not_member", True),
            ("a segment of the same name", "not_member", "not_member", True),
            ("one who did", "member", "member", True),
        ]
    assert previewing.evaluate_rule(seg.service, rule=rule).members == 1
    assert {name: seg.query(f"SELECT t::text FROM {name} AS t ORDER BY 1") for name in tables} == before
    with seg.db.read() as connection:
        left = connection.execute(sa.text("SELECT relname FROM pg_class WHERE relpersistence = 't'")).all()
    assert left == []


def test_many_cases_keep_their_order(seg: World) -> None:
    cases = "".join(
        f"- {{name: c{n}, rule: 'contact.age > {n % 7}', contact: {{age: {n % 11}}}, "
        f"expect: {'member' if n % 11 > n % 7 else 'not_member'}}}\n"
        for n in range(200)
    )
    results = run(seg, cases)
    assert [item.name for item in results] == [f"c{n}" for n in range(200)]
    assert all(item.ok for item in results)
