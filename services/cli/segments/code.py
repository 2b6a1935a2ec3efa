"""Segments as code: bring an installation in line with files, and files in line with an installation."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

import typer
from rapport.segmentation.v1 import segmentation_pb2 as pb
from rapport_client import Rapport
from rapport_client.errors import RapportError as ClientError

from services.cli.asking import ask
from services.cli.connection import connect_here
from services.cli.console import console, print_error
from services.cli.documents import Place
from services.cli.operations import follow
from services.cli.segments import files, showing, uses
from services.cli.segments.files import Definition
from services.cli.segments.lists import change as change_members
from services.cli.segments.names import segment_name
from services.cli.segments.showing import Change
from services.kit.errors import FailedPrecondition, InvalidArgument

app = typer.Typer()


@app.command("apply")
def apply(
    paths: Annotated[
        list[Path], typer.Option("--file", "-f", help="YAML file, or folder of them; may be given again")
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="show what would change, change nothing")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="do not ask")] = False,
    prune: Annotated[bool, typer.Option("--prune", help="delete the segments that no file names")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="print one JSON object; with --dry-run or --yes")
    ] = False,
) -> None:
    """Make segments what the files say, after showing what changes.

    All files are read and checked first, then all rules by the server. Definitions are changed all or none, and not
    when somebody else changed them since they were shown; then come the rebuild, members of lists, and deletions.
    """
    if as_json and not (dry_run or yes):
        raise typer.BadParameter("--json cannot ask: add --dry-run or --yes")
    definitions = files.read(paths)
    if not definitions:
        # With --prune, a mistyped folder would otherwise delete everything.
        raise InvalidArgument(f"no segment is defined in {', '.join(map(str, paths))}", reason="INVALID_FILE")
    with connect_here() as rapport:
        existing = {
            item.name.removeprefix("segments/"): item for item in rapport.segmentation.list_segments.iterate()
        }
        gone = [
            item for id_, item in existing.items() if prune and id_ not in {one.id for one in definitions}
        ]
        changes = _check(rapport, definitions, existing, gone)
        for change in changes:
            _members_to_change(rapport, change, definitions)
        todo = [change for change in changes if not change.idle]
        if not as_json:
            showing.show(changes)
            _warn_of_failed(changes)
            for change in changes:
                if change.action == "deleted":
                    uses.warn(rapport, segment_name(change.id))
        if todo and not dry_run and not yes:
            ask("Apply this?", "apply this")
        run = _Run(rapport)
        try:
            if todo and not dry_run:
                run.do(todo)
        except BaseException:
            if not as_json:
                run.tell_how_far(todo)
            raise
        finally:
            if as_json:
                told = [
                    {**showing.plain(change), "done": change.idle or change.id in run.done}
                    for change in changes
                ]
                typer.echo(json.dumps({"dry_run": dry_run, "segments": told}, ensure_ascii=False, indent=2))
    if not as_json:
        console.print(_closing(todo, dry_run), markup=False, highlight=False)


def _closing(todo: Sequence[Change], dry_run: bool) -> str:
    if not todo:
        return "nothing to do"
    return "nothing was changed (--dry-run)" if dry_run else "done"


def _warn_of_failed(changes: Sequence[Change]) -> None:
    for change in changes:
        if change.action == "unchanged" and change.segment.state == pb.Segment.STATE_FAILED:
            console.print(
                f"segments/{change.id} is as its file says, but its last run failed: {change.segment.state_message}",
                markup=False,
                soft_wrap=True,
            )


def _check(
    rapport: Rapport, definitions: Sequence[Definition], existing: Mapping[str, Any], gone: Sequence[Any]
) -> list[Change]:
    """Let the server check everything, and return what would change."""
    request = pb.ApplySegmentsRequest(
        changes=[_wish(item, existing.get(item.id)) for item in definitions],
        deletions=[pb.SegmentDeletion(name=item.name, etag=item.etag) for item in gone],
        validate_only=True,
    )
    try:
        answer = rapport.segmentation.apply_segments(request)
    except ClientError as error:
        raise _placed(error, definitions) from error
    return [showing.change_of(item) for item in answer.segments]


def _wish(definition: Definition, found: Any | None) -> pb.SegmentChange:
    return pb.SegmentChange(
        segment=pb.Segment(
            name=segment_name(definition.id),
            display_name=definition.display_name,
            kind=pb.Segment.KIND_LIST if definition.kind == "list" else pb.Segment.KIND_RULE,
            rule=definition.rule,
        ),
        etag=found.etag if found is not None else "",
        create_only=found is None,
    )


def _placed(error: ClientError, definitions: Sequence[Definition]) -> Exception:
    """Return an error of the server with the places in the files that it speaks of."""
    lines = []
    for violation in error.violations:
        field, _, _ = violation.field.partition("].")
        index = field.removeprefix("changes[")
        if not field.startswith("changes[") or not index.isdigit() or int(index) >= len(definitions):
            return error
        definition = definitions[int(index)]
        place = _rule_place(definition, error.metadata.get(f"changes[{index}].line", ""))
        lines.append(f"  {place}: segments/{definition.id}: " + violation.description.replace("\n", "\n    "))
    if lines:
        return InvalidArgument("the server refuses the files:\n" + "\n".join(lines), reason=error.reason)
    said = set(re.findall(r"segments/[a-z0-9_-]+", error.message))
    named = [item for item in definitions if segment_name(item.id) in said]
    if not named:
        return error
    where = "\n".join(f"  {item.place}: segments/{item.id}" for item in named)
    return FailedPrecondition(f"{error.message} ({error.reason})\n{where}", reason=error.reason)


def _rule_place(definition: Definition, line: str) -> Place:
    start = definition.rule_place
    if definition.lines_match and line.isdigit():
        return Place(start.file, start.line + int(line) - 1)
    return start


def _members_to_change(rapport: Rapport, change: Change, definitions: Sequence[Definition]) -> None:
    """Note who enters and leaves a list whose file names its members."""
    wanted = next((item.members for item in definitions if item.id == change.id), None)
    if wanted is None or change.action == "deleted":
        return
    present: set[str] = set()
    if change.previous is not None:
        present.update(
            rapport.segmentation.list_members.iterate(segment=segment_name(change.id), page_size=10_000)
        )
    change.add = sorted(wanted - present)
    change.remove = sorted(present - wanted)


class _Run:
    """Do what was shown, and know how far it got."""

    def __init__(self, rapport: Rapport) -> None:
        self._segmentation = rapport.segmentation
        self.done: set[str] = set()

    def do(self, todo: Sequence[Change]) -> None:
        """Change definitions, wait for the rebuild, change members of lists, delete."""
        defined = [item for item in todo if item.action in ("created", "changed")]
        if defined:
            answer = self._segmentation.apply_segments(
                changes=[_again(item) for item in defined], request_id=uuid4().hex
            )
            self.done.update(item.id for item in defined if not item.add and not item.remove)
            if answer.HasField("rebuild"):
                follow(self._segmentation, answer.rebuild, "rebuilding")
        for item in todo:
            # They were compared with the files a moment ago: who entered or left since then stays so.
            if item.remove:
                change_members(self._segmentation.remove_members, item.id, item.remove)
            if item.add:
                change_members(self._segmentation.add_members, item.id, item.add)
            if item.action != "deleted":
                self.done.add(item.id)
        deleted = [item for item in todo if item.action == "deleted"]
        if deleted:
            # Only now: until the rebuild ends, the rules in force may name what goes.
            self._segmentation.apply_segments(
                deletions=[
                    pb.SegmentDeletion(name=item.segment.name, etag=item.segment.etag) for item in deleted
                ],
                request_id=uuid4().hex,
            )
            self.done.update(item.id for item in deleted)

    def tell_how_far(self, todo: Sequence[Change]) -> None:
        """Say what was applied and what was not."""
        applied = [f"segments/{item.id} {item.action}" for item in todo if item.id in self.done]
        missing = [f"segments/{item.id}" for item in todo if item.id not in self.done]
        if applied:
            print_error(f"applied: {', '.join(applied)}")
        if missing:
            print_error(f"not applied: {', '.join(missing)}")


def _again(item: Change) -> pb.SegmentChange:
    """Return the change of a definition as it was shown, which is refused if the segment has changed since then."""
    before = item.previous
    return pb.SegmentChange(
        segment=item.segment, etag=before.etag if before is not None else "", create_only=before is None
    )


@app.command("export")
def export(
    folder: Annotated[Path, typer.Argument(help="folder to write into, made if it is missing")],
    members: Annotated[bool, typer.Option("--members", help="write the members of lists as well")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object")] = False,
) -> None:
    """Write each segment to a file of its own, <id>.yaml; files that say the same already stay as they are."""
    folder.mkdir(parents=True, exist_ok=True)
    told = []
    with connect_here() as rapport:
        for segment in rapport.segmentation.list_segments.iterate():
            definition = _definition(rapport, segment, folder, members)
            told.append((definition.place.file, files.write(definition, folder)))
    others = sorted(str(item) for item in files.found_in(folder) if item not in {file for file, _ in told})
    if as_json:
        listed = [{"file": str(file), "written": written} for file, written in told]
        typer.echo(json.dumps({"files": listed, "others": others}, ensure_ascii=False, indent=2))
        return
    written = sum(new for _, new in told)
    console.print(
        f"{len(told)} segments: {written} files written, {len(told) - written} as they were", highlight=False
    )
    for other in others:
        console.print(f"{other} is of no segment and stays", markup=False, highlight=False, soft_wrap=True)


def _definition(rapport: Rapport, segment: Any, folder: Path, members: bool) -> Definition:
    id_ = segment.name.removeprefix("segments/")
    is_list = segment.kind == pb.Segment.KIND_LIST
    contacts = None
    if is_list and members:
        contacts = frozenset(
            rapport.segmentation.list_members.iterate(segment=segment.name, page_size=10_000)
        )
    place = Place(folder / f"{id_}.yaml", 1)
    return Definition(
        id_, segment.display_name, "list" if is_list else "rule", segment.rule, contacts, place, place
    )
