"""`rapport plugins`: which plugins are installed, what they offer, and whether they are sound."""

from __future__ import annotations

import os

import typer
from rich.table import Table

from services.cli.console import console, errors
from services.kit.config import load_settings
from services.kit.plugins import PluginHost
from services.kit.plugins.catalog import Catalog

app = typer.Typer(help="See and check the plugins.", no_args_is_help=True)
_STYLE = {"ok": "green", "quarantined": "red", "not_allowed": "yellow"}


def _catalog() -> Catalog:
    settings = load_settings()
    host = PluginHost(
        allowed=settings.plugins_allow, required=settings.plugins_required, environment=dict(os.environ)
    )
    try:
        return host.catalog()
    finally:
        host.close()


@app.command("list")
def list_plugins() -> None:
    """List all installed plugins with their objects, state and settings."""
    table = Table("plugin", "version", "state", "offers", "settings")
    for plugin in _catalog().plugins:
        offers = [f"{item.kind} {item.name}" for item in plugin.objects] + [
            f"hook {hook}" for hook in plugin.hooks
        ]
        table.add_row(
            plugin.name,
            plugin.version,
            f"[{_STYLE[plugin.state]}]{plugin.state}[/]" + (f"\n{plugin.reason}" if plugin.reason else ""),
            "\n".join(offers),
            "\n".join(setting.variable for setting in plugin.settings),
        )
    console.print(table)


@app.command("check")
def check_plugins() -> None:
    """Load every allowed plugin and validate what it offers; exit status 1 when one is not sound."""
    problems = 0
    for plugin in _catalog().plugins:
        for warning in plugin.warnings:
            errors.print(f"{plugin.name}: warning: {warning}", markup=False, soft_wrap=True)
        if plugin.state == "quarantined" or (plugin.required and plugin.state != "ok"):
            problems += 1
            errors.print(f"{plugin.name}: {plugin.state}: {plugin.reason}", markup=False, soft_wrap=True)
        elif plugin.state == "ok":
            console.print(f"{plugin.name} {plugin.version}: ok, {len(plugin.objects)} objects", markup=False)
    raise typer.Exit(1 if problems else 0)
