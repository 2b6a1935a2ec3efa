"""The plugin host: plugin code runs elsewhere, and whatever it does, the core lives and knows."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import pytest
from prometheus_client import REGISTRY
from rapport_sdk import Event, Profile

from services.kit.errors import InvalidArgument
from services.kit.plugins import (
    PluginError,
    PluginHost,
    PluginTimeout,
    PluginUnavailable,
    RequiredPluginError,
)
from services.kit.plugins.breaker import Breakers
from tests.plugins.plugin_sources import rule, write_plugin
from tests.support.waiting import all_end

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MakeHost = Callable[..., PluginHost]


@pytest.fixture
def make_host(tmp_path: Path) -> Iterator[MakeHost]:
    hosts = []

    def make(plugins: dict[str, str], **options: Any) -> PluginHost:
        modules = {name: write_plugin(tmp_path, text) for name, text in plugins.items()}
        given = {"allowed": list(plugins), "modules": modules, "paths": [str(tmp_path)], **options}
        hosts.append(PluginHost(**given))
        return hosts[-1]

    yield make
    for host in hosts:
        host.close()


def ask(host: PluginHost, name: str = "bad.rule", *profiles: Profile) -> list[Any]:
    return [answer.value for answer in host.matches(name, (), profiles or [Profile(uuid4())], NOW)]


def misbehaving(code: str, returns: str = "int") -> str:
    return rule(
        "bad.rule", f"def f(ctx, params, profiles):\n    {code}\n", matches="f", returns=repr(returns)
    )


GOOD = rule("good.rule", matches="lambda ctx, params, profiles: [len(p.tags) for p in profiles]")


def test_python_form_sees_the_whole_profile(make_host: MakeHost) -> None:
    text = rule(
        "good.rule",
        """
        def f(ctx, params, profiles):
            assert ctx.settings["unit"] == "m", ctx.settings
            return [
                f"{p.kind} {p.birth_date} {p.total_spent} {p.tags} {p.attributes} {params['n']} "
                f"{[(e.type, e.amount, str(e.occurred_at), e.payload) for e in p.events('a.b')]} {ctx.now}"
                for p in profiles
            ]

        @hookimpl
        def rapport_settings():
            return [Setting("unit", str, "km", doc="d")]
        """,
        matches="f",
        returns="'string'",
        events="('a.b',)",
        parameters="(Parameter('n', 'int'),)",
    )
    host = make_host({"good": text}, environment={"RAPPORT_PLUGIN_GOOD_UNIT": "m"})
    event = Event("a.b", NOW, uuid4(), "x", Decimal("1.10"), {"k": [1, None]})
    profile = Profile(
        uuid4(),
        kind="person",
        birth_date=date(1990, 2, 3),
        total_spent=Decimal("0.3"),
        tags=("vip", "đ"),
        attributes={"$time": 1},
        history=(event,),
    )
    (answer,) = host.matches("good.rule", [7], [profile], NOW)
    assert answer.contact_id == profile.contact_id
    assert answer.value == (
        "person 1990-02-03 0.3 ('vip', 'đ') {'$time': 1} 7 "
        "[('a.b', Decimal('1.10'), '2026-01-01 00:00:00+00:00', {'k': [1, None]})] 2026-01-01 00:00:00+00:00"
    )


def test_an_event_in_the_future_bounds_the_answer(make_host: MakeHost) -> None:
    host = make_host({"good": GOOD})
    soon = replace(Profile(uuid4()), next_event_time=NOW + timedelta(hours=1))
    (answer,) = host.matches("good.rule", (), [soon], NOW)
    assert answer.next_change == NOW + timedelta(hours=1)


FAULTS = {
    "raises": ("raise ValueError('odd')", "ValueError: odd"),
    "exits": ("sys.exit(0)", "SystemExit"),
    "dies": ("os._exit(7)", "exit status 7"),
    "is killed": ("os.kill(os.getpid(), 9)", "died of SIGKILL"),
    "eats memory": ("x = bytearray(3 << 30)", "MemoryError"),
    "too few": ("return []", "0 values for 1 profiles"),
    "no list": ("return 5", "answered int"),
    "wrong type": ("return ['x']", "'x' is a str, not a int"),
    "bool for int": ("return [True]", "True is a bool, not a int"),
    "too big": ("return [2 ** 63]", "does not fit 64 bits"),
    "past": ("return [Timed(1, ctx.now)]", "is not later than now"),
    "no zone": ("return [Timed(1, ctx.now.replace(tzinfo=None))]", "is not a time with a zone"),
    "odd object": ("return [Timed(1, object())]", "is not a time with a zone"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_a_fault_is_an_error_and_the_next_request_works(make_host: MakeHost, case: str) -> None:
    code, expected = FAULTS[case]
    host = make_host({"bad": misbehaving(code), "good": GOOD})
    with pytest.raises(PluginError, match=expected) as caught:
        ask(host)
    assert (caught.value.plugin, caught.value.object) == ("bad", "bad.rule")
    assert ask(host, "good.rule", Profile(uuid4(), tags=("a", "b"))) == [2]


def test_a_double_that_is_no_number(make_host: MakeHost) -> None:
    host = make_host({"bad": misbehaving("return [float('nan')]", "double")})
    with pytest.raises(PluginError, match="not a finite number"):
        ask(host)


def test_the_deadline_kills_and_the_next_request_works(make_host: MakeHost) -> None:
    host = make_host({"bad": misbehaving("while True: pass"), "good": GOOD}, deadline=1.0, cpu_seconds=60)
    assert ask(host, "good.rule") == [0]
    (first,) = host.child_pids()
    with pytest.raises(PluginTimeout, match="did not answer within 1 s"):
        ask(host)
    assert not psutil.pid_exists(first)
    assert ask(host, "good.rule") == [0]
    assert host.child_pids() != [first]


def test_cpu_time_is_limited_by_the_kernel(make_host: MakeHost) -> None:
    host = make_host({"bad": misbehaving("while True: pass")}, deadline=120.0, cpu_seconds=1)
    with pytest.raises(PluginError, match="used up its CPU time"):
        ask(host)


def test_children_of_a_plugin_die_with_it(make_host: MakeHost, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    code = f"import subprocess; open({str(note)!r}, 'w').write(str(subprocess.Popen(['sleep', '600']).pid))"
    host = make_host({"bad": misbehaving(f"{code}; time.sleep(600)")}, deadline=5.0)
    with pytest.raises(PluginTimeout):
        ask(host)
    try:
        grandchild = psutil.Process(int(note.read_text()))
    except psutil.NoSuchProcess:
        return
    # The kernel delivers the signal when it gets to it: the host was waited for, its child was only killed.
    all_end([grandchild])


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("time.sleep(600)", "did not load within 2 s"),
        ("os._exit(3)", "ended the process with exit status 3 while loading"),
        ("os.kill(os.getpid(), 11)", "died of SIGSEGV while loading"),
    ],
)
def test_a_plugin_that_takes_the_host_down_on_import_is_quarantined(
    make_host: MakeHost, code: str, expected: str
) -> None:
    host = make_host({"bad": code, "good": GOOD}, load_seconds=2.0)
    record = host.catalog().plugin("bad")
    assert record is not None
    assert (record.state, record.reason) == ("quarantined", expected)
    assert REGISTRY.get_sample_value("rapport_plugin_quarantined", {"plugin": "bad"}) == 1
    assert REGISTRY.get_sample_value("rapport_plugin_quarantined", {"plugin": "good"}) == 0
    assert ask(host, "good.rule") == [0]
    with pytest.raises(PluginUnavailable, match="quarantined: " + expected):
        ask(host)


def test_required_plugins(make_host: MakeHost) -> None:
    host = make_host({"bad": "raise OSError('no')"}, required=["bad"])
    with pytest.raises(RequiredPluginError, match="bad: import failed: OSError: no"):
        host.catalog()


def test_the_child_has_no_secrets_of_ours(make_host: MakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAPPORT_SEGMENTATION_DATABASE_URL", "postgresql://secret")
    code = "return [' '.join(sorted(k for k in os.environ if 'RAPPORT' in k))]"
    host = make_host({"bad": misbehaving(code, "string")}, environment=dict(os.environ))
    assert ask(host) == [""]


def test_printing_does_not_disturb(make_host: MakeHost) -> None:
    host = make_host({"bad": misbehaving("print('x' * 100); os.write(1, b'junk'); return [3]")})
    assert ask(host) == [3]


def test_circuit_breaker_stops_asking_and_tries_again(make_host: MakeHost, tmp_path: Path) -> None:
    note = tmp_path / "mended"
    code = f"if os.path.exists({str(note)!r}): return [1]\n    raise ValueError('odd')"
    now = [0.0]
    breakers = Breakers(threshold=2, cooldown=30, monotonic=lambda: now[0])
    host = make_host({"bad": misbehaving(code), "good": GOOD}, breakers=breakers)
    for _ in range(2):
        with pytest.raises(PluginError, match="ValueError"):
            ask(host)
    with pytest.raises(PluginUnavailable, match="failed 2 times in a row, last with: ValueError: odd"):
        ask(host)
    assert ask(host, "good.rule") == [0]
    note.touch()
    now[0] = 29.0
    with pytest.raises(PluginUnavailable):
        ask(host)
    now[0] = 30.0
    assert ask(host) == [1]


def test_arguments_of_the_caller_are_not_the_plugins_fault(make_host: MakeHost) -> None:
    text = rule(
        "good.rule",
        value="lambda ctx, params: literal(params['n'])",
        parameters="(Parameter('n', 'int'), Parameter('unit', 'string', choices=('km', 'mi')))",
    )
    host = make_host({"good": text}, breakers=Breakers(threshold=1))
    assert host.compile_sql("good.rule", [5, "km"]).all_params["param_1"] == 5
    signature = r"good.rule\(contact, n: int, unit: string\)"
    for params, problem in {
        (): "takes 2 literal arguments after contact, not 0",
        ("5", "km"): "n: '5' is a str, not a int",
        (True, "km"): "n: True is a bool",
        (5, "m"): "unit: 'm' is not one of 'km', 'mi'",
        (None, "km"): "n: null is not allowed",
    }.items():
        with pytest.raises(InvalidArgument, match=f"{signature}.*{problem}"):
            host.compile_sql("good.rule", params)
    assert host.compile_sql("good.rule", [6, "mi"]).all_params["param_1"] == 6
    with pytest.raises(InvalidArgument, match="no Python form"):
        host.matches("good.rule", [5, "km"], [], NOW)


def test_unknown_objects(make_host: MakeHost) -> None:
    host = make_host({"good": GOOD})
    with pytest.raises(PluginUnavailable, match=r"good.other: plugin 'good' has no such object"):
        host.compile_sql("good.other")
    with pytest.raises(InvalidArgument, match="no SQL form"):
        host.compile_sql("good.rule")


COMPILE_FAULTS = {
    "reads now untimed": ("case((ctx.now > ctx.profile.c.create_time, 1))", "answer Timed"),
    "undeclared events": ("ctx.events('x.y').count()", "events 'x.y' are read but not declared"),
    "no expression": ("5", "value is a int, not an SQL expression"),
    "wrong type": ("literal('x')", "an expression of type VARCHAR, not a int: cast it"),
    "wrong time": ("Timed(literal(1), literal(3))", "next_change is an expression of type INTEGER"),
    "raises": ("1 / 0", "ZeroDivisionError"),
    "loops": ("any(iter(int, 1))", "did not answer within 3 s"),
    "smuggles text": (
        "literal_column(\"set_config('role', 'none', true)::int\")",
        "SQL may not use set_config",
    ),
}


@pytest.mark.parametrize("case", COMPILE_FAULTS)
def test_bad_sql_forms(make_host: MakeHost, case: str) -> None:
    code, expected = COMPILE_FAULTS[case]
    host = make_host(
        {"bad": rule("bad.rule", value=f"lambda ctx, params: {code}")}, deadline=3.0, cpu_seconds=60
    )
    with pytest.raises(PluginError, match=expected):
        host.compile_sql("bad.rule")


def test_compiled_statements_are_kept(make_host: MakeHost) -> None:
    host = make_host({"good": rule("good.rule", value="lambda ctx, params: literal(1)")})
    first = host.compile_sql("good.rule")
    assert host.compile_sql("good.rule") is first


def test_sqlalchemy_is_imported_for_the_first_that_is_compiled(make_host: MakeHost) -> None:
    """It takes longer than all else of a child's start, and plugins that come along do not ask for it either."""
    body = """
        def f(ctx, params, profiles):
            return [int("sqlalchemy" in sys.modules) for _ in profiles]
        """
    host = make_host(
        {"bad": rule("bad.rule", body, matches="f")}, allowed=["bad", "rfm", "loyalty", "email", "sms"]
    )
    assert ask(host) == [0]
    host.compile_sql("loyalty.tier")
    assert ask(host) == [1]


def test_several_requests_at_once(make_host: MakeHost, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    waits = misbehaving(f"open({str(gate)!r}).read(); return [1]")
    host = make_host({"bad": waits, "good": GOOD}, processes=2, cpu_seconds=60)
    slow = threading.Thread(target=ask, args=(host,))
    slow.start()
    # Opens once the rule has opened its end; that one then waits until the end of this block.
    with open(gate, "w"):
        assert ask(host, "good.rule") == [0]
    slow.join()
    assert len(host.child_pids()) == 2


@pytest.mark.parametrize(
    ("opened", "problem"),
    [
        ("return Adapter()", ""),
        (
            "raise ValueError(f'set key: {settings[\"key\"]!r} is none')",
            "open raised ValueError: set key: '' is none",
        ),
        ("time.sleep(60)", "open did not answer within"),
        ("os._exit(3)", "open ended the process with exit status 3"),
    ],
)
def test_a_channel_is_tried(make_host: MakeHost, opened: str, problem: str, tmp_path: Path) -> None:
    source = f"""
class Adapter:
    def close(self):
        open({str(tmp_path / "closed")!r}, "w").close()
def opens(settings):
    {opened}
@hookimpl
def rapport_settings():
    return [Setting("key", str, "", doc="A key.")]
@hookimpl
def rapport_channels():
    return [Channel(name="tried.one", capabilities=Capabilities(address_kind="email"), open=opens, doc="Tried.")]
"""
    host = make_host({"tried": source}, deadline=2.0)
    for _ in range(6):
        told = host.channel_problem("tried.one")
        assert told.startswith(problem)
        assert bool(told) is bool(problem)
        if "within" in problem or "ended" in problem:
            break
    assert (tmp_path / "closed").exists() is not bool(problem)
    assert host.channel_problem("tried.two") == "plugin 'tried' has no such object; it registers tried.one"
    assert host.channel_problem("none.one") == "plugin 'none' is not installed"


def test_closing_ends_the_children(make_host: MakeHost) -> None:
    host = make_host({"good": GOOD})
    host.catalog()
    (pid,) = host.child_pids()
    host.close()
    assert not psutil.pid_exists(pid)
    with pytest.raises(PluginUnavailable, match="closed"):
        ask(host, "good.rule")


@pytest.mark.parametrize("busy", [False, True])
def test_children_end_with_their_parent(tmp_path: Path, busy: bool) -> None:
    """Even when it is killed, and even while plugin code runs."""
    module = write_plugin(tmp_path, misbehaving("open('started', 'w').close()\n    while True: pass"))
    script = f"""
import sys, uuid, datetime
from rapport_sdk import Profile
from services.kit.plugins import PluginHost
host = PluginHost(["bad"], modules={{"bad": {module!r}}}, paths=[{str(tmp_path)!r}], deadline=600)
host.catalog()
print(host.child_pids()[0], flush=True)
if {busy}:
    host.matches("bad.rule", (), [Profile(uuid.uuid4())], datetime.datetime.now(datetime.UTC))
sys.stdin.read()
"""
    root = Path(__file__).parents[2]
    parent = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(root)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    until = time.monotonic() + 60
    while busy and not (tmp_path / "started").exists():
        assert time.monotonic() < until
        time.sleep(0.01)
    parent.send_signal(signal.SIGKILL)
    parent.communicate()
    gone, alive = psutil.wait_procs([child], 30)
    assert gone
    assert not alive


def test_works_from_a_worker_patched_by_eventlet(tmp_path: Path) -> None:
    """Workers patch all but threads and ask through eventlet's thread pool."""
    module = write_plugin(tmp_path, misbehaving("return [7]"))
    script = f"""
import eventlet
eventlet.monkey_patch(thread=False)
import datetime, uuid
from eventlet import tpool
from rapport_sdk import Profile
from services.kit.plugins import PluginHost
host = PluginHost(["bad"], modules={{"bad": {module!r}}}, paths=[{str(tmp_path)!r}])
now = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
ask = lambda: host.matches("bad.rule", (), [Profile(uuid.uuid4())], now)[0].value
pile = eventlet.GreenPile()
for _ in range(3):
    pile.spawn(tpool.execute, ask)
print(list(pile))
tpool.execute(host.close)
"""
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout == "[7, 7, 7]\n", done.stderr


TALKER = """
import json, sys, uuid
from datetime import UTC, datetime
from rapport_sdk import Profile
from services.kit import context, log
from services.kit.context import CallContext
from services.kit.plugins import PluginError, PluginHost

log.configure("INFO", "json", service="segmentation", role="worker")
folder, module = sys.argv[1:]
host = PluginHost(allowed=["bad"], modules={"bad": module}, paths=[folder])
host.catalog()
with context.activate(CallContext("r1", traceparent="00-" + "a" * 32 + "-" + "b" * 16 + "-01")):
    try:
        host.matches("bad.rule", (), [Profile(uuid.uuid4())], datetime.now(UTC))
    except PluginError:
        pass
    # What it has printed comes before the end of the output, which its death is.
    host.close()
    import threading
    for thread in threading.enumerate():
        if thread.name.startswith("output of "):
            thread.join(20)
"""


def test_what_plugins_print_and_raise_are_lines_of_the_log(tmp_path: Path) -> None:
    """Each with the trace of what was asked, none with what personal data looks like."""
    module = write_plugin(
        tmp_path,
        misbehaving(
            "import sys, logging; print('one an@example.test\\ntwo'); "
            "logging.getLogger('x').error('three'); raise ValueError('no number: +84 912 345 678')"
        ),
    )
    ran = subprocess.run(
        [sys.executable, "-c", TALKER, str(tmp_path), module], capture_output=True, text=True, check=True
    )
    lines = [json.loads(line) for line in ran.stderr.splitlines()]
    assert ran.stdout == ""
    printed = [line for line in lines if line["event"].startswith("plugin host prints: ")]
    # Its pieces may come apart, or together.
    text = "\n".join(line["event"].removeprefix("plugin host prints: ") for line in printed)
    assert "one [email]\ntwo" in text
    assert "ERROR three" in text
    assert "ValueError: no number: [number]" in text
    for line in printed:
        assert (line["service"], line["request_id"], line["trace_id"]) == ("segmentation", "r1", "a" * 32)


def test_a_plugin_that_prints_without_end_holds_up_nobody_and_is_stopped(make_host: MakeHost) -> None:
    host = make_host(
        {"bad": misbehaving("while True: print('x' * 1000)"), "good": GOOD}, deadline=1.0, cpu_seconds=30
    )
    with pytest.raises(PluginTimeout):
        ask(host)
    assert ask(host, "good.rule") == [0]
