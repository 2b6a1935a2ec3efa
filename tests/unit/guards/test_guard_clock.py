"""Guard: the business time comes from the kit's clock alone, in Python and in SQL."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
ALLOWED = {ROOT / "services" / "kit" / "clock.py"}
FORBIDDEN = {
    "datetime.now",
    "datetime.utcnow",
    "datetime.today",
    "date.today",
    "time.time",
    "func.now",
    "sa.func.now",
}
SQL = ("current_timestamp", "clock_timestamp(", "statement_timestamp(", " now()")


def dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def problems(path: Path) -> list[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and any(
            dotted(node.func) == name or dotted(node.func).endswith(f".{name}") for name in FORBIDDEN
        ):
            found.append(f"{path.relative_to(ROOT)}:{node.lineno}: {dotted(node.func)}()")
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in docstrings
            and "select" in node.value.lower()
            and any(word in node.value.lower() for word in SQL)
        ):
            found.append(f"{path.relative_to(ROOT)}:{node.lineno}: SQL that reads the clock")
    return found


def test_nothing_reads_the_clock_but_the_kit():
    files = [path for path in (ROOT / "services").rglob("*.py") if path not in ALLOWED]
    assert len(files) > 50
    assert [problem for path in files for problem in problems(path)] == []


def test_the_guard_sees_a_violation(tmp_path: Path, monkeypatch):
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    bad = tmp_path / "bad.py"
    bad.write_text('import datetime\nx = datetime.datetime.now()\ny = "SELECT now()"\n')
    assert len(problems(bad)) == 2
