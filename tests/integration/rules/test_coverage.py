"""The equivalence test reaches everything: the table of operators, positions and nestings is filled, and all engines
agree on the rules that fill it.
"""

from __future__ import annotations

import inspect
from collections import Counter
from dataclasses import fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
from sqlalchemy import Connection

from services.segmentation.rules import CompiledRule, Registry, compile_rule, environment, ir
from services.segmentation.rules.sql import scalars
from tests.integration.rules import agreement, edges, sides, table
from tests.integration.rules.cells import Observer


def node_classes() -> set[type[ir.Node]]:
    """Return all classes of nodes."""
    return {
        c for _, c in inspect.getmembers(ir, inspect.isclass) if issubclass(c, ir.Node) and c is not ir.Node
    }


def test_every_node_is_entered_in_the_table() -> None:
    assert node_classes() == set(table.OPERATORS), "enter the new node in OPERATORS and write rules with it"
    assert node_classes() == set(scalars._COMPILERS)


def test_every_variant_of_a_node_is_entered_in_the_table() -> None:
    for node in node_classes():
        words = " ".join(table.OPERATORS[node]).split()
        hints = get_type_hints(node)
        own = {f.name for f in fields(node)} - {f.name for f in fields(ir.Node)}
        for name in own:
            if get_origin(hints[name]) is Literal:
                absent = set(get_args(hints[name])) - set(words)
                assert not absent, f"enter {absent} of {node.__name__}.{name} in OPERATORS"
    kinds = {word for names in table.OPERATORS.values() for name in names for word in name.split()}
    assert set(get_args(ir.Kind)) <= kinds, "enter values of the new kind in OPERATORS"


def test_every_function_is_entered_in_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment.cel, "FunctionDecl", lambda name, _overloads: name)
    declared = environment._functions(Registry())
    assert {name for name in declared if not name.startswith("@")} == set(table.FUNCTIONS), (
        "enter the new function in FUNCTIONS with the nodes it becomes"
    )


def test_every_reason_is_needed() -> None:
    for reason, test in table.IMPOSSIBLE:
        assert any(test(cell) for cell in table.declared()), f"no cell of the table: {reason}"


@pytest.fixture(scope="module")
def compiled() -> dict[str, CompiledRule]:
    return agreement.compiled()


@pytest.fixture(scope="module")
def observed(compiled: dict[str, CompiledRule]) -> Counter[Any]:
    observer = Observer(sides.REGISTRY)
    people = sides.people()
    for rule in compiled.values():
        for person in people:
            observer.observe(rule, person, sides.NOW)
    return observer.cells


def test_the_table_is_filled(observed: Counter[Any], record_testsuite_property: Any) -> None:
    supported = table.supported()
    missing = sorted(supported - set(observed))
    record_testsuite_property("rule_cells_supported", len(supported))
    record_testsuite_property("rule_cells_seen", len(supported) - len(missing))
    report = "\n".join(
        [
            f"{len(supported) - len(missing)} of {len(supported)} cells occur; missing are, with the rules of "
            "systematic.py to be extended and chosen anew by selection.py:",
            *map(str, missing),
        ]
    )
    assert not missing, report


def test_nothing_occurs_that_the_table_does_not_know(observed: Counter[Any]) -> None:
    assert sorted(set(observed) - table.declared()) == []
    assert [(c, r) for c in sorted(observed) if (r := table.impossible(c))] == []


def test_all_engines_agree_on_the_rules_that_fill_the_table(
    rule_tables: Connection, compiled: dict[str, CompiledRule]
) -> None:
    ids = agreement.prepare(rule_tables)
    people = sides.people()
    wanted = agreement.wanted(compiled, people)
    assert list(agreement.faults(rule_tables, wanted, people, ids, compiled)) == []


@pytest.mark.parametrize("text", [*edges.windows(), *edges.instants()])
def test_instants_of_change_are_found_by_trying(text: str) -> None:
    rule = compile_rule(text, sides.REGISTRY)
    for person in sides.people():
        assert rule.next_change(person, sides.NOW) == agreement.brute_change(rule, person)
