"""Plugins, seen from the core: found, loaded, asked in expendable processes, never trusted."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from services.kit.plugins.answers import Answer, TraitAnswer
from services.kit.plugins.catalog import (
    Catalog,
    ChannelRecord,
    ParameterRecord,
    PluginRecord,
    RuleRecord,
    SettingRecord,
    TraitRecord,
    catalog_from_json,
    object_from_json,
    to_json,
)
from services.kit.plugins.channels import OpenChannel
from services.kit.plugins.compiled import CompiledSelect
from services.kit.plugins.discovery import PluginSource, installed_plugins, module_plugins
from services.kit.plugins.errors import (
    PluginBusy,
    PluginError,
    PluginTimeout,
    PluginUnavailable,
    RequiredPluginError,
)
from services.kit.plugins.host import PluginHost
from services.kit.plugins.manager import PluginManager

if TYPE_CHECKING:
    from services.kit.plugins.sql import (
        PLUGIN_ROLE,
        publish_views,
        read_profiles,
        run_plugin_select,
        run_trait_select,
    )
    from services.kit.plugins.traits import run_trait_batches

__all__ = [
    "PLUGIN_ROLE",
    "Answer",
    "Catalog",
    "ChannelRecord",
    "CompiledSelect",
    "OpenChannel",
    "ParameterRecord",
    "PluginBusy",
    "PluginError",
    "PluginHost",
    "PluginManager",
    "PluginRecord",
    "PluginSource",
    "PluginTimeout",
    "PluginUnavailable",
    "RequiredPluginError",
    "RuleRecord",
    "SettingRecord",
    "TraitAnswer",
    "TraitRecord",
    "catalog_from_json",
    "installed_plugins",
    "module_plugins",
    "object_from_json",
    "publish_views",
    "read_profiles",
    "run_plugin_select",
    "run_trait_batches",
    "run_trait_select",
    "to_json",
]

_WITH_DATABASE = {
    "PLUGIN_ROLE": "sql",
    "publish_views": "sql",
    "read_profiles": "sql",
    "run_plugin_select": "sql",
    "run_trait_batches": "traits",
    "run_trait_select": "sql",
}
"""What needs SQLAlchemy, and its module. A plugin host, whose main module is in this package, has no use for it."""


def __getattr__(name: str) -> Any:
    if name not in _WITH_DATABASE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WITH_DATABASE[name]}"), name)
