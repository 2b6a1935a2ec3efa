"""Finding and loading plugins: the good ones work, each bad one is set aside by itself and says why."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

import pytest
from rapport_sdk import OutboundMessage, Recipient, SegmentRule, Veto

from services.kit.plugins import (
    Catalog,
    PluginManager,
    PluginSource,
    PluginUnavailable,
    RequiredPluginError,
    catalog_from_json,
    installed_plugins,
    to_json,
)
from tests.plugins.plugin_sources import load_source, rule

GOOD = rule("good.one", value="lambda ctx, params: literal(1)")


def source(folder: Path, name: str, text: str) -> PluginSource:
    return PluginSource(name, lambda: load_source(folder, text), f"dist-{name}", "1.2")


def load(folder: Path, plugins: Mapping[str, str], environment: Mapping[str, str] | None = None) -> Catalog:
    sources = [source(folder, name, text) for name, text in plugins.items()]
    return PluginManager(environment=environment, sources=sources).load()


def reason(folder: Path, text: str, environment: Mapping[str, str] | None = None) -> str:
    """Load a bad plugin beside a good one and return why it is quarantined; the good one must work."""
    catalog = load(folder, {"bad": text, "good": GOOD}, environment)
    assert list(catalog.rules) == ["good.one"]
    record = catalog.plugin("bad")
    assert record is not None
    assert record.state == "quarantined"
    assert record.objects == ()
    return record.reason


def test_shipped_plugins_load() -> None:
    catalog = PluginManager(environment={}).load()
    shipped = {"email", "loyalty", "recipients", "rfm"}
    assert {record.name for record in catalog.plugins if record.state == "ok"} >= shipped
    assert {"loyalty.tier"} <= set(catalog.rules)
    assert {"rfm.scores"} <= set(catalog.traits)
    assert {"email.smtp"} <= set(catalog.channels)
    loyalty = catalog.plugin("loyalty")
    assert loyalty is not None
    assert (loyalty.distribution, loyalty.version) == ("rapport-loyalty", metadata.version("rapport-loyalty"))
    assert loyalty.settings[0].variable == "RAPPORT_PLUGIN_LOYALTY_GOLD_FROM"


def test_catalog_survives_json() -> None:
    catalog = PluginManager(environment={}).load()
    assert catalog_from_json(to_json(catalog)) == catalog


BAD = {
    "import": ("raise RuntimeError('no luck')", r"import failed: RuntimeError: no luck \(.*:4\)"),
    "exit": ("sys.exit(3)", "import failed: SystemExit: 3"),
    "syntax": ("def x(:", "import failed: SyntaxError"),
    "nothing": ("x = 1", "implements no hook"),
    "misspelt": (
        "@hookimpl\ndef rapport_segment_rule():\n    return []",
        "rapport_segment_rule is not a hook",
    ),
    "unmarked": ("def rapport_traits():\n    return []", "rapport_traits is not marked with @hookimpl"),
    "arguments": ("@hookimpl\ndef rapport_traits(config):\n    return []", "rapport_traits takes config"),
    "raises": (
        "@hookimpl\ndef rapport_traits():\n    return 1 / 0",
        "rapport_traits raised ZeroDivisionError",
    ),
    "kind": ("@hookimpl\ndef rapport_traits():\n    return ['x']", "item 0 is a str, not a Trait"),
    "not a list": ("@hookimpl\ndef rapport_traits():\n    return 7", "rapport_traits raised TypeError"),
    "foreign name": (rule("other.thing", value="lambda ctx, params: literal(1)"), "outside of its plugin"),
    "bad name": (rule("bad.Thing", value="lambda ctx, params: literal(1)"), "write it as plugin.thing"),
    "version": (rule("bad.x", value="lambda ctx, params: literal(1)", version="0"), "version 0"),
    "no doc": (rule("bad.x", value="lambda ctx, params: literal(1)", doc="''"), "say in doc"),
    "no form": (rule("bad.x"), "give value"),
    "signature": (rule("bad.x", value="lambda ctx: literal(1)"), r"value must take \(ctx, params\)"),
    "returns": (rule("bad.x", value="lambda c, p: literal(1)", returns="'money'"), "returns 'money'"),
    "async": ("async def f(c, p): ...\n" + rule("bad.x", value="f"), "async"),
    "twice": (
        "@hookimpl\ndef rapport_segment_rules():\n"
        "    r = SegmentRule('bad.x', 'int', value=lambda c, p: literal(1), doc='d')\n    return [r, r]",
        "bad.x is registered twice",
    ),
    "columns": (
        "@hookimpl\ndef rapport_traits():\n"
        "    return [Trait('bad.x', {'score': 'int'}, lambda c: {}, timedelta(hours=1), doc='d')]",
        "begin with 'bad_'",
    ),
    "setting default": (
        "@hookimpl\ndef rapport_settings():\n    return [Setting('n', int, 'x', doc='d')]",
        "the default 'x' is not a whole number",
    ),
    "required setting": (
        "@hookimpl\ndef rapport_settings():\n    return [Setting('key', str, secret=True, doc='The key.')]",
        r"RAPPORT_PLUGIN_BAD_KEY must be set \(The key.\)",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_plugin_is_quarantined_alone(tmp_path: Path, case: str) -> None:
    text, expected = BAD[case]
    assert re.search(expected, reason(tmp_path, text)), reason(tmp_path, text)


def test_a_bad_value_of_a_setting(tmp_path: Path) -> None:
    text = """
        @hookimpl
        def rapport_settings():
            return [Setting("n", int, 1, doc="d"), Setting("key", float, 1.0, secret=True, doc="d")]
    """
    environment = {"RAPPORT_PLUGIN_BAD_N": "many", "RAPPORT_PLUGIN_BAD_KEY": "hunter2"}
    found = reason(tmp_path, text, environment)
    assert "RAPPORT_PLUGIN_BAD_N: 'many' is not a whole number" in found
    assert "RAPPORT_PLUGIN_BAD_KEY: the value is not a number" in found
    assert "hunter2" not in found


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    text = "@hookimpl\ndef rapport_settings():\n    return [Setting('key', str, 'k', secret=True, doc='d')]"
    catalog = load(tmp_path, {"one": text}, {"RAPPORT_PLUGIN_ONE_KEY": "hunter2"})
    assert catalog.plugins[0].settings[0].value == "***"
    assert "hunter2" not in str(to_json(catalog))


def test_a_misspelt_setting_is_a_warning(tmp_path: Path) -> None:
    text = "@hookimpl\ndef rapport_settings():\n    return [Setting('limit', int, 1, doc='d')]"
    environment = {"RAPPORT_PLUGIN_ONE_LIMTI": "3", "RAPPORT_PLUGIN_ONE_MORE_LIMIT": "4"}
    catalog = load(tmp_path, {"one": text, "one_more": text}, environment)
    warnings = {record.name: record.warnings for record in catalog.plugins}
    assert warnings == {
        "one": ("RAPPORT_PLUGIN_ONE_LIMTI is set, but the plugin has no such setting",),
        "one_more": (),
    }


@pytest.mark.parametrize("name", ["contact", "Loyal", "with-dash", "1st"])
def test_bad_plugin_names(tmp_path: Path, name: str) -> None:
    catalog = load(tmp_path, {name: GOOD})
    assert catalog.plugins[0].state == "quarantined"
    assert repr(name) in catalog.plugins[0].reason


def test_two_distributions_with_one_name(tmp_path: Path) -> None:
    sources = [source(tmp_path, "good", GOOD), source(tmp_path, "good", GOOD)]
    catalog = PluginManager(sources=sources).load()
    assert [record.state for record in catalog.plugins] == ["quarantined", "quarantined"]


def test_trait_columns_belong_to_one_plugin(tmp_path: Path) -> None:
    text = """
        @hookimpl
        def rapport_traits():
            return [Trait("{name}.x", {{"a_b_c": "int"}}, lambda c: {{}}, timedelta(hours=1), doc="d")]
    """
    catalog = load(tmp_path, {"a": text.format(name="a"), "a_b": text.format(name="a_b")})
    assert [record.state for record in catalog.plugins] == ["ok", "quarantined"]
    assert "column 'a_b_c' belongs to a.x already" in catalog.plugins[1].reason


@pytest.mark.parametrize("allowed", [["good"], ["dist-good"], ["Dist_Good", "other"]])
def test_what_is_not_allowed_is_not_even_imported(tmp_path: Path, allowed: list[str]) -> None:
    def forbidden() -> object:
        raise AssertionError("imported")

    sources = [source(tmp_path, "good", GOOD), PluginSource("evil", forbidden, "dist-evil")]
    catalog = PluginManager(allowed, sources=sources).load()
    assert [(record.name, record.state) for record in catalog.plugins] == [
        ("good", "ok"),
        ("evil", "not_allowed"),
    ]


def test_required_plugins(tmp_path: Path) -> None:
    sources = [source(tmp_path, "good", GOOD), source(tmp_path, "bad", "raise RuntimeError('no luck')")]
    PluginManager([], ["good"], sources=sources).load()
    manager = PluginManager([], ["dist-bad", "missing"], sources=sources)
    with pytest.raises(
        RequiredPluginError, match=r"bad: import failed: RuntimeError: no luck.*; missing: required"
    ):
        manager.load()
    record = manager.catalog.plugin("bad")
    assert record is not None
    assert record.required


def test_a_required_plugin_loads_though_the_allowlist_forgot_it(tmp_path: Path) -> None:
    catalog = PluginManager(["other"], ["good"], sources=[source(tmp_path, "good", GOOD)]).load()
    assert catalog.plugins[0].state == "ok"


def test_a_name_in_the_allowlist_that_means_no_plugin_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    PluginManager(["god", "dist-good"], sources=[source(tmp_path, "good", GOOD)]).load()
    assert [record.getMessage() for record in caplog.records] == [
        "RAPPORT_PLUGINS_ALLOW names 'god', but no such plugin is installed"
    ]


def test_gone_objects_say_why(tmp_path: Path) -> None:
    sources = [
        source(tmp_path, "good", GOOD),
        source(tmp_path, "bad", "x = 1"),
        source(tmp_path, "far", GOOD),
    ]
    manager = PluginManager(["good", "bad"], sources=sources)
    manager.load()
    for name, expected in {
        "nowhere.x": "plugin 'nowhere' is not installed",
        "bad.x": "plugin 'bad' is quarantined: implements no hook",
        "far.x": "not allowed: add it to RAPPORT_PLUGINS_ALLOW",
        "good.two": "plugin 'good' has no such object; it registers good.one",
    }.items():
        with pytest.raises(PluginUnavailable, match=expected):
            manager.find(name, SegmentRule)


MESSAGE, RECIPIENT = OutboundMessage("m1", "a@test.test", "Hello"), Recipient("c1")
VETOES = {
    "none": ("return None", None),
    "veto": ("return Veto('no: ' + message.to)", "no: a@test.test"),
    "raises": ("raise KeyError('x')", "plugin two failed: KeyError: 'x'"),
    "exits": ("sys.exit(1)", "plugin two failed: SystemExit: 1"),
    "junk": ("return True", "plugin two answered bool where Veto or None belongs"),
}


@pytest.mark.parametrize("case", VETOES)
def test_send_veto_asks_everyone_and_an_error_vetoes(tmp_path: Path, case: str) -> None:
    body, expected = VETOES[case]
    passes = "@hookimpl\ndef rapport_send_veto(recipient):\n    assert recipient.contact_id == 'c1'\n"
    asked = f"@hookimpl\ndef rapport_send_veto(message, settings):\n    {body}\n"
    sources = [
        source(tmp_path, "one", passes),
        source(tmp_path, "two", asked),
        source(tmp_path, "three", passes),
    ]
    manager = PluginManager(sources=sources)
    manager.load()
    veto = manager.send_veto(MESSAGE, RECIPIENT)
    assert (veto.reason if isinstance(veto, Veto) else None) == expected or (
        veto is not None and expected is not None and veto.reason.startswith(expected)
    )


def test_a_fault_is_placed_in_the_code_of_the_plugin(tmp_path: Path) -> None:
    hook = "@hookimpl\ndef rapport_send_veto(message):\n    return inner()\n\n"
    body = hook + "def inner():\n    return text('').bindparams(x=1)\n"
    manager = PluginManager(sources=[source(tmp_path, "one", body)])
    manager.load()
    veto = manager.send_veto(MESSAGE, RECIPIENT)
    [file] = tmp_path.glob("plugin_*.py")
    line = next(n for n, text in enumerate(file.read_text().splitlines(), 1) if "bindparams(" in text)
    assert veto is not None
    # SQLAlchemy raises it, far below what its author wrote.
    assert veto.reason.startswith("plugin one failed: ArgumentError: ")
    assert veto.reason.endswith(f"({tmp_path.name}/{file.name}:{line})")


def test_installed_plugins_are_found_by_their_entry_points() -> None:
    assert {"email", "loyalty", "recipients", "rfm"} <= {found.name for found in installed_plugins()}
