"""The page of the language says what is true: every row of every table in RULES.md is run in all engines."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from ruamel.yaml import YAML
from sqlalchemy import Connection

import services.segmentation
from services.segmentation.rules import (
    Attribute,
    Event,
    EventType,
    Outcome,
    Profile,
    Registry,
    RuleError,
    RuleFunction,
    Trait,
    compile_rule,
)
from services.segmentation.rules.builtins import BUILT_INS
from services.segmentation.rules.core import CORE_BY_NAME
from tests.integration.rules.test_meaning import outcomes

PAGE = Path(services.segmentation.__path__[0]) / "RULES.md"
HEADER = ["rule", "facts", "value"]
VALUES = {"TRUE": Outcome.MEMBER, "FALSE": Outcome.NOT_MEMBER, "unknown": Outcome.UNKNOWN, "refused": None}
_SPAN = re.compile(r"`([^`]+)`\Z")


@dataclass(frozen=True)
class Row:
    """One row of a table: its line on the page and the texts of its cells."""

    line: int
    rule: str
    facts: str
    value: str

    def __str__(self) -> str:
        return f"RULES.md:{self.line} {self.rule}"


def cells(line: str) -> list[str]:
    """Return the cells of a row of a table."""
    inner = line.strip().removeprefix("|").removesuffix("|")
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", inner)]


def rows_of(page: str) -> list[Row]:
    """Return the rows of all tables; ValueError for a table or row that cannot be run."""
    found: list[Row] = []
    lines = page.splitlines()
    fenced = False
    for number, line in enumerate(lines, 1):
        fenced ^= line.startswith("```")
        if fenced or not line.lstrip().startswith("|") or re.fullmatch(r"[|\-: ]+", line):
            continue
        found_cells = cells(line)
        if not lines[number - 2].lstrip().startswith("|"):
            if found_cells != HEADER:
                raise ValueError(f"line {number}: a table has the columns {HEADER}, not {found_cells}")
            continue
        if len(found_cells) != len(HEADER):
            raise ValueError(f"line {number}: the row has {len(found_cells)} cells")
        rule, facts = (_SPAN.match(cell) for cell in found_cells[:2])
        if rule is None or (facts is None and found_cells[1]) or found_cells[2] not in VALUES:
            raise ValueError(f"line {number}: the row cannot be run: {line}")
        found.append(Row(number, rule[1], facts[1] if facts else "", found_cells[2]))
    return found


def yaml(text: str) -> Any:
    """Return what YAML 1.2 reads."""
    return YAML(typ="safe", pure=True).load(text)


def registry_of(words: Mapping[str, Any]) -> Registry:
    """Return the vocabulary that the page's tables share."""
    return Registry(
        attributes=tuple(Attribute(name, kind) for name, kind in words["attributes"].items()),
        event_types=tuple(
            EventType.parse(name.replace("_", "."), fields) for name, fields in words["event_types"].items()
        ),
        traits=tuple(Trait(name, kind) for name, kind in words["traits"].items()),
        functions=tuple(RuleFunction(name, kind) for name, kind in words["functions"].items()),
        segments={name: number for number, name in enumerate(words["segments"], 1)},
        time_zone=words["time_zone"],
    )


def utc(value: Any) -> Any:
    """Return a time of YAML as an instant; other values as they are."""
    return value.replace(tzinfo=value.tzinfo or UTC).astimezone(UTC) if isinstance(value, datetime) else value


def profile_of(facts: str, registry: Registry) -> Profile:
    """Return the profile that a cell describes; KeyError or ValueError for what it cannot mean."""
    given = yaml(f"{{{facts}}}") if facts else {}
    person = dict(given.pop("contact", {}))
    place, key = person.pop("location", None), person.pop("id", None)
    made = Profile(
        tags=tuple(person.pop("tags", ())),
        consents=person.pop("consents", {}),
        traits=person.pop("traits", {}),
        location=(place["latitude"], place["longitude"]) if place else None,
        contact_id=UUID(key) if key else None,
        attributes={name: tuple(v) if isinstance(v, list) else utc(v) for name, v in person.items()},
        events=tuple(
            Event(
                registry.events_by_cel_name[item["type"]].name,
                utc(item["time"]),
                {name: utc(v) for name, v in item.items() if name not in ("type", "time")},
            )
            for item in given.pop("events", ())
        ),
        segments=frozenset(given.pop("segments", ())),
        plugin_values={(name, ()): value for name, value in given.pop("plugins", {}).items()},
    )
    if given:
        raise ValueError(f"facts of no known kind: {sorted(given)}")
    return made


TEXT = PAGE.read_text(encoding="utf-8")
WORDS = yaml(re.findall(r"^```yaml\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)[0])
REGISTRY = registry_of(WORDS)
ROWS = rows_of(TEXT)


# In a few parts: each has tables of its own to make first.
@pytest.mark.parametrize("part", range(4))
def test_every_row_is_true(rule_tables: Connection, part: int) -> None:
    wrong = []
    for row in ROWS[part::4]:
        expected = VALUES[row.value]
        try:
            compile_rule(row.rule, REGISTRY)
        except RuleError as error:
            if expected is not None:
                wrong.append(f"{row}: refused: {error.message}")
            continue
        found = outcomes(
            rule_tables, row.rule, profile_of(row.facts, REGISTRY), utc(WORDS["as_of"]), REGISTRY
        )
        if found != {expected}:
            wrong.append(f"{row}: the page says {row.value}, the engines {sorted(o.value for o in found)}")
    assert not wrong, "\n".join(wrong)


def test_the_page_has_its_tables() -> None:
    assert len(ROWS) > 120
    assert {row.value for row in ROWS} == VALUES.keys()
    assert len({(row.rule, row.facts) for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize(
    "page",
    [
        "| rule | value |\n|---|---|\n| `true` | TRUE |",
        "| rule | facts | value |\n|---|---|---|\n| true | | TRUE |",
        "| rule | facts | value |\n|---|---|---|\n| `true` | none | TRUE |",
        "| rule | facts | value |\n|---|---|---|\n| `true` | | yes |",
        "| rule | facts | value |\n|---|---|---|\n| `true` | TRUE |",
    ],
)
def test_a_row_that_cannot_be_run_is_an_error(page: str) -> None:
    with pytest.raises(ValueError, match="line"):
        rows_of(page)


def test_facts_of_no_kind_are_an_error() -> None:
    with pytest.raises(ValueError, match="no known kind"):
        profile_of("contacts: {age: 3}", REGISTRY)


def test_the_page_names_all_functions() -> None:
    listed = re.search(r"Functions: (.*?)`GetRuleSchema`", TEXT, re.DOTALL)
    assert listed is not None
    names = set(re.findall(r"`(\w+)`", listed[1])) - {"in"}
    assert names == {item.name for item in BUILT_INS}
    used = " ".join(row.rule for row in ROWS if row.value != "refused")
    assert not {name for name in names if f"{name}(" not in used} - {"minutes", "duration"}


def test_the_examples_of_functions_compile() -> None:
    """On core attributes alone, each with its function in it."""
    registry = Registry(segments={"segments/churned": 1})
    for item in BUILT_INS:
        rule = compile_rule(item.example, registry)
        assert re.search(rf"{'[.]' if item.method else ''}\b{item.name}\(", item.example), item
        assert all(a.split(".")[0] in {*CORE_BY_NAME, "location"} for a in rule.attributes)
