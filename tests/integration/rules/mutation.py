"""Try mutants, in a process of its own: `python -m tests.integration.rules.mutation` reads a task from standard input.

Each mutant is loaded in place of the module it changes, and everything that imports it is loaded anew. What it does is
compared with what the original did, and the answers are written as one line of JSON each.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from types import CodeType, ModuleType
from typing import Any

import sqlalchemy as sa

from services.kit.db import make_engine
from tests.integration.rules.mutants import MUTANTS, Mutant

PACKAGE = "services.segmentation."
_LOADED_ANEW = (PACKAGE, "tests.integration.rules.", "tests.support.segmentation")
_KEPT = (__name__, "tests.integration.rules.mutants", "tests.integration.rules.mutation")


class DoesNotApplyError(Exception):
    """Report that the old text of a mutant does not occur exactly once."""


def mutated(mutant: Mutant) -> str:
    """Return the source of the module with the mistake in it."""
    spec = importlib.machinery.PathFinder.find_spec(PACKAGE + mutant.module, _folder(mutant.module))
    assert spec is not None
    assert spec.origin is not None
    with open(spec.origin, encoding="utf-8") as file:
        source = file.read()
    if source.count(mutant.old) != 1:
        raise DoesNotApplyError(
            f"{mutant.name}: the old text occurs {source.count(mutant.old)} times in {mutant.module}; "
            "bring the mutant in line with the source"
        )
    return source.replace(mutant.old, mutant.new)


def _folder(module: str) -> list[str]:
    parent = importlib.import_module((PACKAGE + module).rpartition(".")[0])
    return list(parent.__path__)


class _Loader(importlib.abc.InspectLoader):
    def __init__(self, source: str) -> None:
        self.source = source

    def get_source(self, fullname: str) -> str:
        return self.source

    def get_code(self, fullname: str) -> CodeType:
        return compile(self.source, f"<mutated {fullname}>", "exec", dont_inherit=True)


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, module: str, source: str) -> None:
        self.module, self.source = module, source

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self.module:
            return None
        return importlib.util.spec_from_loader(fullname, _Loader(self.source))


def _forget() -> None:
    for name in list(sys.modules):
        if name.startswith(_LOADED_ANEW) and name not in _KEPT:
            del sys.modules[name]
            # `from package import module` would find the old one.
            parent, _, own = name.rpartition(".")
            if parent in sys.modules:
                vars(sys.modules[parent]).pop(own, None)


def try_rules(connection: sa.Connection, task: dict[str, Any], order: list[int]) -> str | None:
    """Return the first disagreement of the engines on the systematic rules, asked in that order."""
    agreement: Any = importlib.import_module("tests.integration.rules.agreement")
    sides: Any = importlib.import_module("tests.integration.rules.sides")
    everything = [
        agreement.Wanted(w["text"], tuple(w["outcomes"]), tuple(w["changes"]), w["whole"], w["exact"])
        for w in task["wanted"]
    ]
    people = sides.people()
    ids = agreement.store.contact_ids(len(people))
    for fault in agreement.faults(connection, [everything[n] for n in order], people, ids):
        return f"{fault.engine}: {fault.text}"
    return None


def try_store(url: str, task: dict[str, Any]) -> str | None:
    """Return where the scenario of the service ends differently."""
    scenario: Any = importlib.import_module("tests.integration.rules.scenario")
    for number, (wanted, got) in enumerate(zip(task["scenario"], scenario.play(url), strict=True)):
        if wanted != json.loads(json.dumps(got)):
            return f"step {number} of the scenario"
    return None


def main() -> None:
    """Try the mutants of a task."""
    task = json.load(sys.stdin)
    by_name = {m.name: m for m in MUTANTS}
    engine = make_engine(task["url"])
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        importlib.import_module("tests.integration.rules.agreement").prepare(connection)
        for name, order in task["mutants"].items():
            started = time.process_time()
            answer: dict[str, Any] = {"mutant": name, "killed": None, "problem": None}
            mutant = by_name[name]
            try:
                finder = _Finder(PACKAGE + mutant.module, mutated(mutant))
                _forget()
                sys.meta_path.insert(0, finder)
                try:
                    if mutant.module.startswith("store."):
                        answer["killed"] = try_store(task["scenario_url"], task)
                    else:
                        answer["killed"] = try_rules(connection, task, order)
                finally:
                    sys.meta_path.remove(finder)
            except DoesNotApplyError as error:
                answer["problem"] = str(error)
            except sa.exc.DBAPIError as error:
                answer["killed"] = f"PostgreSQL refuses: {str(error.orig)[:200]}"
            answer["seconds"] = round(time.process_time() - started, 2)
            print(json.dumps(answer), flush=True)  # noqa: T201
    engine.dispose()


def task_of(
    url: str, scenario_url: str, wanted: list[Any], scenario: list[Any], orders: dict[str, list[int]]
) -> str:
    """Return a task as text: the mutants with the order in which the rules are tried, and what is wanted."""
    return json.dumps(
        {
            "url": url,
            "scenario_url": scenario_url,
            "wanted": [asdict(w) for w in wanted],
            "scenario": scenario,
            "mutants": orders,
        }
    )


if __name__ == "__main__":
    main()
