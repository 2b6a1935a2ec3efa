"""Find the plugins that are installed."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Protocol

from rapport_sdk.hookspecs import ENTRY_POINT_GROUP


@dataclass(frozen=True)
class PluginSource:
    """Name a plugin and how to import it; nothing of it has run yet."""

    name: str
    load: Callable[[], Any]
    distribution: str = ""
    version: str = ""


def installed_plugins() -> list[PluginSource]:
    """Return the plugins of all installed distributions, by name."""
    return [
        _from_entry_point(point)
        for point in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda p: p.name)
    ]


def _from_entry_point(point: EntryPoint) -> PluginSource:
    distribution = point.dist
    if distribution is None:
        return PluginSource(point.name, point.load)
    return PluginSource(point.name, point.load, distribution.name, distribution.version)


def module_plugins(modules: Mapping[str, str]) -> list[PluginSource]:
    """Return plugins that are not installed: importable module by plugin name, as tests use."""
    return [
        PluginSource(name, lambda module=module: importlib.import_module(module), module, "0")  # type: ignore[misc]
        for name, module in sorted(modules.items())
    ]


class Named(Protocol):
    """What a list of plugins may mean: by the name of the plugin or of its distribution."""

    @property
    def name(self) -> str:
        """The plugin's name."""

    @property
    def distribution(self) -> str:
        """The name of its distribution, or empty."""


def is_listed(source: Named, names: Iterable[str]) -> bool:
    """Tell whether a plugin is in a list of plugin or distribution names."""
    wanted = {_normal(name) for name in names}
    return _normal(source.name) in wanted or bool(
        source.distribution and _normal(source.distribution) in wanted
    )


def is_allowed(source: PluginSource, allowed: Collection[str]) -> bool:
    """Tell whether a plugin may load; an empty list allows all that are installed."""
    return not allowed or is_listed(source, allowed)


def unmatched(names: Iterable[str], sources: Collection[Named]) -> list[str]:
    """Return those names of a list that mean no plugin at all; most likely they are misspelt."""
    return [name for name in names if not any(is_listed(source, [name]) for source in sources)]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
