"""See how memberships changed."""

from __future__ import annotations

from itertools import islice
from typing import Annotated
from uuid import UUID

import typer
from rapport.segmentation.v1 import segmentation_pb2 as pb
from rich.table import Table

from services.cli.connection import connect_here
from services.cli.console import console, errors
from services.cli.segments.names import segment_name
from services.cli.segments.times import instant

app = typer.Typer()


@app.command("history")
def history(
    subject: Annotated[str, typer.Argument(metavar="CONTACT|SEGMENT", help="id or name of either")],
    since: Annotated[
        str, typer.Option("--since", help="ISO time from which on; default all that is kept")
    ] = "",
    until: Annotated[str, typer.Option("--until", help="ISO time before which; default no limit")] = "",
    limit: Annotated[int, typer.Option(min=1, help="at most this many")] = 100,
) -> None:
    """List the entries and exits of a contact or of a segment, newest first."""
    request = pb.ListMembershipChangesRequest(
        start_time=instant(since, "--since"), end_time=instant(until, "--until"), page_size=min(limit, 1000)
    )
    contact = _contact_name(subject)
    if contact:
        request.contact = contact
    else:
        request.segment = segment_name(subject)
    table = Table("time", "change", "segment" if contact else "contact", "version")
    with connect_here() as rapport:
        pages = rapport.segmentation.list_membership_changes.iterate(request)
        for change in islice(pages, limit):
            table.add_row(
                change.time.ToJsonString(),
                pb.MembershipChange.Kind.Name(change.kind).removeprefix("KIND_").lower(),
                change.segment if contact else change.contact,
                str(change.version),
            )
        more = next(pages, None) is not None
    console.print(table)
    if more:
        errors.print("there are older ones; raise --limit or give --until", highlight=False)


def _contact_name(subject: str) -> str:
    """Return the resource name of a contact given by its id or by its name; empty for anything else."""
    if subject.startswith("contacts/"):
        return subject
    try:
        return f"contacts/{UUID(subject)}"
    except ValueError:
        return ""
