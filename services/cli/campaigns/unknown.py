"""`rapport campaigns unknown`: messages that may have been sent, and what somebody decides on them."""

from __future__ import annotations

from typing import Annotated

import typer
from rapport_client.errors import FailedPrecondition
from rich.table import Table

from services.cli.connection import connect_here
from services.cli.console import console
from services.kit.errors import InvalidArgument

app = typer.Typer()
SHOWN = 50


@app.command("unknown")
def unknown(
    name: Annotated[str, typer.Argument(help="campaigns/… or journeys/…; an id alone is a campaign's")],
    sent: Annotated[bool, typer.Option("--sent", help="they were sent: the mail server has them")] = False,
    retry: Annotated[
        bool, typer.Option("--retry", help="send them again; who got one already gets it twice")
    ] = False,
) -> None:
    """Show the messages whose state is unknown, or decide on all of them: --sent or --retry."""
    if sent and retry:
        raise InvalidArgument("--sent and --retry exclude each other")
    origin = name if "/" in name else f"campaigns/{name}"
    resolution = "RESOLUTION_SENT" if sent else "RESOLUTION_RETRY"
    done = left = 0
    table = Table("message", "contact", "planned", "why")
    with connect_here() as rapport:
        # Read to the end first: what is resolved is in the list no more.
        found = list(rapport.campaign.list_messages.iterate(origin=origin, state="STATE_UNKNOWN"))
        for message in found:
            if not (sent or retry):
                if table.row_count < SHOWN:
                    planned = message.create_time.ToDatetime().isoformat(sep=" ", timespec="seconds")
                    table.add_row(message.name, message.contact, planned, message.reason)
                continue
            try:
                rapport.campaign.resolve_message(name=message.name, resolution=resolution)
                done += 1
            except FailedPrecondition as error:
                # Somebody else decided meanwhile, or its campaign is cancelled.
                console.print(error.message, soft_wrap=True, markup=False)
                left += 1
    if sent or retry:
        console.print(f"{done:,} {'taken for sent' if sent else 'planned again'}, {left:,} left as they are")
        return
    if table.row_count:
        console.print(table)
    console.print(f"{len(found):,} unknown" + ("; decide by --sent or --retry" if found else ""))
