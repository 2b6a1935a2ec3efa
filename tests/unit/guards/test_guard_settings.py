"""Guards: every setting is described, in the table of settings and in the README, and read in one place only."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest
from pydantic_core import PydanticUndefined

from services.kit.config import Settings
from services.kit.plugins.process import _INHERITED

ROOT = Path(__file__).resolve().parents[3]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TABLE = (ROOT / "services" / "SETTINGS.md").read_text(encoding="utf-8")
NAMED = re.compile(r"`RAPPORT_([A-Z0-9_]+)`")
ROW = re.compile(r"^\| `RAPPORT_([A-Z0-9_]+)` \| (.*?) ?\| (.*) \|$", re.MULTILINE)

# Modules that touch the environment without reading a setting, and why each must.
BESIDE_THE_SETTINGS = {
    "services/kit/__init__.py": "tells gRPC's core, before its import, to print nothing",
    "services/kit/parent.py": "takes the number of the supervisor's pipe, which no person sets",
    "services/kit/supervise/child.py": "hands the environment on to a child process",
    "services/kit/supervise/forking.py": "hands the environment on to the fork server",
    "services/kit/supervise/fork_server.py": "sets the environment of a forked process as it was told",
    "services/kit/postgres/account.py": "hands the environment on to PostgreSQL's programs, without PG*",
    "services/kit/plugins/process.py": "hands PATH and the like, and no setting, on to the plugin host",
    "services/kit/setting_names.py": "looks which variables are nobody's, and reads none",
    "services/kit/bus/launcher.py": "tells eventlet, before its import, which resolver to take",
    "services/segmentation/context.py": "hands the plugins' own variables to the plugin host",
    "services/campaign/channels.py": "hands the plugins' own variables to the plugin host",
    "services/campaign/sender.py": "hands the plugins' own variables to the plugin manager",
    "services/campaign/web.py": "hands the plugins' own variables to the plugin manager",
    "services/cli/plugins.py": "hands the plugins' own variables to the plugin host",
}
# What these look up by its name, as their source says it.
LOOKED_UP = {
    "services/kit/__init__.py": {"'GRPC_VERBOSITY'"},
    "services/kit/parent.py": {"PARENT_FD_VARIABLE"},
    "services/kit/plugins/process.py": {"name"},  # of _INHERITED
    "services/kit/bus/launcher.py": {"'EVENTLET_NO_GREENDNS'"},
}


def environment_uses(tree: ast.Module) -> list[ast.expr]:
    """Return the expressions that stand for the environment, or for a look-up in it."""
    modules, names = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {item.asname or item.name for item in node.names if item.name == "os"}
        elif isinstance(node, ast.ImportFrom) and node.module == "os":
            wanted = ("environ", "environb", "getenv", "getenvb", "*")
            names |= {item.asname or item.name for item in node.names if item.name in wanted}
    return [
        node
        for node in ast.walk(tree)
        if (isinstance(node, ast.Name) and (node.id in names or ("*" in names and node.id == "environ")))
        or (
            isinstance(node, ast.Attribute)
            and node.attr in ("environ", "environb", "getenv", "getenvb")
            and isinstance(node.value, ast.Name)
            and node.value.id in modules
        )
    ]


def looked_up(tree: ast.Module) -> set[str]:
    """Return the source of each key that is looked up in the environment."""
    uses = {id(node) for node in environment_uses(tree)}
    keys = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and id(node.value) in uses:
            keys.add(ast.unparse(node.slice))
        elif isinstance(node, ast.Call) and node.args:
            owner = node.func.value if isinstance(node.func, ast.Attribute) else None
            methods = ("get", "pop", "setdefault", "__getitem__")
            if id(node.func) in uses or (id(owner) in uses and node.func.attr in methods):
                keys.add(ast.unparse(node.args[0]))
    return keys


def other_readers(tree: ast.Module) -> list[str]:
    """Return the ways past os.environ: settings classes of pydantic, and options of the command line."""
    found = [
        f"class {node.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        and any(ast.unparse(base).rpartition(".")[2] == "BaseSettings" for base in node.bases)
    ]
    return found + [
        "envvar" for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg == "envvar"
    ]


@cache
def modules() -> dict[str, ast.Module]:
    """Return those of our modules that hold a word which a reader of the environment cannot do without."""
    texts = {path: path.read_text(encoding="utf-8") for path in sorted((ROOT / "services").rglob("*.py"))}
    return {
        path.relative_to(ROOT).as_posix(): ast.parse(text)
        for path, text in texts.items()
        if any(word in text for word in ("environ", "getenv", "BaseSettings", "envvar"))
    }


def shown(default: object) -> str:
    if isinstance(default, tuple):
        return ",".join(default)
    return "" if default is None else str(default)


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_setting_is_described_in_the_table_and_named_in_the_readme(name: str):
    field = Settings.model_fields[name]
    assert field.description
    assert field.default is not PydanticUndefined
    rows = [
        (default.strip("` "), text)
        for variable, default, text in ROW.findall(TABLE)
        if variable == name.upper()
    ]
    assert rows == [(shown(field.default), field.description)]
    assert name.upper() in NAMED.findall(README)


@pytest.mark.parametrize("page", [README, TABLE], ids=["README.md", "SETTINGS.md"])
def test_no_setting_is_named_that_does_not_exist(page: str):
    named = set(NAMED.findall(page))
    known = {name.upper() for name in Settings.model_fields}
    assert {name for name in named - known if not name.startswith(("PLUGIN_", "TEST_"))} == set()


def test_only_the_settings_read_the_environment():
    found = {name: tree for name, tree in modules().items() if environment_uses(tree)}
    assert found.keys() == BESIDE_THE_SETTINGS.keys()
    for name, tree in found.items():
        assert looked_up(tree) == LOOKED_UP.get(name, set()), name
    assert not [name for name in _INHERITED if name.startswith("RAPPORT_")]


def test_there_is_one_class_of_settings():
    found = {name: other for name, tree in modules().items() if (other := other_readers(tree))}
    assert found == {"services/kit/config.py": ["class Settings"]}


@pytest.mark.parametrize(
    ("source", "key"),
    [
        ('import os; os.environ["RAPPORT_HOST"]', "'RAPPORT_HOST'"),
        ('import os as o; o.environ.get("RAPPORT_HOST", "")', "'RAPPORT_HOST'"),
        ('import os; os.environ.pop("RAPPORT_HOST")', "'RAPPORT_HOST'"),
        ('import os; os.getenv("RAPPORT_HOST")', "'RAPPORT_HOST'"),
        ('from os import environ; environ["RAPPORT_HOST"]', "'RAPPORT_HOST'"),
        ("from os import getenv as look; look(HOST)", "HOST"),
    ],
)
def test_the_guard_sees_a_look_up(source: str, key: str):
    tree = ast.parse(source)
    assert environment_uses(tree)
    assert looked_up(tree) == {key}


def test_the_guard_sees_the_ways_past_os():
    assert other_readers(ast.parse("class Mine(pydantic_settings.BaseSettings): ...")) == ["class Mine"]
    assert other_readers(ast.parse('typer.Option(envvar="RAPPORT_HOST")')) == ["envvar"]
