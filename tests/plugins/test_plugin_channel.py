"""An open channel gives each message one outcome, whatever its adapter does."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from rapport_sdk import CallbackRequest, OutboundMessage, Outcome

from services.kit.plugins import OpenChannel, PluginError, PluginManager, PluginSource, PluginUnavailable
from tests.plugins.plugin_sources import load_source

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SOURCE = """
class Adapter:
    def __init__(self, settings):
        {opens}

    def send(self, batch, ctx):
        {sends}

    def parse_callback(self, request, ctx):
        {parses}

    def close(self):
        {closes}

@hookimpl
def rapport_channels():
    return [Channel("test.one", Capabilities("email", max_batch=2), Adapter, doc="test")]
"""
ACCEPT = "return [SendResult(Outcome.ACCEPTED, m.message_id) for m in batch]"


def manager(folder: Path, **code: str) -> PluginManager:
    given = {"opens": "pass", "sends": ACCEPT, "parses": "return []", "closes": "pass", **code}
    text = SOURCE.format(**given)
    made = PluginManager(sources=[PluginSource("test", lambda: load_source(folder, text))])
    made.load()
    return made


def opened(folder: Path, **code: str) -> OpenChannel:
    return manager(folder, **code).open_channel("test.one")


def messages(count: int) -> list[OutboundMessage]:
    return [OutboundMessage(f"m{number}", "a@test.test", "Hello") for number in range(count)]


def test_batches_are_cut_to_what_the_channel_takes(tmp_path: Path) -> None:
    channel = opened(tmp_path, sends=f"assert len(batch) <= 2; {ACCEPT}")
    results = channel.send(messages(5), now=NOW)
    assert [result.provider_id for result in results] == ["m0", "m1", "m2", "m3", "m4"]


@pytest.mark.parametrize(
    ("sends", "reason"),
    [
        ("raise OSError('gone')", "send raised OSError: gone"),
        ("sys.exit(1)", "send raised SystemExit"),
        ("return []", "answered 0 results for 1 messages"),
        ("return None", "send raised TypeError"),
        ("return [True for m in batch]", "answered bool where SendResult"),
        ("return [SendResult('accepted') for m in batch]", "where SendResult with an Outcome belongs"),
    ],
)
def test_what_an_adapter_does_not_say_is_unknown(tmp_path: Path, sends: str, reason: str) -> None:
    (result,) = opened(tmp_path, sends=sends).send(messages(1), now=NOW)
    assert result.outcome is Outcome.UNKNOWN
    assert reason in result.reason


def test_only_the_failing_part_is_unknown(tmp_path: Path) -> None:
    channel = opened(tmp_path, sends=f"assert batch[0].message_id != 'm2'; {ACCEPT}")
    outcomes = [result.outcome for result in channel.send(messages(5), now=NOW)]
    assert outcomes == ["accepted", "accepted", "unknown", "unknown", "accepted"]


def test_after_three_failures_nothing_is_handed_over(tmp_path: Path) -> None:
    channel = opened(tmp_path, sends="raise OSError('gone')")
    outcomes = [channel.send(messages(1), now=NOW)[0].outcome for _ in range(4)]
    assert outcomes == ["unknown", "unknown", "unknown", "temporary"]


def test_an_interrupt_is_not_the_adapters_fault(tmp_path: Path) -> None:
    channel = opened(tmp_path, sends="raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        channel.send(messages(1), now=NOW)


def test_open_and_close_may_fail(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=r"test.one: open raised ValueError: no host"):
        opened(tmp_path, opens="raise ValueError('no host')")
    opened(tmp_path, closes="raise ValueError").close()


def test_unknown_channel(tmp_path: Path) -> None:
    with pytest.raises(PluginUnavailable, match=r"registers test\.one"):
        manager(tmp_path).open_channel("test.two")


def test_callbacks(tmp_path: Path) -> None:
    request: Any = CallbackRequest(b"m7")
    report = "DeliveryReport(request.body.decode(), DeliveryStatus.DELIVERED)"
    reports = opened(tmp_path, parses=f"return [{report}]").parse_callback(request, now=NOW)
    assert [(item.message_id, item.status) for item in reports] == [("m7", "delivered")]
    for parses, problem in {
        "raise ValueError('junk')": "ValueError: junk",
        "return [1]": "answered int",
    }.items():
        with pytest.raises(PluginError, match=problem):
            opened(tmp_path, parses=parses).parse_callback(request, now=NOW)
