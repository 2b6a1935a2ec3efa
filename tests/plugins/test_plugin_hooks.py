"""No hook without its documentation, an example that works, a test, and a shipped plugin that uses it."""

from __future__ import annotations

import ast
import contextlib
import re
import sys
import textwrap
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from rapport_sdk import check, hookspecs

from services.kit.plugins import PluginHost, PluginManager, module_plugins
from tests.plugins.plugin_sources import write_plugin

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "plugins/HOOKS.md"
README = PAGE.read_text()
HOOKS = sorted(name for name in vars(hookspecs) if name.startswith(hookspecs.HOOK_PREFIX))
EXAMPLES = re.findall(r"```python\n# plugin: (\w+)\n(.*?)```", README, re.DOTALL)
SHIPPED = [path for path in (ROOT / "plugins").glob("*/src/**/*.py") if "template" not in path.parts]
# The SDK declares hooks and the test kit checks them; a user is a plugin that runs in a real installation.
PLUGINS = [path for path in SHIPPED if path.relative_to(ROOT / "plugins").parts[0] not in ("sdk", "testing")]
TESTS = [
    path
    for pattern in ("plugins/*/tests/test_*.py", "tests/plugins/*.py", "tests/integration/**/*.py")
    for path in sorted(ROOT.glob(pattern))
    if "template" not in path.parts and path != Path(__file__)
]


def hooks_in(source: str) -> set[str]:
    """Return the hooks that a source implements, marked as such."""
    return {
        node.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef)
        and any("hookimpl" in (getattr(mark, "id", ""), getattr(mark, "attr", "")) for mark in _marks(node))
    }


def _marks(node: ast.FunctionDef) -> list[ast.expr]:
    """Return the decorators of a function, those with arguments without them."""
    return [mark.func if isinstance(mark, ast.Call) else mark for mark in node.decorator_list]


def hooks_tried_in(source: str) -> set[str]:
    """Return the hooks that a test's source implements, itself or in the text of a plugin that it writes, or calls."""
    tree = ast.parse(source)
    found = hooks_in(source)
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str(text)) if "hookimpl" in text:
                with contextlib.suppress(SyntaxError):
                    found |= hooks_in(textwrap.dedent(text))
            case ast.Call(func=ast.Name(id=name)) | ast.Call(func=ast.Attribute(attr=name)):
                found.add(name)
    return found


def test_there_are_hooks() -> None:
    assert sorted([*check.HOOKS, *check.DIRECT_HOOKS]) == HOOKS


@pytest.mark.parametrize("hook", HOOKS)
def test_hook_has_a_section_and_an_example(hook: str) -> None:
    section = re.search(rf"^### {hook}$(.*?)(?=^##|\Z)", README, re.DOTALL | re.MULTILINE)
    assert section is not None, f"{PAGE.name} has no section '### {hook}'"
    examples = re.findall(r"```python\n# plugin: \w+\n(.*?)```", section[1], re.DOTALL)
    assert any(hook in hooks_in(example) for example in examples), f"no complete example of {hook}"


@pytest.mark.parametrize("hook", HOOKS)
def test_hook_says_what_it_is_for(hook: str) -> None:
    assert (getattr(hookspecs, hook).__doc__ or "").startswith("Return ")


@pytest.mark.parametrize("hook", HOOKS)
def test_hook_is_used_by_a_shipped_plugin(hook: str) -> None:
    assert any(hook in hooks_in(path.read_text()) for path in PLUGINS), f"no shipped plugin implements {hook}"


@pytest.mark.parametrize("hook", HOOKS)
def test_hook_has_a_test(hook: str) -> None:
    assert any(hook in hooks_tried_in(path.read_text()) for path in TESTS), (
        f"no test implements or calls {hook}"
    )


MARKED = "from rapport_sdk import hookimpl\n@hookimpl\ndef rapport_things():\n    return []\n"


@pytest.mark.parametrize(
    ("source", "tried"),
    [
        (MARKED, True),
        (MARKED.replace("@hookimpl", "@hookimpl(tryfirst=True)"), True),
        (f"def test_it(tmp_path):\n    write_plugin(tmp_path, {MARKED!r})\n", True),
        ("def test_it(plugin):\n    assert plugin.rapport_things()\n", True),
        ("# rapport_things is tested elsewhere\n", False),
        ('"""Tests of rapport_things."""\n', False),
        ("def test_rapport_things():\n    pass\n", False),
        (MARKED.replace("@hookimpl", ""), False),
        ("assert 'rapport_things' in names\n", False),
    ],
)
def test_the_guard_tells_a_use_of_a_hook_from_a_mention(source: str, tried: bool) -> None:
    assert ("rapport_things" in hooks_tried_in(source)) is tried


def test_the_guard_counts_no_declaration_as_a_use() -> None:
    assert {path.relative_to(ROOT / "plugins").parts[0] for path in PLUGINS} == {"builtin", "loyalty"}
    declared = (ROOT / "plugins/sdk/src/rapport_sdk/hookspecs.py").read_text()
    assert not hooks_in(declared)


@pytest.mark.parametrize(("name", "source"), EXAMPLES, ids=[name for name, _ in EXAMPLES])
def test_example_loads(name: str, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = write_plugin(tmp_path, source)
    (tmp_path / f"{module}.py").write_text(source)  # as a reader would copy it, without our imports
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    manager = PluginManager(sources=module_plugins({name: module}))
    (record,) = manager.load().plugins
    assert (record.state, record.reason) == ("ok", "")
    compiled = [item.name for item in record.objects if getattr(item, "has_sql", item.kind == "trait")]
    with PluginHost([name], modules={name: module}, paths=[str(tmp_path)]) as host:
        for object_name in compiled:
            rule = host.catalog().rules.get(object_name)
            params = [30 for _ in rule.parameters] if rule else []
            assert host.compile_sql(object_name, params).all_sql.startswith("SELECT")


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(ROOT / "plugins")))
def test_plugins_import_only_the_sdk(path: Path) -> None:
    imported = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            imported.add(node.module.split(".")[0])
    distribution = path.relative_to(ROOT / "plugins").parts[0]
    forbidden = {"services", "rapport", "rapport_client"}
    if distribution == "testing":
        forbidden -= {"services"}  # the test kit runs the server's own parts
    assert not imported & forbidden
    if distribution == "sdk":
        own = {"rapport_sdk", "pluggy", "sqlalchemy"}
        assert {name for name in imported if name not in sys.stdlib_module_names} <= own


def _declared() -> list[tuple[str, str, Path]]:
    """Return plugin, setting and README of each setting that the distributions of this repository declare."""
    found = []
    for entry in entry_points(group="rapport"):
        module = entry.load()
        readme = next(
            folder / "README.md"
            for folder in Path(module.__file__).parents
            if (folder / "pyproject.toml").exists()
        )
        declared = getattr(module, "rapport_settings", list)
        found += [(entry.name, setting.name, readme) for setting in declared()]
    return found


@pytest.mark.parametrize(("plugin", "setting", "readme"), _declared())
def test_each_setting_of_a_plugin_is_in_its_readme(plugin: str, setting: str, readme: Path) -> None:
    assert re.search(rf"(?<![A-Z0-9]){setting.upper()}(?![A-Z0-9_])", readme.read_text(encoding="utf-8"))


def test_settings_of_all_plugins_were_looked_at() -> None:
    assert {plugin for plugin, _, _ in _declared()} >= {"email", "sms", "webhook", "file", "loyalty"}
