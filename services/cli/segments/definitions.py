"""Make, see, evaluate and rebuild segments."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rapport.segmentation.v1 import segmentation_pb2 as pb
from rich.table import Table
from rich.text import Text

from services.cli.connection import connect_here
from services.cli.console import console
from services.cli.operations import follow
from services.cli.segments.names import segment_name
from services.cli.segments.times import instant

app = typer.Typer()


def _state(segment: Any) -> str:
    return pb.Segment.State.Name(segment.state).removeprefix("STATE_").lower()


@app.command("list")
def list_segments() -> None:
    """List all segments with their members and rules."""
    table = Table("segment", "members", "state", "version", "rule")
    with connect_here() as rapport:
        for segment in rapport.segmentation.list_segments.iterate():
            table.add_row(
                segment.name,
                str(segment.member_count),
                _state(segment),
                str(segment.version),
                Text(segment.rule),
            )
    console.print(table)


@app.command("create")
def create(
    segment: Annotated[str, typer.Argument(help="id, such as loyal")],
    rule: Annotated[str, typer.Argument(help="""CEL, such as 'contact.region_code == "VN"'""")],
    display_name: Annotated[str, typer.Option("--name", help="what people see")] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="check the rule and count, store nothing")
    ] = False,
) -> None:
    """Create a segment and wait until its members are known."""
    with connect_here() as rapport:
        answer = rapport.segmentation.create_segment(
            segment_id=segment,
            segment=pb.Segment(rule=rule, display_name=display_name or segment),
            validate_only=dry_run,
        )
        if dry_run:
            console.print(f"the rule is sound; it has {answer.segment.member_count} members now")
            return
        follow(rapport.segmentation, answer.rebuild, f"building {segment}")
        built = rapport.segmentation.get_segment(name=segment_name(segment)).segment
        console.print(f"{segment}: {built.member_count} members", markup=False)


@app.command("members")
def members(
    segment: Annotated[str, typer.Argument(help="id of the segment")],
    limit: Annotated[int, typer.Option(min=1, help="at most this many")] = 100,
    as_of: Annotated[
        str, typer.Option("--as-of", help="ISO time at which they were members; default now")
    ] = "",
) -> None:
    """Print the names of a segment's members, one a line."""
    request = pb.ListMembersRequest(
        segment=segment_name(segment), page_size=min(limit, 10_000), as_of_time=instant(as_of, "--as-of")
    )
    with connect_here() as rapport:
        pages = rapport.segmentation.list_members.iterate(request)
        for _, contact in zip(range(limit), pages, strict=False):
            typer.echo(contact)


@app.command("evaluate")
def evaluate(
    rule: Annotated[str, typer.Argument(help="a rule in CEL, or the name of a segment (segments/…)")],
    as_of: Annotated[
        str, typer.Option("--as-of", help="ISO time, such as 2026-03-01T00:00:00Z; default now")
    ] = "",
    sample: Annotated[int, typer.Option(min=0, max=1000, help="print so many of the contacts")] = 0,
) -> None:
    """Count for how many contacts a rule holds, storing nothing."""
    request = pb.EvaluateRuleRequest(sample_size=sample, as_of_time=instant(as_of, "--as-of"))
    if rule.startswith("segments/"):
        request.segment = rule
    else:
        request.rule = rule
    with connect_here() as rapport:
        answer = rapport.segmentation.evaluate_rule(request)
    console.print(
        f"{answer.member_count} of {answer.contact_count} contacts as of {answer.as_of_time.ToJsonString()}"
    )
    for contact in answer.sample_contacts:
        typer.echo(contact)


@app.command("rebuild")
def rebuild(segments: Annotated[list[str] | None, typer.Argument(help="ids; default: all")] = None) -> None:
    """Compute the members anew and apply the difference."""
    with connect_here() as rapport:
        started = rapport.segmentation.rebuild_segments(
            names=[segment_name(segment) for segment in segments or ()]
        )
        result = follow(rapport.segmentation, started.operation, "rebuilding")
    table = Table("segment", "version", "entered", "left", "members")
    for row in result.segments:
        table.add_row(
            row.segment, str(row.version), str(row.entered_count), str(row.left_count), str(row.member_count)
        )
    console.print(table)


@app.command("delete")
def delete(segment: Annotated[str, typer.Argument(help="id of the segment")]) -> None:
    """Delete a segment; its members leave."""
    with connect_here() as rapport:
        rapport.segmentation.delete_segment(name=segment_name(segment))
    console.print(f"{segment} is deleted", markup=False)
