"""Guard: no query on records that have scopes can forget whose they are, and RPCs say what they do with scopes."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from rapport.type.v1 import options_pb2

from tests.unit.guards.test_guard_rpcs import methods

ROOT = Path(__file__).resolve().parents[3]

# By service: the tables whose rows have scopes, and the record that is only had by a query with one.
SCOPED: dict[str, tuple[set[str], str]] = {
    "care": ({"case", "case_message", "task"}, "Case"),
    "contacts": (
        {"contact", "_SELECT", "_GET", "_GET_MANY", "_LOCK_MANY", "_SEIZE_MANY", "_PRESENT", "_KEPT"},
        "Contact",
    ),
}

# Queries that no caller reaches, or that find nothing for it; each with the reason.
WITHOUT_SCOPE = {
    "contacts/store/contacts.py": {
        "_any_id": "a condition",
        "seize_many": "for merging and erasing, which only grants on all contacts allow",
        "insert": "makes contacts",
        "stored_parts": "for imports, which only grants on all contacts allow",
    },
    "care/store/tasks.py": {
        "insert": "a task may be made in any queue",
        "update": "its task was read before",
        "mark_overdue": "for the timer of promises",
        "empty": "for contacts that were erased, whoever may see the task",
    },
    "care/store/delays.py": {"oldest_broken": "tells a time alone, to Prometheus"},
    "care/store/cases.py": {
        "insert": "a case may be opened in any queue",
        "answering": "a mail proves by its signed address which case it continues",
        "queues_waiting": "finds queues, for the timer",
        "unassigned": "for the timer that gives out what waits",
        "of_agent": "hands over all that an agent has, whoever may see it",
        "mark_broken": "for the timer of promises",
        "close_resolved": "for the timer that closes",
        "_update_some": "for these timers",
        "insert_message": "its case was read before",
        "get_message": "for the worker that sends answers",
        "answered_id": "for the worker that sends answers",
    },
}


def unscoped(source: str, tables: set[str], record: str) -> set[str]:
    """Return the functions of a module that use the tables and neither take a scope nor a record read with one."""
    found = set()
    for node in ast.parse(source).body:
        if not isinstance(node, ast.FunctionDef):
            continue
        used = {name.id for name in ast.walk(node) if isinstance(name, ast.Name)} & tables
        arguments = node.args.args
        required = arguments[: len(arguments) - len(node.args.defaults)] + [
            one
            for one, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
            if default is None
        ]
        kinds = {ast.unparse(one.annotation) for one in required if one.annotation is not None}
        if used and not kinds & {"Scope", record}:
            found.add(node.name)
    return found


@pytest.mark.parametrize("service", SCOPED)
def test_each_query_takes_a_scope_or_says_why_not(service: str):
    tables, record = SCOPED[service]
    found = {}
    for path in sorted((ROOT / "services" / service / "store").rglob("*.py")):
        name = path.relative_to(ROOT / "services").as_posix()
        missing = unscoped(path.read_text(encoding="utf-8"), tables, record)
        if missing:
            found[name] = missing
    assert found == {
        name: set(reasons)
        for name, reasons in WITHOUT_SCOPE.items()
        if name.startswith(f"{service}/") and reasons
    }


@pytest.mark.parametrize(
    ("function", "forgets"),
    [
        ("def get(connection: C, key: UUID): return select(case)", True),
        ("def get(connection: C, scope: Scope): return select(case)", False),
        ("def get(connection: C, scope: Scope = EVERYTHING): return select(case)", True),
        ("def get(connection: C, *, scope: Scope): return select(case)", False),
        ("def get(connection: C, *, scope: Scope = EVERYTHING): return select(case)", True),
        ("def get(connection: C, scope: Scope | None): return select(case)", True),
        ("def get(connection: C, item: Case): return select(case)", False),
        ("def get(connection: C): return select(queue)", False),
    ],
)
def test_the_guard_sees_a_query_that_forgets(function: str, forgets: bool):
    assert bool(unscoped(function, {"case"}, "Case")) is forgets


def test_only_services_whose_stores_are_guarded_heed_scopes():
    heeding = {
        method.containing_service.file.package.split(".")[1]
        for method in methods()
        if method.GetOptions().Extensions[options_pb2.reach] == options_pb2.REACH_RECORDS
    }
    assert heeding == SCOPED.keys()


def test_what_is_open_to_all_heeds_no_scope():
    for method in methods():
        options = method.GetOptions()
        if options.Extensions[options_pb2.reach]:
            assert options.Extensions[options_pb2.permission], method.full_name
