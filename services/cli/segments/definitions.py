"""Make, see, evaluate and rebuild segments."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rapport.segmentation.v1 import segmentation_pb2 as pb
from rapport_client.errors import RapportError as ClientError
from rich.table import Table
from rich.text import Text

from services.cli.asking import ask
from services.cli.connection import connect_here
from services.cli.console import console, errors, print_client_error
from services.cli.operations import follow
from services.cli.segments import uses
from services.cli.segments.names import segment_name
from services.cli.segments.times import instant
from services.cli.words import counted

app = typer.Typer()
_PAGE = 10_000


def _state(segment: Any) -> str:
    return pb.Segment.State.Name(segment.state).removeprefix("STATE_").lower()


@app.command("list")
def list_segments() -> None:
    """List all segments with their members and rules, and why one fails."""
    table = Table("segment", "members", "state", "version", "rule")
    with connect_here() as rapport:
        for segment in rapport.segmentation.list_segments.iterate():
            rule = Text("(a list)" if segment.kind == pb.Segment.KIND_LIST else segment.rule)
            if segment.state_message:
                rule.append(f"\n{segment.state_message}", style="red")
            table.add_row(
                segment.name,
                str(segment.member_count),
                _state(segment),
                str(segment.version),
                rule,
            )
    console.print(table)


@app.command("create")
def create(
    segment: Annotated[str, typer.Argument(help="id, such as loyal")],
    rule: Annotated[str | None, typer.Argument(help="""CEL, such as 'contact.region_code == "VN"'""")] = None,
    as_list: Annotated[bool, typer.Option("--list", help="make an empty list, without a rule")] = False,
    display_name: Annotated[str, typer.Option("--name", help="what people see")] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="check the rule and count, store nothing")
    ] = False,
) -> None:
    """Create a segment and wait until its members are known, or a list."""
    if as_list == (rule is not None):
        raise typer.BadParameter("give a rule, or --list for a segment without one, and not both")
    with connect_here() as rapport:
        answer = rapport.segmentation.create_segment(
            segment_id=segment,
            segment=pb.Segment(
                rule=rule or "",
                display_name=display_name or segment,
                kind=pb.Segment.KIND_LIST if as_list else pb.Segment.KIND_RULE,
            ),
            validate_only=dry_run,
        )
        if as_list:
            done = "can be made" if dry_run else "is an empty list"
            console.print(f"{segment} {done}", markup=False)
            return
        if dry_run:
            console.print(f"the rule is sound; it has {counted(answer.segment.member_count, 'member')} now")
            return
        try:
            follow(rapport.segmentation, answer.rebuild, f"building {segment}")
        except ClientError as error:
            print_client_error(error)
            name = segment_name(segment)
            errors.print(
                f"{name} is stored all the same. When the cause is mended, `rapport segments rebuild {segment}` finds "
                f"its members; `rapport segments delete {segment}` removes it.",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )
            raise typer.Exit(1) from error
        built = rapport.segmentation.get_segment(name=segment_name(segment)).segment
        console.print(f"{segment}: {counted(built.member_count, 'member')}", markup=False)


@app.command("members")
def members(
    segment: Annotated[str, typer.Argument(help="id of the segment")],
    limit: Annotated[
        int | None, typer.Option(min=1, help="stop after so many; default: all members are printed")
    ] = None,
    as_of: Annotated[
        str, typer.Option("--as-of", help="ISO time at which they were members; default now")
    ] = "",
) -> None:
    """Print the names of a segment's members, one a line, as they arrive."""
    size = _PAGE if limit is None else min(limit, _PAGE)
    left = limit
    request = pb.ListMembersRequest(
        segment=segment_name(segment), page_size=size, as_of_time=instant(as_of, "--as-of")
    )
    with connect_here() as rapport:
        for page in rapport.segmentation.list_members.pages(request):
            contacts = page.contacts if left is None else page.contacts[:left]
            # A page at a time: one write a line would cost more than the members themselves.
            typer.echo("".join(f"{contact}\n" for contact in contacts), nl=False)
            if left is None:
                continue
            left -= len(contacts)
            if left == 0:
                if page.next_page_token or len(contacts) < len(page.contacts):
                    errors.print(
                        f"there are more members than --limit {limit}; without --limit all are printed",
                        highlight=False,
                        soft_wrap=True,
                    )
                return


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
        f"{answer.member_count} of {counted(answer.contact_count, 'contact')} as of {answer.as_of_time.ToJsonString()}"
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
def delete(
    segment: Annotated[str, typer.Argument(help="id of the segment")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="do not ask")] = False,
) -> None:
    """Delete a segment; its members leave. What would not work without it is said first.

    One that the rule of another segment names is not deleted.
    """
    with connect_here() as rapport:
        found = rapport.segmentation.get_segment(name=segment_name(segment)).segment
        uses.warn(rapport, found.name)
        if not yes:
            ask(f"Delete {found.name} with its {counted(found.member_count, 'member')}?", "delete it")
        rapport.segmentation.delete_segment(name=found.name, etag=found.etag)
    console.print(f"{segment} is deleted", markup=False)
