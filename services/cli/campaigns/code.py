"""Campaigns as code: bring an installation in line with files, and files in line with an installation."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

import typer
from rapport.campaign.v1 import campaign_pb2
from rapport.campaign.v1 import definitions_pb2 as pb
from rapport_client import Rapport
from rapport_client.errors import RapportError as ClientError

from services.cli.asking import ask
from services.cli.campaigns import files, showing
from services.cli.campaigns.files import Definition
from services.cli.connection import connect_here
from services.cli.console import console
from services.kit.errors import InvalidArgument

app = typer.Typer()
_PATH = re.compile(r"(?:definitions|changes)\[(\d+)\]\.(?:definition\.)?(.*)")


@app.command("apply")
def apply(
    paths: Annotated[
        list[Path], typer.Option("--file", "-f", help="YAML file, or folder of them; may be given again")
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="show what would change, change nothing")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="do not ask")] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="delete the send policies and rate limits that no file names")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="print one JSON object; with --dry-run or --yes")
    ] = False,
) -> None:
    """Make templates, journeys, campaigns, send policies and rate limits what files say, after showing what changes.

    All files are read and checked first, then everything by the server. It is changed all or none, and not when
    somebody else changed one of them since it was shown.
    """
    if as_json and not (dry_run or yes):
        raise typer.BadParameter("--json cannot ask: add --dry-run or --yes")
    definitions = files.read(paths)
    files.check_any(definitions, paths)
    with connect_here() as rapport:
        deletions = _unnamed(rapport, definitions) if prune else []
        shown = _compare(rapport, definitions, deletions)
        todo = [item for item in shown if showing.action(item) != "unchanged"]
        if not as_json:
            showing.show(shown)
        if todo and not dry_run and not yes:
            ask("Apply this?", "apply this")
        done = False
        try:
            if todo and not dry_run:
                _apply(rapport, definitions, shown, deletions)
                done = True
        finally:
            if as_json:
                told = [
                    showing.plain(item, done=done or showing.action(item) == "unchanged") for item in shown
                ]
                typer.echo(
                    json.dumps({"dry_run": dry_run, "definitions": told}, ensure_ascii=False, indent=2)
                )
    if not as_json:
        console.print(_closing(todo, dry_run), markup=False, highlight=False)


def _closing(todo: Sequence[Any], dry_run: bool) -> str:
    if not todo:
        return "nothing to do"
    return "nothing was changed (--dry-run)" if dry_run else "done"


def _compare(
    rapport: Rapport, definitions: Sequence[Definition], deletions: Sequence[pb.UnwantedDefinition] = ()
) -> list[pb.DefinitionChange]:
    """Let the server check everything, and return what would change; raises InvalidArgument with files and lines."""
    try:
        answer = rapport.campaign.compare_definitions(
            definitions=[item.message for item in definitions], deletions=deletions
        )
    except ClientError as error:
        raise _placed(error, definitions) from error
    found = [
        (definition, problem.field, problem.description)
        for definition, change in zip(definitions, answer.changes, strict=False)
        for problem in change.problems
    ]
    if found:
        raise _refused(found, "INVALID_DEFINITIONS")
    return list(answer.changes)


def _placed(error: ClientError, definitions: Sequence[Definition]) -> Exception:
    """Return an error of the server with the places in the files that it speaks of."""
    found = []
    for violation in error.violations:
        path = _PATH.fullmatch(violation.field)
        if path is None or int(path[1]) >= len(definitions):
            return error
        found.append((definitions[int(path[1])], path[2], violation.description))
    return _refused(found, error.reason) if found else error


def _refused(found: Sequence[tuple[Definition, str, str]], reason: str) -> InvalidArgument:
    lines = []
    for definition, path, description in found:
        place = definition.find(path, description)
        text = description.replace("\n", "\n    ")
        lines.append(f"  {place}: {definition.name}: {path}: {text}")
    return InvalidArgument("the server refuses the files:\n" + "\n".join(lines), reason=reason)


def _unnamed(rapport: Rapport, definitions: Sequence[Definition]) -> list[pb.UnwantedDefinition]:
    named = {item.name for item in definitions}
    there = [_message(item) for item in _limits(rapport)]
    return [pb.UnwantedDefinition(name=item.name, etag=item.etag) for item in there if item.name not in named]


def _message(item: pb.Definition) -> Any:
    return getattr(item, item.WhichOneof("kind"))


def _apply(
    rapport: Rapport,
    definitions: Sequence[Definition],
    changes: Sequence[pb.DefinitionChange],
    deletions: Sequence[pb.UnwantedDefinition],
) -> None:
    """Do what was shown; it is refused when something has changed since then."""
    todo = [
        (definition, change)
        for definition, change in zip(definitions, changes, strict=False)
        if showing.action(change) != "unchanged"
    ]
    try:
        rapport.campaign.apply_definitions(
            changes=[
                pb.WantedDefinition(
                    definition=definition.message,
                    etag=change.etag,
                    create_only=not change.HasField("previous"),
                )
                for definition, change in todo
            ],
            deletions=deletions,
            request_id=uuid4().hex,
        )
    except ClientError as error:
        raise _placed(error, [definition for definition, _ in todo]) from error


@app.command("export")
def export(
    folder: Annotated[Path, typer.Argument(help="folder to write into, made if it is missing")],
    launched: Annotated[
        bool, typer.Option("--launched", help="write campaigns that were launched as well")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object")] = False,
) -> None:
    """Write each definition to a file of its own, <kind>/<id>.yaml; files that say the same already stay as they are.

    The texts of templates go to files beside. Runs of recurring campaigns are left out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with connect_here() as rapport:
        found = [
            *_templates(rapport),
            *_limits(rapport),
            *_journeys(rapport),
            *_campaigns(rapport, launched),
        ]
        same = _saying_the_same(rapport, found, folder)
    told = []
    for item in found:
        file = files.target(item, folder)
        told.append((file, file not in same))
        if file not in same:
            files.write(item, folder)
    others = sorted(str(item) for item in files.found_in(folder) if item not in {file for file, _ in told})
    if as_json:
        listed = [{"file": str(file), "written": written} for file, written in told]
        typer.echo(json.dumps({"files": listed, "others": others}, ensure_ascii=False, indent=2))
        return
    written = sum(new for _, new in told)
    console.print(
        f"{len(told)} definitions: {written} files written, {len(told) - written} as they were",
        highlight=False,
    )
    for other in others:
        console.print(
            f"{other} is of nothing exported and stays", markup=False, highlight=False, soft_wrap=True
        )


def _saying_the_same(rapport: Rapport, found: Sequence[pb.Definition], folder: Path) -> set[Path]:
    """Return the files that the server would find nothing to do for, whatever they leave to it to fill in."""
    same = set()
    for item in found:
        file = files.target(item, folder)
        if not file.exists():
            continue
        try:
            [present] = files.read([file])
            [change] = _compare(rapport, [present])
        except (InvalidArgument, ClientError, OSError, ValueError):
            continue
        if change.name == _message(item).name and showing.action(change) == "unchanged":
            same.add(file)
    return same


def _templates(rapport: Rapport) -> list[pb.Definition]:
    return [pb.Definition(template=item) for item in rapport.campaign.list_templates.iterate()]


def _limits(rapport: Rapport) -> list[pb.Definition]:
    return [
        *(pb.Definition(send_policy=item) for item in rapport.campaign.list_send_policies.iterate()),
        *(pb.Definition(rate_limit=item) for item in rapport.campaign.list_rate_limits.iterate()),
    ]


def _journeys(rapport: Rapport) -> list[pb.Definition]:
    return [
        _with_links(rapport, pb.Definition(journey=item, active=item.active), item.name)
        for item in rapport.campaign.list_journeys.iterate()
    ]


def _with_links(rapport: Rapport, made: pb.Definition, origin: str) -> pb.Definition:
    """Return a definition with how its links are counted, if anybody said so."""
    found = rapport.campaign.get_link_settings(origin=origin).settings
    if found != type(found)(origin=found.origin):
        made.links.CopyFrom(found)
    return made


def _campaigns(rapport: Rapport, launched: bool) -> list[pb.Definition]:
    state = campaign_pb2.Campaign
    found = []
    for item in rapport.campaign.list_campaigns.iterate():
        if item.series or not (launched or item.state in (state.STATE_DRAFT, state.STATE_SCHEDULED)):
            continue
        made = pb.Definition(campaign=item)
        if item.state != state.STATE_DRAFT:
            # Only the comparison tells the schedule of one that was launched, and whether there was one.
            change = rapport.campaign.compare_definitions(definitions=[made]).changes[0]
            made = change.previous
        found.append(_with_links(rapport, made, item.name))
    return found
