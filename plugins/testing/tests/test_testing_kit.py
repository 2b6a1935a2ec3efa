"""The kit finds fault: rules and adapters that are wrong in known ways must fail."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from types import ModuleType

import pytest
from rapport_testing import FakeClock, assert_plugin_conforms, contact, event
from rapport_testing.runner import RuleRunner, TraitRunner

pytest_plugins = ("pytester",)

SOURCE = """
from datetime import timedelta
from rapport_sdk import *
from sqlalchemy import case, func, literal, literal_column, select

DAY = timedelta(days=1)

def right(ctx, params):
    orders = ctx.events("order.placed")
    recent = orders.where(orders.c.occurred_at > ctx.now - DAY)
    found = recent.per_contact(n=func.count(), oldest=func.min(orders.c.occurred_at))
    return Timed(func.coalesce(found.n, 0), found.oldest + DAY)

def late(ctx, params):
    answer = right(ctx, params)
    return Timed(answer.value, answer.next_change + DAY)

def never(ctx, params):
    return Timed(right(ctx, params).value, None)

def crowd(ctx, params):
    return func.count().over()

def in_python(ctx, params, profiles):
    answers = []
    for profile in profiles:
        recent = [e.occurred_at for e in profile.events("order.placed") if e.occurred_at > ctx.now - DAY]
        answers.append(Timed(len(recent), min(recent) + DAY if recent else None))
    return answers

def off_by_one(ctx, params, profiles):
    return [Timed(a.value + 1, a.next_change) for a in in_python(ctx, params, profiles)]

def hasty(ctx, params, profiles):
    return [Timed(a.value, a.next_change and a.next_change - timedelta(microseconds=1))
            for a in in_python(ctx, params, profiles)]

def unstable(ctx):
    return {"kit_x": func.row_number().over()}

@hookimpl
def rapport_segment_rules():
    forms = {
        "agree": (right, in_python), "differ": (right, off_by_one), "hasty": (right, hasty),
        "late": (late, None), "never": (never, None), "crowd": (crowd, None),
    }
    return [SegmentRule(f"kit.{name}", "int", value=sql, matches=python, events=("order.placed",), doc="d")
            for name, (sql, python) in forms.items()]

def bought_in_sql(name):
    def value(ctx):
        orders = ctx.events("order.placed")
        total = orders.per_contact(n=func.count(), spent=func.sum(orders.c.amount))
        return {f"kit_{name}_orders": total.n, f"kit_{name}_spent": total.spent}
    return value

def bought_in_python(name, error):
    def one(orders):
        spent = sum(int(e.amount) for e in orders)
        return {f"kit_{name}_orders": len(orders) + error, f"kit_{name}_spent": spent} if orders else None
    return lambda ctx, profiles: [one(profile.events("order.placed")) for profile in profiles]

def crowd_in_python(ctx, profiles):
    return [{"kit_crowd": len(profiles)} for _ in profiles]

@hookimpl
def rapport_traits():
    forms = [
        Trait(f"kit.{name}", {f"kit_{name}_orders": "int", f"kit_{name}_spent": "double"},
              value=bought_in_sql(name), compute=bought_in_python(name, error), events=("order.placed",), doc="d")
        for name, error in (("same", 0), ("other", 1))
    ]
    return [
        *forms,
        Trait("kit.unstable", {"kit_x": "int"}, unstable, timedelta(hours=1), doc="d"),
        Trait("kit.crowding", {"kit_crowd": "int"}, compute=crowd_in_python, doc="d"),
    ]
"""


@pytest.fixture(scope="module")
def kit_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kit")
    (folder / "plugin_of_the_kit.py").write_text(SOURCE)
    return folder


@pytest.fixture
def plugin_modules(kit_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, str]:
    monkeypatch.syspath_prepend(str(kit_folder))
    return {"kit": "plugin_of_the_kit"}


def run(rule_runner: RuleRunner, clock: FakeClock, name: str) -> list[object]:
    hour = timedelta(hours=1)
    contacts = [
        contact(event("order.placed", clock.now - hour), event("order.placed", clock.now - 2 * hour)),
        contact(event("order.placed", clock.now + hour)),
        contact(),
    ]
    return list(rule_runner(name, contacts))


def test_a_right_rule_passes(rule_runner: RuleRunner, fake_clock: FakeClock) -> None:
    assert run(rule_runner, fake_clock, "kit.agree") == [2, 0, 0]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("kit.differ", "SQL and Python disagree on contact .*: 2 and 3"),
        ("kit.hasty", "SQL and Python disagree on when contact"),
        ("kit.late", "next_change of contact .* comes too late"),
        ("kit.never", "next_change of contact .* comes too late"),
        ("kit.crowd", "SQL over everyone and over one contact alone disagree"),
        ("kit.nothing", "no such object"),
    ],
)
def test_a_wrong_rule_is_found_out(
    rule_runner: RuleRunner, fake_clock: FakeClock, name: str, problem: str
) -> None:
    with pytest.raises(AssertionError, match=problem):
        run(rule_runner, fake_clock, name)


def test_an_unstable_trait_is_found_out(trait_runner: TraitRunner) -> None:
    with pytest.raises(AssertionError, match="depend on the order"):
        trait_runner("kit.unstable", [contact() for _ in range(20)])


def test_a_trait_of_two_forms_that_agree_passes(trait_runner: TraitRunner, fake_clock: FakeClock) -> None:
    hour = timedelta(hours=1)
    buyer = contact(
        event("order.placed", fake_clock.now - hour, 3), event("order.placed", fake_clock.now - 2 * hour, 4)
    )
    later = contact(event("order.placed", fake_clock.now + hour, 5))
    unknown = {"kit_same_orders": None, "kit_same_spent": None}
    found = trait_runner("kit.same", [buyer, later, contact()])
    assert found == [{"kit_same_orders": 2, "kit_same_spent": 7.0}, unknown, unknown]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("kit.other", "SQL and Python disagree on kit_other_orders of contact .*: 1 and 2"),
        (
            "kit.crowding",
            "Python over everyone and over one contact alone disagree on kit_crowd of .*: 2 and 1",
        ),
        ("kit.nothing", "no such object"),
    ],
)
def test_a_wrong_trait_is_found_out(
    trait_runner: TraitRunner, fake_clock: FakeClock, name: str, problem: str
) -> None:
    with pytest.raises(AssertionError, match=problem):
        trait_runner(name, [contact(event("order.placed", fake_clock.now, 1)), contact()])


def test_conformance_tells_everything(kit_folder: Path) -> None:
    plugin = ModuleType("wrong")
    exec(
        "from rapport_sdk import SegmentRule, hookimpl\n"
        "@hookimpl\ndef rapport_segment_rules():\n    return [SegmentRule('other.x', 'money')]",
        plugin.__dict__,
    )
    with pytest.raises(AssertionError, match=r"outside of its plugin.*'money'.*give value"):
        assert_plugin_conforms(plugin, "wrong")


def test_fake_clock() -> None:
    clock = FakeClock()
    before = clock.now
    assert clock.advance(timedelta(hours=2)) == before + timedelta(hours=2) == clock.now


ADAPTERS: Mapping[str, tuple[Callable[[str], str], str]] = {
    "loses the order": (
        lambda source: source.replace("for m in batch]", "for m in reversed(batch)]"),
        "test_a_refused_message_does_not_change_the_others",
    ),
    "says accepted too early": (
        lambda source: source.replace("Outcome.UNKNOWN", "Outcome.ACCEPTED"),
        "test_connection_lost_after_handing_over_is_unknown",
    ),
    "takes a refusal for a breakdown": (
        lambda source: source.replace("Outcome.PERMANENT if", "Outcome.TEMPORARY if"),
        "test_a_refused_message_does_not_change_the_others",
    ),
    "lets headers be smuggled": (
        lambda source: source.replace("policy.SMTP", "policy.compat32").replace("EmailMessage(", "Message("),
        "test_no_field_can_smuggle_a_header",
    ),
}
ADAPTER = """
import smtplib
from email import policy
from email.message import EmailMessage, Message
from rapport_sdk import *

class Adapter:
    def __init__(self, settings):
        self.port = settings["port"]

    def send(self, batch, ctx):
        return [self.one(m) for m in batch]

    def one(self, m):
        try:
            server = smtplib.SMTP("127.0.0.1", self.port, "localhost", timeout=10)
        except OSError as error:
            return SendResult(Outcome.TEMPORARY, reason=str(error))
        try:
            mail = EmailMessage(policy.SMTP)
            mail["From"], mail["To"], mail["Subject"] = m.from_address, m.to, m.subject
            mail["Message-ID"] = f"<{m.message_id}@x>"
            for name, value in m.headers.items():
                mail[name] = value
            if isinstance(mail, EmailMessage):
                mail.set_content(m.text)
            else:
                mail.set_payload(m.text, "utf-8")
            server.ehlo()
            for code, reply in (server.mail(m.from_address), server.rcpt(m.to)):
                if code >= 400:
                    outcome = Outcome.PERMANENT if code >= 500 else Outcome.TEMPORARY
                    return SendResult(outcome, reason=str(reply))
        except (ValueError, UnicodeError) as error:
            return SendResult(Outcome.PERMANENT, reason=str(error))
        except (OSError, smtplib.SMTPException) as error:
            return SendResult(Outcome.TEMPORARY, reason=str(error))
        try:
            code, reply = server.data(mail.as_bytes())
        except (OSError, smtplib.SMTPException) as error:
            return SendResult(Outcome.UNKNOWN, reason="lost")
        return SendResult(Outcome.ACCEPTED, m.message_id)

    def parse_callback(self, request, ctx):
        return []

    def close(self):
        pass

@hookimpl
def rapport_settings():
    return [Setting("port", int, doc="d")]

@hookimpl
def rapport_channels():
    return [Channel("slow.mail", Capabilities("email"), Adapter, doc="d")]
"""
CONTRACT = """
import pytest
from rapport_testing import ChannelContract, SmtpServer
from services.kit.plugins import PluginManager, module_plugins

class TestAdapter(ChannelContract):
    @pytest.fixture
    def channel_name(self):
        return "slow.mail"

    @pytest.fixture
    def channel_server(self):
        with SmtpServer() as server:
            yield server

    @pytest.fixture
    def channel_manager(self, channel_server):
        environment = {"RAPPORT_PLUGIN_SLOW_PORT": str(channel_server.port)}
        manager = PluginManager(environment=environment, sources=module_plugins({"slow": "slow_adapter"}))
        manager.load()
        return manager
"""


@pytest.fixture(autouse=True)
def server_is_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let runs of pytest in other folders find the server's packages, installed or not."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))


@pytest.mark.parametrize("wrong", ADAPTERS)
def test_the_channel_contract_finds_a_wrong_adapter(pytester: pytest.Pytester, wrong: str) -> None:
    spoil, caught_by = ADAPTERS[wrong]
    spoilt = spoil(ADAPTER)
    assert spoilt != ADAPTER
    pytester.makepyfile(slow_adapter=spoilt)
    pytester.makepyfile(test_contract=CONTRACT)
    result = pytester.runpytest_subprocess("-q", "-k", caught_by, f"--rootdir={pytester.path}")
    assert any(caught_by in line for line in result.outlines if line.startswith("FAILED")), result.outlines[
        -5:
    ]


def test_the_channel_contract_passes_a_right_adapter(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(slow_adapter=ADAPTER)
    pytester.makepyfile(test_contract=CONTRACT)
    result = pytester.runpytest_subprocess("-q", "-p", "no:cacheprovider", f"--rootdir={pytester.path}")
    assert result.ret == 0, result.outlines[-30:]
