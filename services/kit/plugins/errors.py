"""Errors of plugins; each names the plugin, its object and what went wrong."""

from __future__ import annotations

from services.kit.errors import FailedPrecondition


class PluginError(FailedPrecondition):
    """Report that a plugin did not answer. It says nothing about the contact: never read it as false.

    plugin and object name the culprit, problem says what happened.
    """

    default_reason = "PLUGIN_FAILED"

    def __init__(self, plugin: str, object_name: str, problem: str) -> None:
        where = object_name or f"plugin {plugin}"
        super().__init__(f"{where}: {problem}", metadata={"plugin": plugin, "object": object_name})
        self.plugin = plugin
        self.object = object_name
        self.problem = problem


class PluginTimeout(PluginError):
    """Report that a plugin ran over its deadline and was stopped."""

    default_reason = "PLUGIN_TIMEOUT"


class PluginUnavailable(PluginError):
    """Report that a plugin cannot be asked: not installed, not allowed, quarantined, or failing too often."""

    default_reason = "PLUGIN_UNAVAILABLE"


class PluginBusy(PluginUnavailable):
    """Report that every plugin host process was busy for the whole deadline; no plugin is to blame."""

    default_reason = "PLUGIN_HOST_BUSY"


class RequiredPluginError(FailedPrecondition):
    """Refuse to start without a plugin that the configuration requires."""

    default_reason = "REQUIRED_PLUGIN"
