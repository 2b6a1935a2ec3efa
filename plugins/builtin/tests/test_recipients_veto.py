"""The veto on domains that cannot exist."""

from __future__ import annotations

import pytest
from rapport_sdk import OutboundMessage, Recipient, Veto

from services.kit.plugins import PluginManager


def ask(to: str, **environment: str) -> Veto | None:
    manager = PluginManager(["recipients"], environment=environment)
    manager.load()
    return manager.send_veto(OutboundMessage("m1", to, "Hello"), Recipient("c1"))


@pytest.mark.parametrize(
    "to",
    ["a@example.com", "a@EXAMPLE.org.", "a@mail.example.net", "a@x.invalid", "a@localhost", "a@b@example"],
)
def test_refused(to: str) -> None:
    veto = ask(to)
    assert veto is not None
    assert "no mail can be delivered at" in veto.reason


@pytest.mark.parametrize(
    "to", ["a@gmail.com", "a@myexample.com", "c1@example.test", "+84912345678", "a@example.co"]
)
def test_let_pass(to: str) -> None:
    assert ask(to) is None


def test_list_is_a_setting() -> None:
    variable = "RAPPORT_PLUGIN_RECIPIENTS_REFUSED_DOMAINS"
    assert ask("a@spam.trap", **{variable: "trap, other"}) is not None
    assert ask("a@example.com", **{variable: "none"}) is None
