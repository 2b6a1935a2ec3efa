"""Load one plugin: import it, read its settings, collect its objects, and find fault with them."""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pluggy
from rapport_sdk import Channel, SegmentRule, Setting, Settings, Trait, hookspecs
from rapport_sdk.check import DIRECT_HOOKS, HOOKS, hook_problems, object_problems
from rapport_sdk.names import plugin_name_problem
from rapport_sdk.settings import read_settings

from services.kit.plugins.catalog import PluginRecord, SettingRecord, describe
from services.kit.plugins.discovery import PluginSource

# A plugin may raise anything at all, and `sys.exit()` in one must not end the host.
PLUGIN_FAULTS = (Exception, SystemExit)
_CHANNELS = "rapport_channels"
# The packages between whoever asks a plugin and the plugin itself; the plugin host's process begins in __main__.
_CALLERS = frozenset(
    {"__main__", "services", "rapport_sdk", "pluggy", "importlib", "threading", "concurrent"}
)


class LoadFailure(Exception):
    """Say why a plugin was quarantined."""


@dataclass(frozen=True)
class LoadedPlugin:
    """Hold a plugin that is fit: its settings and its objects by name."""

    source: PluginSource
    settings: Settings
    declared: tuple[Setting, ...]
    objects: Mapping[str, SegmentRule | Trait | Channel]
    hooks: tuple[str, ...] = ()
    warnings: tuple[str, ...] = field(default=())

    def record(self, required: bool) -> PluginRecord:
        """Return what the catalog shows."""
        name = self.source.name
        return PluginRecord(
            name=name,
            distribution=self.source.distribution,
            version=self.source.version,
            required=required,
            warnings=self.warnings,
            hooks=self.hooks,
            settings=tuple(
                SettingRecord(
                    setting.variable(name),
                    setting.type.__name__,
                    _shown(setting, self.settings[setting.name]),
                    setting.doc,
                )
                for setting in self.declared
            ),
            objects=tuple(describe(name, item) for item in self.objects.values()),
        )


def _shown(setting: Setting, value: Any) -> str:
    """Return a value as its variable takes it, empty when there is none, and *** for a secret that is set."""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return "***" if setting.secret and text else text


def _where(error: BaseException, importing: bool) -> str:
    """Return file and line: the innermost in the package that was called first, which is the plugin's own.

    importing: what comes before the body of the first module is whoever began the import.
    """
    walked = list(traceback.walk_tb(error.__traceback__))
    frames = [
        (str(frame.f_globals.get("__name__", "")).partition(".")[0], frame.f_code.co_filename, line)
        for frame, line in walked
    ]
    bodies = (n for n, (frame, _) in enumerate(walked) if frame.f_code.co_name == "<module>")
    begin = next(bodies, 0) if importing else 0
    own = next((package for package, *_ in frames[begin:] if package not in _CALLERS), "")
    found = next((item for item in reversed(frames) if item[0] == own), frames[-1] if frames else None)
    return f" ({'/'.join(found[1].split('/')[-2:])}:{found[2]})" if found else ""


def describe_fault(error: BaseException, *, importing: bool = False) -> str:
    """Say what was raised and where in the plugin, in one line."""
    where = _where(error, importing)
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:500]}{where}" if text else f"{type(error).__name__}{where}"


def new_hook_manager() -> pluggy.PluginManager:
    """Return an empty pluggy manager that knows the hooks."""
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    return manager


def load_plugin(
    source: PluginSource,
    hooks: pluggy.PluginManager,
    environment: Mapping[str, str],
    other_plugins: Iterable[str],
) -> LoadedPlugin:
    """Load one plugin and register it with pluggy; raises LoadFailure and leaves nothing registered
    otherwise.

    other_plugins: names of all plugins installed, to tell whose an environment variable is.
    """
    if problem := plugin_name_problem(source.name):
        raise LoadFailure(problem)
    try:
        plugin = source.load()
    except PLUGIN_FAULTS as error:
        raise LoadFailure(f"import failed: {describe_fault(error, importing=True)}") from error
    try:
        if problems := hook_problems(plugin):
            raise LoadFailure("; ".join(problems))
        hooks.register(plugin, name=source.name)
        hooks.check_pending()
        return _collect(source, plugin, environment, other_plugins)
    except LoadFailure:
        _unregister(hooks, source.name)
        raise
    except PLUGIN_FAULTS as error:
        _unregister(hooks, source.name)
        raise LoadFailure(describe_fault(error)) from error


def _unregister(hooks: pluggy.PluginManager, name: str) -> None:
    if hooks.has_plugin(name):
        hooks.unregister(name=name)


def _collect(
    source: PluginSource, plugin: Any, environment: Mapping[str, str], other_plugins: Iterable[str]
) -> LoadedPlugin:
    declared = tuple(_call(source.name, plugin, "rapport_settings"))
    try:
        settings = read_settings(source.name, declared, environment)
    except ValueError as error:
        raise LoadFailure(str(error)) from error
    objects = {}
    for hook in HOOKS:
        if hook != "rapport_settings":
            for item in _call(source.name, plugin, hook):
                if item.name in objects:
                    raise LoadFailure(f"{hook}: {item.name} is registered twice")
                objects[item.name] = _by_settings(source.name, item, settings) if hook == _CHANNELS else item
    return LoadedPlugin(
        source=source,
        settings=settings,
        declared=declared,
        objects=objects,
        hooks=tuple(hook for hook in DIRECT_HOOKS if hasattr(plugin, hook)),
        warnings=tuple(_stray_variables(source.name, declared, environment, other_plugins)),
    )


def _by_settings(name: str, channel: Channel, settings: Settings) -> Channel:
    """Return a channel with what it can do by its settings."""
    if channel.capabilities_of is None:
        return channel
    try:
        made = replace(channel, capabilities=channel.capabilities_of(settings))
    except PLUGIN_FAULTS as error:
        raise LoadFailure(f"{channel.name}: capabilities_of raised {describe_fault(error)}") from error
    if problems := object_problems(name, Channel, [made]):
        raise LoadFailure("; ".join(problems))
    return made


def _call(name: str, plugin: Any, hook: str) -> list[Any]:
    function = getattr(plugin, hook, None)
    if function is None:
        return []
    try:
        items = list(function())
    except PLUGIN_FAULTS as error:
        raise LoadFailure(f"{hook} raised {describe_fault(error)}") from error
    if problems := object_problems(name, HOOKS[hook], items):
        raise LoadFailure("; ".join(f"{hook}: {problem}" for problem in problems))
    return items


def _stray_variables(
    name: str, declared: tuple[Setting, ...], environment: Mapping[str, str], other_plugins: Iterable[str]
) -> Iterable[str]:
    """Name the variables that look like settings of the plugin and are none: most likely misspelt."""
    prefix = f"RAPPORT_PLUGIN_{name.upper()}_"
    longer = tuple(
        f"RAPPORT_PLUGIN_{other.upper()}_"
        for other in other_plugins
        if other != name and other.startswith(f"{name}_")
    )
    known = {setting.variable(name) for setting in declared}
    for variable in sorted(environment):
        if (
            variable.startswith(prefix)
            and variable not in known
            and not (longer and variable.startswith(longer))
        ):
            yield f"{variable} is set, but the plugin has no such setting"
