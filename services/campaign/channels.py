"""The channels that plugins offer, as the API knows them: plugin code runs in a child process, never here."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping

from services.kit.plugins import ChannelRecord, PluginError, PluginHost
from services.kit.runtime import Runtime

_hosts: dict[int, tuple[Runtime, PluginHost]] = {}
_lock = threading.Lock()


def known_channels(runtime: Runtime) -> Mapping[str, ChannelRecord]:
    """Return the channels by name; the first call of a process loads the plugins."""
    return _host(runtime).catalog().channels


def channel_problem(runtime: Runtime, name: str) -> str:
    """Return why a channel cannot be opened with the settings of this process; "" when it can."""
    try:
        return _host(runtime).channel_problem(name)
    except PluginError as error:
        return error.message


def provide(runtime: Runtime, host: PluginHost) -> None:
    """Make a plugin host the one that belongs to a runtime."""
    with _lock:
        _hosts[id(runtime)] = (runtime, host)


def release(runtime: Runtime) -> None:
    """End the plugin host of a runtime."""
    with _lock:
        found = _hosts.pop(id(runtime), None)
    if found is not None:
        found[1].close()


def _host(runtime: Runtime) -> PluginHost:
    with _lock:
        found = _hosts.get(id(runtime))
        if found is None or found[0] is not runtime:
            settings = runtime.settings
            host = PluginHost(
                allowed=settings.plugins_allow,
                required=settings.plugins_required,
                environment=dict(os.environ),
            )
            found = _hosts[id(runtime)] = (runtime, host)
        return found[1]
