"""The Python form of a trait: asked in batches, in a process that is stopped when it takes too long."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from rapport_sdk import Event, Profile

from services.kit.errors import InvalidArgument
from services.kit.plugins import (
    PluginError,
    PluginHost,
    PluginTimeout,
    PluginUnavailable,
    TraitRecord,
    object_from_json,
    to_json,
)
from services.kit.plugins import host as plugin_host
from services.kit.plugins.breaker import Breakers
from tests.plugins.plugin_sources import write_plugin

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MakeHost = Callable[..., PluginHost]

GOOD = """
def orders(ctx, profiles):
    assert ctx.settings["unit"] == "m", ctx.settings
    return [
        {"good_spent": sum(int(e.amount) for e in p.events("order.placed")), "good_tag": f"{p.tags[0]} {ctx.now.year}"}
        if p.tags else None
        for p in profiles
    ]

@hookimpl
def rapport_settings():
    return [Setting("unit", str, "m", doc="d")]

@hookimpl
def rapport_segment_rules():
    return [SegmentRule("good.rule", "int", matches=lambda ctx, params, profiles: [1] * len(profiles), doc="d")]

@hookimpl
def rapport_traits():
    return [
        Trait("good.python", {"good_spent": "double", "good_tag": "string"}, compute=orders,
              events=("order.placed",), doc="d"),
        Trait("good.sql", {"good_one": "int"}, lambda ctx: {"good_one": literal(1)}, doc="d"),
        Trait("good.both", {"good_two": "int"}, lambda ctx: {"good_two": literal(2)}, doc="d",
              compute=lambda ctx, profiles: [{"good_two": 2}] * len(profiles)),
    ]
"""


@pytest.fixture
def make_host(tmp_path: Path) -> Iterator[MakeHost]:
    hosts = []

    def make(plugins: dict[str, str], **options: Any) -> PluginHost:
        modules = {name: write_plugin(tmp_path, text) for name, text in plugins.items()}
        hosts.append(PluginHost(list(plugins), modules=modules, paths=[str(tmp_path)], **options))
        return hosts[-1]

    yield make
    for host in hosts:
        host.close()


def misbehaving(code: str) -> str:
    return f"""
def f(ctx, profiles):
    {code}

@hookimpl
def rapport_traits():
    return [Trait("bad.trait", {{"bad_x": "int"}}, compute=f, doc="d")]
"""


def test_values_come_by_column_for_each_profile(make_host: MakeHost) -> None:
    """What is unknown is None; a whole number of a double column is a double, as in SQL."""
    host = make_host({"good": GOOD})
    bought = Event("order.placed", NOW, uuid4(), None, Decimal("3"), {})
    profiles = [Profile(uuid4(), tags=("vip",), history=(bought, bought)), Profile(uuid4())]
    first, second = host.compute("good.python", profiles, NOW)
    assert [first.contact_id, second.contact_id] == [profile.contact_id for profile in profiles]
    assert first.values == {"good_spent": 6.0, "good_tag": "vip 2026"}
    assert isinstance(first.values["good_spent"], float)
    assert second.values == {"good_spent": None, "good_tag": None}
    assert host.compute("good.python", [], NOW) == []


def test_a_form_that_is_not_there_is_the_callers_mistake(make_host: MakeHost) -> None:
    host = make_host({"good": GOOD}, breakers=Breakers(threshold=1))
    forms = {name: (record.has_sql, record.has_python) for name, record in host.catalog().traits.items()}
    assert forms == {"good.python": (False, True), "good.sql": (True, False), "good.both": (True, True)}
    with pytest.raises(InvalidArgument, match="no SQL form: ask compute"):
        host.compile_sql("good.python")
    for name in ("good.sql", "good.rule"):
        with pytest.raises(InvalidArgument, match="no Python form"):
            host.compute(name, [], NOW)
    with pytest.raises(InvalidArgument, match="no Python form"):
        host.matches("good.python", (), [], NOW)
    with pytest.raises(PluginUnavailable, match="no such object"):
        host.compute("good.none", [], NOW)
    assert host.compile_sql("good.both").kind == "trait"
    assert host.compute("good.both", [Profile(uuid4())], NOW)[0].values == {"good_two": 2}


FAULTS = {
    "raises": ("raise ValueError('odd')", "int", "ValueError: odd"),
    "exits": ("sys.exit(0)", "int", "SystemExit"),
    "dies": ("os._exit(7)", "int", "exit status 7"),
    "too few": ("return []", "int", "0 times for 1 profiles"),
    "no list": ("return 5", "int", "answered int"),
    "a text": ("return 'x'", "int", "answered str"),
    "no mapping": ("return [5]", "int", "compute gave int; declared columns are bad_x"),
    "other columns": (
        "return [{'bad_y': 1, 'bad_z': 2}]",
        "int",
        "compute gave bad_y, bad_z; declared columns are bad_x",
    ),
    "a column is missing": ("return [{}]", "int", "declared columns are bad_x"),
    "one column too many": ("return [{'bad_x': 1, 'bad_y': 2}]", "int", "compute gave bad_x, bad_y"),
    "wrong type": ("return [{'bad_x': 'x'}]", "int", "bad_x: 'x' is a str, not a int"),
    "bool for int": ("return [{'bad_x': True}]", "int", "bad_x: True is a bool, not a int"),
    "int for bool": ("return [{'bad_x': 1}]", "bool", "bad_x: 1 is a int, not a bool"),
    "too big": ("return [{'bad_x': 2 ** 63}]", "int", "does not fit 64 bits"),
    "an object": ("return [{'bad_x': object()}]", "int", "is a object, not a int"),
    "no number": ("return [{'bad_x': float('nan')}]", "double", "not a finite number"),
    "a Decimal": ("import decimal; return [{'bad_x': decimal.Decimal(1)}]", "double", r"write float\(…\)"),
    "NUL": ("return [{'bad_x': 'a' + chr(0)}]", "string", "bad_x: a string holds a NUL"),
}


def faulty() -> str:
    """Return a plugin with a trait for each fault, each with columns of its own."""
    functions, traits = [], []
    for number, (code, type_, _) in enumerate(FAULTS.values()):
        functions.append(f"def f{number}(ctx, profiles):\n    {code.replace('bad_x', f'bad_x{number}')}\n")
        columns = f"{{'bad_x{number}': '{type_}'}}"
        traits.append(f"        Trait('bad.t{number}', {columns}, compute=f{number}, doc='d'),\n")
    return f"{''.join(functions)}@hookimpl\ndef rapport_traits():\n    return [\n{''.join(traits)}    ]\n"


@pytest.fixture(scope="module")
def faulty_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PluginHost]:
    folder = tmp_path_factory.mktemp("plugins")
    modules = {"bad": write_plugin(folder, faulty()), "good": write_plugin(folder, GOOD)}
    with PluginHost(list(modules), modules=modules, paths=[str(folder)]) as host:
        yield host


@pytest.mark.parametrize("case", FAULTS)
def test_a_fault_is_an_error_and_the_next_request_works(faulty_host: PluginHost, case: str) -> None:
    number = list(FAULTS).index(case)
    expected = FAULTS[case][2].replace("bad_x", f"bad_x{number}")
    with pytest.raises(PluginError, match=expected) as caught:
        faulty_host.compute(f"bad.t{number}", [Profile(uuid4())], NOW)
    assert (caught.value.plugin, caught.value.object) == ("bad", f"bad.t{number}")
    assert faulty_host.compute("good.both", [Profile(uuid4())], NOW)[0].values == {"good_two": 2}


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ([], "another number of profiles"),
        (7, "another number of profiles"),
        ([5], "other columns"),
        ([[1, 2]], "other columns"),
        ([["x"]], "bad_x: 'x' is a str, not a int"),
    ],
)
def test_what_the_child_says_is_not_believed(
    make_host: MakeHost, monkeypatch: pytest.MonkeyPatch, reply: Any, expected: str
) -> None:
    """The child is where plugin code runs."""
    host = make_host({"bad": misbehaving("return [None]")})
    host.catalog()
    monkeypatch.setattr(plugin_host.HostProcess, "ask", lambda *_: {"ok": reply})
    with pytest.raises(PluginError, match=expected):
        host.compute("bad.trait", [Profile(uuid4())], NOW)


def test_deadline_and_cpu_time_stop_it(make_host: MakeHost) -> None:
    host = make_host({"bad": misbehaving("time.sleep(600)"), "good": GOOD}, deadline=2.0)
    with pytest.raises(PluginTimeout, match="did not answer within 2 s"):
        host.compute("bad.trait", [Profile(uuid4())], NOW)
    assert host.compute("good.both", [Profile(uuid4())], NOW)[0].values == {"good_two": 2}
    host = make_host({"bad": misbehaving("while True: pass")}, deadline=120.0, cpu_seconds=1)
    with pytest.raises(PluginError, match="used up its CPU time"):
        host.compute("bad.trait", [Profile(uuid4())], NOW)


def test_what_keeps_failing_is_not_asked(make_host: MakeHost) -> None:
    host = make_host({"bad": misbehaving("raise ValueError('odd')")}, breakers=Breakers(threshold=2))
    for _ in range(2):
        with pytest.raises(PluginError, match="ValueError"):
            host.compute("bad.trait", [Profile(uuid4())], NOW)
    with pytest.raises(PluginUnavailable, match="failed 2 times in a row"):
        host.compute("bad.trait", [Profile(uuid4())], NOW)


def test_records_of_before_there_were_forms_are_of_sql_alone(make_host: MakeHost) -> None:
    """And the record only gained: what an older release reads of it is there as it was."""
    record = make_host({"good": GOOD}).catalog().traits["good.python"]
    stored = json.loads(json.dumps(to_json(record)))
    assert object_from_json(stored) == record
    before = {name: value for name, value in stored.items() if name not in ("has_sql", "has_python")}
    assert before == {
        "plugin": "good",
        "name": "good.python",
        "version": 1,
        "columns": {"good_spent": "double", "good_tag": "string"},
        "events": ["order.placed"],
        "refresh_seconds": 86400.0,
        "when_gone": "keep",
        "doc": "d",
        "kind": "trait",
    }
    old = object_from_json(before)
    assert isinstance(old, TraitRecord)
    assert (old.has_sql, old.has_python) == (True, False)
