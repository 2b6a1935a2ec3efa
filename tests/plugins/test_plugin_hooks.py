"""No hook without its documentation, an example that works, a test, and a shipped plugin that uses it."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest
from rapport_sdk import check, hookspecs

from services.kit.plugins import PluginHost, PluginManager, module_plugins
from tests.plugins.plugin_sources import write_plugin

ROOT = Path(__file__).parents[2]
README = (ROOT / "plugins/README.md").read_text()
HOOKS = sorted(name for name in vars(hookspecs) if name.startswith(hookspecs.HOOK_PREFIX))
EXAMPLES = re.findall(r"```python\n# plugin: (\w+)\n(.*?)```", README, re.DOTALL)
SHIPPED = [path for path in (ROOT / "plugins").glob("*/src/**/*.py") if "template" not in path.parts]


def hooks_in(source: str) -> set[str]:
    """Return the hooks that a source implements, marked as such."""
    return {
        node.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef)
        and any(isinstance(mark, ast.Name) and mark.id == "hookimpl" for mark in node.decorator_list)
    }


def test_there_are_hooks() -> None:
    assert sorted([*check.HOOKS, *check.DIRECT_HOOKS]) == HOOKS


@pytest.mark.parametrize("hook", HOOKS)
def test_hook_has_a_section_and_an_example(hook: str) -> None:
    section = re.search(rf"^### {hook}$(.*?)(?=^##|\Z)", README, re.DOTALL | re.MULTILINE)
    assert section is not None, f"plugins/README.md has no section '### {hook}'"
    examples = re.findall(r"```python\n# plugin: \w+\n(.*?)```", section[1], re.DOTALL)
    assert any(hook in hooks_in(example) for example in examples), f"no complete example of {hook}"


@pytest.mark.parametrize("hook", HOOKS)
def test_hook_says_what_it_is_for(hook: str) -> None:
    assert (getattr(hookspecs, hook).__doc__ or "").startswith("Return ")


@pytest.mark.parametrize("hook", HOOKS)
def test_hook_is_used_by_a_shipped_plugin(hook: str) -> None:
    assert any(hook in hooks_in(path.read_text()) for path in SHIPPED)


@pytest.mark.parametrize("hook", HOOKS)
def test_hook_has_a_test(hook: str) -> None:
    tests = [*(ROOT / "plugins").glob("*/tests/test_*.py"), *(ROOT / "tests/plugins").glob("test_*.py")]
    others = [path for path in tests if path != Path(__file__)]
    assert any(hook in path.read_text() for path in others), f"no test mentions {hook}"


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
