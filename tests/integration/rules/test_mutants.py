"""The equivalence test would notice: each committed mistake of the compiler is found by the rules that fill the table,
or by the scenario of the service.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from services.segmentation.rules import compile_rule
from tests.integration.rules import agreement, mutation, scenario, sides
from tests.integration.rules.cells import operators_of
from tests.integration.rules.mutants import MUTANTS, Mutant
from tests.support.postgres import DatabaseFactory

pytestmark = pytest.mark.mutants
ROOT = Path(__file__).parents[3]
PROCESSES = 2


def _order(mutant: Mutant, operators: list[set[str]]) -> list[int]:
    """Return the numbers of the rules, those first that have an operator the mutant aims at."""

    def aimed(number: int) -> bool:
        return not any(name.startswith(mutant.aim) for name in operators[number])

    return sorted(range(len(operators)), key=aimed) if mutant.aim else list(range(len(operators)))


@pytest.fixture(scope="module")
def answers(make_module_database: DatabaseFactory) -> dict[str, dict[str, Any]]:
    wanted = agreement.wanted(agreement.compiled(), sides.people())
    operators = [
        {name for node in compile_rule(w.text, sides.REGISTRY).ir.walk() for name in operators_of(node)}
        for w in wanted
    ]
    played = list(scenario.play(make_module_database("segmentation")))
    running = []
    for part in range(PROCESSES):
        orders = {m.name: _order(m, operators) for m in MUTANTS[part::PROCESSES]}
        urls = make_module_database("segmentation"), make_module_database("segmentation")
        process = subprocess.Popen(
            [sys.executable, "-m", mutation.__name__],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdin is not None
        process.stdin.write(mutation.task_of(*urls, wanted, played, orders))
        process.stdin.close()
        running.append(process)
    told: dict[str, dict[str, Any]] = {}
    for process in running:
        assert process.stdout is not None
        for line in process.stdout:
            answer = json.loads(line)
            told[answer["mutant"]] = answer
        assert process.wait() == 0
    return told


def test_there_are_enough() -> None:
    assert len(MUTANTS) >= 24
    assert len({m.name for m in MUTANTS}) == len(MUTANTS)


@pytest.mark.parametrize("mutant", MUTANTS, ids=[m.name for m in MUTANTS])
def test_the_mistake_is_found(answers: dict[str, dict[str, Any]], mutant: Mutant) -> None:
    answer = answers[mutant.name]
    assert answer["problem"] is None
    assert answer["killed"], f"no rule notices: {mutant.name}"


def test_without_a_mistake_nothing_is_found(make_database: DatabaseFactory) -> None:
    """The scenario ends alike each time, so what a mutant changes is the mutant's."""
    first, second = (json.dumps(list(scenario.play(make_database("segmentation")))) for _ in range(2))
    assert first == second
