"""Hold a plugin to the rules that need no data."""

from __future__ import annotations

from types import ModuleType

from rapport_sdk.check import plugin_problems

from services.kit.plugins import PluginManager, PluginRecord, PluginSource


def assert_plugin_conforms(module: ModuleType, name: str, **environment: str) -> PluginRecord:
    """Fail with everything that is wrong with a plugin; return what the catalog will show of it.

    name: that of the entry point. environment: the RAPPORT_PLUGIN_* variables that it cannot do without.
    """
    problems = plugin_problems(name, module)
    assert not problems, f"{name}: " + "; ".join(problems)
    manager = PluginManager(
        environment=environment, sources=[PluginSource(name, lambda: module, module.__name__, "0")]
    )
    record = manager.load().plugins[0]
    assert record.state == "ok", f"{name} would be quarantined: {record.reason}"
    assert not record.warnings, f"{name}: {'; '.join(record.warnings)}"
    return record
