"""Test plugins of Rapport; the fixtures come by themselves, see rapport_testing.plugin."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rapport_testing.channels import Behaviour, ChannelContract, ChannelServer, Received
    from rapport_testing.clock import FakeClock
    from rapport_testing.conform import assert_plugin_conforms
    from rapport_testing.contacts import contact, event
    from rapport_testing.http import HttpServer
    from rapport_testing.smtp import SmtpServer

__all__ = [
    "Behaviour",
    "ChannelContract",
    "ChannelServer",
    "FakeClock",
    "HttpServer",
    "Received",
    "SmtpServer",
    "assert_plugin_conforms",
    "contact",
    "event",
]

_HOMES = {
    "Behaviour": "channels",
    "ChannelContract": "channels",
    "ChannelServer": "channels",
    "FakeClock": "clock",
    "HttpServer": "http",
    "Received": "channels",
    "SmtpServer": "smtp",
    "assert_plugin_conforms": "conform",
    "contact": "contacts",
    "event": "contacts",
}


def __getattr__(name: str) -> Any:
    # pytest imports this package in every run; what needs the server is imported by those who use it.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
