"""`rapport campaigns report` and `hold-out`: what became of an audience, what experiments found, what it brought."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from google.protobuf.json_format import MessageToDict
from rapport_client import Rapport
from rapport_client.errors import NotFound

from services.cli.campaigns import drawing
from services.cli.connection import connect_here
from services.cli.console import console
from services.cli.segments.times import instant

app = typer.Typer()


@app.command("report")
def report(
    name: Annotated[str, typer.Argument(help="campaigns/… or journeys/…; an id alone is a campaign's")],
    as_json: Annotated[
        bool, typer.Option("--json", help="print the answers as JSON and nothing else")
    ] = False,
) -> None:
    """Draw the funnel of a campaign or journey, its experiments in words, and revenue beside cost."""
    origin = name if "/" in name else f"campaigns/{name}"
    with connect_here() as rapport:
        funnel = rapport.campaign.get_funnel(origin=origin)
        experiment = _experiment(rapport, origin)
        problems = _channel_problems(rapport) if funnel.waiting and not as_json else []
        journey = (
            rapport.campaign.get_journey_results(name=origin) if origin.startswith("journeys/") else None
        )
    if as_json:
        answer = {
            "funnel": _plain(funnel),
            "experiment": None if experiment is None else _plain(experiment),
            "journey": None if journey is None else _plain(journey),
        }
        typer.echo(json.dumps(answer, ensure_ascii=False, indent=2))
        return
    console.print(drawing.funnel(funnel))
    for problem in problems:
        console.print(problem, style="yellow", markup=False, highlight=False, soft_wrap=True)
    if funnel.money:
        console.print(drawing.money(funnel))
    if experiment is not None:
        console.print(drawing.experiment(experiment))
    if journey is not None and (journey.splits or journey.HasField("hold_out")):
        console.print(drawing.journey(journey))


@app.command("hold-out")
def hold_out(
    start: Annotated[
        str, typer.Option("--from", help="when the period begins (default: 30 days before its end)")
    ] = "",
    end: Annotated[str, typer.Option("--to", help="when it ends (default: now)")] = "",
    as_json: Annotated[
        bool, typer.Option("--json", help="print the answer as JSON and nothing else")
    ] = False,
) -> None:
    """Compare what those of the global hold-out bought in a period with what all others did."""
    with connect_here() as rapport:
        found = rapport.campaign.get_hold_out_results(
            start_time=instant(start, "--from"), end_time=instant(end, "--to")
        )
    if as_json:
        typer.echo(json.dumps(_plain(found), ensure_ascii=False, indent=2))
        return
    console.print(drawing.hold_out(found))


def _experiment(rapport: Rapport, origin: str) -> Any:
    if not origin.startswith("campaigns/"):
        return None
    try:
        return rapport.campaign.get_experiment_results(campaign=origin)
    except NotFound as error:
        if error.reason != "NO_EXPERIMENT":
            raise
        return None


def _channel_problems(rapport: Rapport) -> list[str]:
    """Return why messages may have to wait: what the channels last failed with, each said once."""
    found: dict[str, None] = {}
    for state in rapport.campaign.list_channel_states().states:
        if state.problem:
            where = f" ({state.domain})" if state.domain else ""
            found[f"{state.channel}{where} does not take messages now: {state.problem}"] = None
    return list(found)


def _plain(message: Any) -> dict[str, Any]:
    found: dict[str, Any] = MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return found
