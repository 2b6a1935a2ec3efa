"""`rapport campaigns report`: what became of an audience, what its experiment found, what it brought and cost."""

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

app = typer.Typer()


@app.command("report")
def report(
    name: Annotated[str, typer.Argument(help="campaigns/… or journeys/…; an id alone is a campaign's")],
    as_json: Annotated[
        bool, typer.Option("--json", help="print the answers as JSON and nothing else")
    ] = False,
) -> None:
    """Draw the funnel of a campaign or journey, its experiment in words, and revenue beside cost."""
    origin = name if "/" in name else f"campaigns/{name}"
    with connect_here() as rapport:
        funnel = rapport.campaign.get_funnel(origin=origin)
        experiment = _experiment(rapport, origin)
    if as_json:
        answer = {"funnel": _plain(funnel), "experiment": None if experiment is None else _plain(experiment)}
        typer.echo(json.dumps(answer, ensure_ascii=False, indent=2))
        return
    console.print(drawing.funnel(funnel))
    if funnel.money:
        console.print(drawing.money(funnel))
    if experiment is not None:
        console.print(drawing.experiment(experiment))


def _experiment(rapport: Rapport, origin: str) -> Any:
    if not origin.startswith("campaigns/"):
        return None
    try:
        return rapport.campaign.get_experiment_results(campaign=origin)
    except NotFound as error:
        if error.reason != "NO_EXPERIMENT":
            raise
        return None


def _plain(message: Any) -> dict[str, Any]:
    found: dict[str, Any] = MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return found
