"""`rapport plugins`: which plugins are installed, what they offer, and whether they are sound."""

from __future__ import annotations

import os
from collections.abc import Sequence

import typer
from rich.table import Table
from rich.text import Text

from services.cli.console import console, errors
from services.cli.words import counted
from services.kit.config import Settings, load_settings
from services.kit.plugins import PluginHost
from services.kit.plugins.catalog import Catalog, PluginRecord
from services.kit.plugins.discovery import is_listed

app = typer.Typer(help="See and check the plugins.", no_args_is_help=True)
_STYLE = {"ok": "green", "quarantined": "red", "not_allowed": "yellow"}


def _catalog(settings: Settings) -> Catalog:
    # None is required here: a process would refuse to start without it, but what is wrong is to be shown.
    host = PluginHost(allowed=settings.plugins_allow, environment=dict(os.environ))
    try:
        return host.catalog()
    finally:
        host.close()


def _missing(plugins: Sequence[PluginRecord], required: Sequence[str]) -> list[str]:
    return [name for name in required if not any(is_listed(plugin, [name]) for plugin in plugins)]


@app.command("list")
def list_plugins() -> None:
    """List all installed plugins with their objects, state and settings."""
    settings = load_settings()
    found = _catalog(settings).plugins
    table = Table("plugin", "version", "state", "offers")
    for plugin in found:
        state = Text(plugin.state, style=_STYLE[plugin.state])
        if plugin.reason:
            state.append(f"\n{plugin.reason}", style="default")
        offers = [f"{item.kind} {item.name}" for item in plugin.objects]
        offers += [f"hook {hook}" for hook in plugin.hooks]
        table.add_row(
            Text(plugin.name),
            Text(plugin.version),
            state,
            Text("\n".join(offers)),
        )
    for name in _missing(found, settings.plugins_required):
        table.add_row(Text(name), "", Text("not installed, but required", style="red"), "")
    console.print(table)
    settings_of = [setting for plugin in found for setting in plugin.settings]
    if settings_of:
        console.print("settings, with the values in force here:")
    for setting in settings_of:
        # Lines of text: a table would cut the names that are to be copied.
        line = f"  {setting.variable}={setting.value}  # {setting.doc}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)


@app.command("check")
def check_plugins() -> None:
    """Load every allowed plugin and validate what it offers; exit status 1 when one is not sound."""
    settings = load_settings()
    found = _catalog(settings).plugins
    problems = _missing(found, settings.plugins_required)
    for name in problems:
        _complain(f"{name}: required by RAPPORT_PLUGINS_REQUIRED, but no such plugin is installed")
    for plugin in found:
        for warning in plugin.warnings:
            _complain(f"{plugin.name}: warning: {warning}")
        required = is_listed(plugin, settings.plugins_required)
        if plugin.state == "quarantined" or (required and plugin.state != "ok"):
            problems.append(plugin.name)
            _complain(f"{plugin.name}: {plugin.state}: {plugin.reason or 'not in RAPPORT_PLUGINS_ALLOW'}")
        elif plugin.state == "ok":
            console.print(
                f"{plugin.name} {plugin.version}: ok, {counted(len(plugin.objects), 'object')}",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )
    raise typer.Exit(1 if problems else 0)


def _complain(text: str) -> None:
    errors.print(text, markup=False, highlight=False, soft_wrap=True)
