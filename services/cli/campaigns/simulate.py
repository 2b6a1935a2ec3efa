"""`rapport campaigns simulate`: who would get what and when, and who would not and why; nothing is sent."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from google.protobuf.json_format import MessageToDict

from services.cli.campaigns import simulation_drawing
from services.cli.connection import connect_here
from services.cli.console import console
from services.cli.operations import follow
from services.cli.segments.times import instant

app = typer.Typer()


@app.command("simulate")
def simulate(
    name: Annotated[str, typer.Argument(help="campaigns/… or journeys/…; an id alone is a campaign's")],
    start: Annotated[
        str,
        typer.Option(
            "--from",
            help="when a campaign is launched (default: now), or the period of a journey begins (default: 7 days "
            "before its end)",
        ),
    ] = "",
    end: Annotated[
        str,
        typer.Option(
            "--to",
            help="what would not have left by then waits (default: all leaves), or the period of a journey ends "
            "(default: now)",
        ),
    ] = "",
    local: Annotated[
        str,
        typer.Option(
            "--recipient-time", help="of a campaign: YYYY-MM-DDTHH:MM on the recipients' own clocks"
        ),
    ] = "",
    as_json: Annotated[
        bool, typer.Option("--json", help="print the simulation as JSON and nothing else")
    ] = False,
) -> None:
    """Simulate a campaign or journey and draw what would happen, hour by hour, and why not to whom."""
    origin = name if "/" in name else f"campaigns/{name}"
    times: dict[str, Any] = {"start_time": instant(start, "--from"), "end_time": instant(end, "--to")}
    with connect_here() as rapport:
        service = rapport.campaign
        if origin.startswith("journeys/"):
            if local:
                raise typer.BadParameter("is for campaigns", param_hint="--recipient-time")
            started = service.simulate_journey(name=origin, **times)
        else:
            started = service.simulate_campaign(name=origin, recipient_local_time=local, **times)
        if as_json:
            found = service.wait_operation(started.operation).simulation
        else:
            found = follow(service, started.operation, f"simulating {origin}").simulation
    if as_json:
        typer.echo(json.dumps(_plain(found), ensure_ascii=False, indent=2))
        return
    for part in simulation_drawing.parts(found):
        console.print(part)


def _plain(message: Any) -> dict[str, Any]:
    found: dict[str, Any] = MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return found
