"""`rapport plugins`: which plugins are installed, what they offer, and whether they are sound."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence
from difflib import get_close_matches

import typer
from rapport.segmentation.v1 import segmentation_pb2 as pb
from rapport_client.errors import RapportError as ClientError
from rich.table import Table
from rich.text import Text

from services.cli.connection import connect_here
from services.cli.console import console, errors
from services.cli.trials import try_out
from services.cli.words import counted
from services.kit.config import Settings, load_settings
from services.kit.errors import InvalidArgument
from services.kit.plugins import PluginHost
from services.kit.plugins.catalog import Catalog, ObjectRecord, PluginRecord, RuleRecord, TraitRecord
from services.kit.plugins.discovery import is_listed, unmatched

app = typer.Typer(help="See and check the plugins.", no_args_is_help=True)
_ANSWER_SECONDS = 5.0
_STYLE = {"ok": "green", "quarantined": "red", "not_allowed": "yellow"}


def _host(settings: Settings) -> PluginHost:
    # None is required here: a process would refuse to start without it, but what is wrong is to be shown.
    return PluginHost(allowed=settings.plugins_allow, environment=dict(os.environ))


def _catalog(settings: Settings) -> Catalog:
    with _host(settings) as host:
        return host.catalog()


def _hint(name: str, plugins: Sequence[PluginRecord]) -> str:
    close = get_close_matches(name, [plugin.name for plugin in plugins], 1)
    return f": did you mean {close[0]}?" if close else ""


def _schema() -> pb.GetRuleSchemaResponse | None:
    """Return what rules may name on the running stack; None when there is none to ask."""
    try:
        with connect_here() as rapport:
            schema: pb.GetRuleSchemaResponse = rapport.segmentation.get_rule_schema(_timeout=_ANSWER_SECONDS)
            return schema
    except (ClientError, InvalidArgument):
        return None


def _doubts(plugins: Sequence[PluginRecord]) -> Iterator[str]:
    """Yield a warning for each event type that is read and not known, and for each trait whose refresh failed."""
    readers = [
        item for plugin in plugins for item in plugin.objects if isinstance(item, (RuleRecord, TraitRecord))
    ]
    if not readers:
        return
    schema = _schema()
    yield from _doubtful_events(readers, schema)
    traits = {item.name for item in readers if isinstance(item, TraitRecord)}
    for problem in sorted({field.refresh_problem for field in schema.traits} if schema else ()):
        name, _, reason = problem.partition(": ")
        if name in traits:
            yield f"{name}: warning: its last refresh failed, and its values are those of before: {reason}"


def _doubtful_events(
    readers: Sequence[RuleRecord | TraitRecord], schema: pb.GetRuleSchemaResponse | None
) -> Iterator[str]:
    # It loads the rule engine, which the other commands need not.
    from services.segmentation.vocabulary import SHIPPED_EVENT_TYPES

    known = {kind.name for kind in SHIPPED_EVENT_TYPES}
    if schema:
        known |= {kind.type for kind in schema.event_types}
    where = "on the running stack" if schema else "without a running stack to ask"
    for item in readers:
        for event in item.events:
            if event not in known:
                close = get_close_matches(event, sorted(known), 1)
                hint = f": did you mean {close[0]}?" if close else ""
                yield f"{item.name}: warning: reads events {event!r}, and no such type is known {where}{hint}"


def _offer(item: ObjectRecord) -> str:
    """Name an object and the forms that it has, such as "rule loyalty.tier (SQL, Python)"."""
    name = f"{item.kind} {item.name}"
    if not isinstance(item, (RuleRecord, TraitRecord)):
        return name
    forms = {"SQL": item.has_sql, "Python": item.has_python}
    return f"{name} ({', '.join(form for form, there in forms.items() if there)})"


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
        offers = [_offer(item) for item in plugin.objects]
        offers += [f"hook {hook}" for hook in plugin.hooks]
        table.add_row(
            Text(plugin.name),
            Text(plugin.version),
            state,
            Text("\n".join(offers)),
        )
    for name in unmatched(settings.plugins_required, found):
        table.add_row(Text(name), "", Text("not installed, but required", style="red"), "")
    for name in unmatched(settings.plugins_allow, found):
        reason = f"not installed, but in RAPPORT_PLUGINS_ALLOW{_hint(name, found)}"
        table.add_row(Text(name), "", Text(reason, style="red"), "")
    console.print(table)
    settings_of = [setting for plugin in found for setting in plugin.settings]
    if settings_of:
        console.print("settings, with the values in force here:")
    for setting in settings_of:
        # Lines of text: a table would cut the names that are to be copied.
        value = shlex.quote(setting.value) if setting.value else ""
        line = f"  {setting.variable}={value}  # {'' if value else '(unset) '}{setting.doc}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)


@app.command("check")
def check_plugins() -> None:
    """Load every allowed plugin, validate what it offers and try it; exit status 1 when one is not sound.

    SQL of rules and traits is compiled and not run; their Python is asked about two made-up contacts without events.
    What fails for real contacts is shown by `rapport segments list`.
    """
    settings = load_settings()
    with _host(settings) as host:
        found = host.catalog().plugins
        trials = try_out(host, found)
    problems = unmatched(settings.plugins_required, found)
    for name in problems:
        _complain(f"{name}: required by RAPPORT_PLUGINS_REQUIRED, but no such plugin is installed")
    for name in unmatched(settings.plugins_allow, found):
        problems.append(name)
        _complain(f"{name}: in RAPPORT_PLUGINS_ALLOW, but no such plugin is installed{_hint(name, found)}")
    for plugin in found:
        for warning in plugin.warnings:
            _complain(f"{plugin.name}: warning: {warning}")
        required = is_listed(plugin, settings.plugins_required)
        if plugin.state == "quarantined" or (required and plugin.state != "ok"):
            problems.append(plugin.name)
            _complain(f"{plugin.name}: {plugin.state}: {plugin.reason or 'not in RAPPORT_PLUGINS_ALLOW'}")
        elif plugin.state == "ok":
            failed = [item.name for item in plugin.objects if item.name in trials.failed]
            problems += failed
            state = "fails" if failed else "ok"
            console.print(
                f"{plugin.name} {plugin.version}: {state}, {counted(len(plugin.objects), 'object')}",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )
            for item in plugin.objects:
                console.print(f"  {_offer(item)}", markup=False, highlight=False, soft_wrap=True)
            for name in failed:
                _complain(f"{name}: fails when it is tried: {trials.failed[name]}")
    if trials.untried:
        console.print(
            f"not tried, as they take arguments without choices: {', '.join(trials.untried)}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
    for warning in _doubts(found):
        _complain(warning)
    raise typer.Exit(1 if problems else 0)


def _complain(text: str) -> None:
    errors.print(text, markup=False, highlight=False, soft_wrap=True)
