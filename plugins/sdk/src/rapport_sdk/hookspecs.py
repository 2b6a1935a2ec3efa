"""The hooks. A plugin is a module (or object) with functions of these names, marked with `@hookimpl`.

Its name is that of its entry point in the group `rapport`. Each implementation is called by itself: one that
raises quarantines its own plugin and no other.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import pluggy

from rapport_sdk.channels import Channel, OutboundMessage, Recipient, Veto
from rapport_sdk.rules import SegmentRule
from rapport_sdk.settings import Setting, Settings
from rapport_sdk.traits import Trait

PROJECT: Final = "rapport"
ENTRY_POINT_GROUP: Final = "rapport"
HOOK_PREFIX: Final = "rapport_"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def rapport_settings() -> Iterable[Setting]:  # type: ignore[empty-body]
    """Return the plugin's settings; their values are checked before any other hook of it is called."""


@hookspec
def rapport_segment_rules() -> Iterable[SegmentRule]:  # type: ignore[empty-body]
    """Return the functions that the plugin adds to the rule language."""


@hookspec
def rapport_traits() -> Iterable[Trait]:  # type: ignore[empty-body]
    """Return the computed values that the plugin adds to profiles."""


@hookspec
def rapport_channels() -> Iterable[Channel]:  # type: ignore[empty-body]
    """Return the ways to send that the plugin adds."""


@hookspec(firstresult=True)
def rapport_send_veto(message: OutboundMessage, recipient: Recipient, settings: Settings) -> Veto | None:
    """Return a Veto to stop one message just before it is sent, or None to let it pass.

    settings: the plugin's own. Called for every message, after consent and suppression: be quick, touch no
    network. The first Veto wins. What is raised stops the message too, for a guard that fails must not wave
    things through.
    """
