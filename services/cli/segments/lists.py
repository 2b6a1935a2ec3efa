"""Lists: put contacts in, take them out, take snapshots."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

import typer
from rapport.segmentation.v1 import segmentation_pb2 as pb

from services.cli.connection import connect_here
from services.cli.console import console
from services.cli.operations import follow
from services.cli.segments.names import segment_name
from services.cli.segments.times import instant
from services.kit.errors import InvalidArgument

app = typer.Typer()
BATCH = 10_000
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

Segment = Annotated[str, typer.Argument(help="id of the list")]
Contacts = Annotated[list[str] | None, typer.Argument(help="contacts, as contacts/… or by their ids alone")]
Source = Annotated[
    Path | None,
    typer.Option("--file", "-f", help="read contacts from a file, one a line; - for standard input"),
]
Historical = Annotated[
    bool, typer.Option("--historical", help="members of old: their change starts no journey")
]


@app.command("add")
def add(
    segment: Segment, contacts: Contacts = None, file: Source = None, historical: Historical = False
) -> None:
    """Put contacts into a list; those that are in it stay."""
    given = _contacts(contacts or (), file)
    with connect_here() as rapport:
        new, members = change(rapport.segmentation.add_members, segment, given, historical=historical)
    console.print(f"{segment}: {new} added, {len(given) - new} were in it, {members} members", markup=False)


@app.command("remove")
def remove(
    segment: Segment, contacts: Contacts = None, file: Source = None, historical: Historical = False
) -> None:
    """Take contacts out of a list."""
    given = _contacts(contacts or (), file)
    with connect_here() as rapport:
        gone, members = change(rapport.segmentation.remove_members, segment, given, historical=historical)
    console.print(
        f"{segment}: {gone} removed, {len(given) - gone} were not in it, {members} members", markup=False
    )


def change(
    call: Callable[..., Any], segment: str, contacts: Sequence[str], *, historical: bool = False
) -> tuple[int, int]:
    """Call AddMembers or RemoveMembers in batches; returns how many contacts that changed, and the members then.

    Each batch is whole. When one is refused, says how many contacts came before it.
    """
    changed = members = 0
    for start in range(0, len(contacts), BATCH):
        try:
            answer = call(
                segment=segment_name(segment),
                contacts=contacts[start : start + BATCH],
                historical=historical,
                request_id=uuid4().hex,
            )
        except Exception:
            if start:
                console.print(f"{segment}: the first {start} contacts were dealt with", markup=False)
            raise
        changed += getattr(answer, "added_count", 0) + getattr(answer, "removed_count", 0)
        members = answer.member_count
    return changed, members


def _contacts(arguments: Iterable[str], file: Path | None) -> list[str]:
    """Return the names of contacts, each once; raises InvalidArgument that names the first bad ones."""
    given = [(f"argument {at}", item) for at, item in enumerate(arguments, 1)]
    if file is not None:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8-sig")
        where = "standard input" if str(file) == "-" else str(file)
        given += [(f"{where}:{at}", line.strip()) for at, line in enumerate(text.splitlines(), 1)]
    given = [(where, item) for where, item in given if item and not item.startswith("#")]
    if not given:
        raise typer.BadParameter("name contacts, or a file of them with --file")
    bad = [
        f"  {where}: {item[:100]!r}"
        for where, item in given
        if not _UUID.fullmatch(item.removeprefix("contacts/"))
    ]
    if bad:
        more = [f"  and {len(bad) - 10} more"] if len(bad) > 10 else []
        raise InvalidArgument("expected contacts/<uuid>, got\n" + "\n".join(bad[:10] + more))
    return list(dict.fromkeys(f"contacts/{item.removeprefix('contacts/')}" for _, item in given))


@app.command("snapshot")
def snapshot(
    segment: Annotated[str, typer.Argument(help="id of the new list")],
    source: Annotated[
        str, typer.Argument(help="whom to take: the name of a segment (segments/…), or a rule in CEL")
    ],
    as_of: Annotated[
        str, typer.Option("--as-of", help="evaluate as of an ISO time, such as 2026-03-01T00:00:00Z")
    ] = "",
    display_name: Annotated[str, typer.Option("--name", help="what people see")] = "",
) -> None:
    """Make a list of those who are in a segment, or fit a rule, and wait until it holds them."""
    request = pb.SnapshotSegmentRequest(
        segment_id=segment,
        display_name=display_name,
        request_id=uuid4().hex,
        as_of_time=instant(as_of, "--as-of"),
    )
    if source.startswith("segments/"):
        request.segment = source
    else:
        request.rule = source
    with connect_here() as rapport:
        started = rapport.segmentation.snapshot_segment(request)
        result = follow(rapport.segmentation, started.operation, f"taking {segment}")
    when = result.as_of_time.ToJsonString()
    console.print(f"{segment}: {result.member_count} members as of {when}", markup=False)
