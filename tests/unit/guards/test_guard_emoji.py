"""Guard: what the command line prints is data, in which `:email:` is no picture."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from rich.progress import Progress, TextColumn

ROOT = Path(__file__).resolve().parents[3]
# What each class of rich must be told, so that it leaves such codes alone.
NEEDED = {"Console": "emoji", "TextColumn": "markup"}
MADE = ("Console(", "TextColumn(", "from_markup(", "get_console(", "rich.print", "rich import print")


def calls(source: str) -> Iterator[tuple[int, str]]:
    """Yield the line of what would replace codes, and what it is."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module == "rich":
            for item in node.names:
                if item.name in ("print", "print_json", "get_console", "inspect"):
                    yield node.lineno, f"rich.{item.name} has a console of its own"
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        owner = node.func.value.id if isinstance(getattr(node.func, "value", None), ast.Name) else ""
        if name == "from_markup" or (owner, name) in {("rich", "print"), ("rich", "get_console")}:
            yield node.lineno, f"{name} replaces codes"
        needed = NEEDED.get(name)
        if needed and not any(
            item.arg == needed and isinstance(item.value, ast.Constant) and item.value.value is False
            for item in node.keywords
        ):
            yield node.lineno, f"{name} needs {needed}=False"


def modules() -> list[Path]:
    found = [
        path for top in ("services", "plugins", "protos", "tests") for path in (ROOT / top).rglob("*.py")
    ]
    return [path for path in found if any(word in path.read_text("utf-8") for word in MADE)]


def test_no_console_replaces_codes() -> None:
    paths = [path for path in modules() if path != Path(__file__)]
    assert ROOT / "services" / "cli" / "console.py" in paths
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {text}"
        for path in paths
        for line, text in calls(path.read_text("utf-8"))
    ]
    assert not wrong


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("Console()", [1]),
        ("x = 1\nrich.console.Console(stderr=True)", [2]),
        ("Console(emoji=True)", [1]),
        ("Console(emoji=False)", []),
        ("TextColumn('x')", [1]),
        ("TextColumn('x', markup=False)", []),
        ("Text.from_markup(x)", [1]),
        ("from rich import print", [1]),
        ("import rich\nrich.print('x')", [2]),
        ("print('x')", []),
    ],
)
def test_the_guard_sees_them(source: str, lines: list[int]) -> None:
    assert [line for line, _ in calls(source)] == lines


def test_what_is_needed_suffices() -> None:
    text = StringIO()
    console = Console(file=text, emoji=False, width=100, force_terminal=True)
    console.print("consent:email:marketing [b]:smile:[/b]")
    with Progress(TextColumn("{task.description}", markup=False), console=console) as progress:
        progress.add_task("journeys/x:email:y")
    assert "consent:email:marketing" in text.getvalue()
    assert ":smile:" in text.getvalue()
    assert "journeys/x:email:y" in text.getvalue()
