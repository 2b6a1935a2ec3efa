"""Shows what applying files would change."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from rapport.segmentation.v1 import segmentation_pb2 as pb
from rich.text import Text

from services.cli.console import console
from services.cli.words import harmless

_STYLES = {"created": "green", "changed": "yellow", "deleted": "red", "unchanged": "dim"}
_SIGNS = {"created": "+", "changed": "~", "deleted": "-", "unchanged": "="}


@dataclass
class Change:
    """Hold what becomes of a segment.

    segment and previous: as the server tells them, None for what is not; expected: members after, None when not known;
    add and remove: contacts that enter or leave a list by its file.
    """

    id: str
    action: str
    segment: Any
    previous: Any | None
    expected: int | None
    add: Sequence[str] = field(default_factory=tuple)
    remove: Sequence[str] = field(default_factory=tuple)

    @property
    def idle(self) -> bool:
        """Tell whether there is nothing to do."""
        return self.action == "unchanged" and not self.add and not self.remove


def change_of(applied: Any) -> Change:
    """Return a change as the server tells it."""
    return Change(
        applied.segment.name.removeprefix("segments/"),
        pb.AppliedSegment.Action.Name(applied.action).removeprefix("ACTION_").lower(),
        applied.segment,
        applied.previous if applied.HasField("previous") else None,
        applied.expected_member_count if applied.HasField("expected_member_count") else None,
    )


def diff(change: Change) -> list[str]:
    """Return the lines of a unified diff of the texts of a segment, without a header."""
    before = _lines(change.previous) if change.previous is not None else []
    after = [] if change.action == "deleted" else _lines(change.segment)
    return list(difflib.unified_diff(before, after, lineterm="", n=3))[2:]


def _lines(segment: Any) -> list[str]:
    head = [f"display_name: {segment.display_name}"]
    if segment.kind == pb.Segment.KIND_LIST:
        return [*head, "kind: list"]
    return [*head, "rule:", *(f"  {line}" for line in segment.rule.split("\n"))]


def show(changes: Sequence[Change]) -> None:
    """Print a diff of each segment that would change, and a line that sums up."""
    for change in changes:
        if not change.idle:
            for line in _shown(change):
                console.print(line, soft_wrap=True)
    counts = {name: sum(change.action == name for change in changes) for name in _SIGNS}
    console.print(", ".join(f"{count} {name}" for name, count in counts.items()), highlight=False)


def _shown(change: Change) -> Iterator[Text]:
    style = _STYLES[change.action]
    yield Text(
        f"{_SIGNS[change.action]} segments/{change.id} {change.action}{_members(change)}", f"bold {style}"
    )
    for line in diff(change):
        colour = "cyan" if line.startswith("@@") else {"+": "green", "-": "red"}.get(line[:1], "")
        yield Text(f"    {harmless(line)}", colour)
    if change.add or change.remove:
        yield Text(f"    members: {len(change.add)} added, {len(change.remove)} removed")


def _members(change: Change) -> str:
    before = change.previous.member_count if change.previous is not None else 0
    if change.segment.kind == pb.Segment.KIND_LIST:
        after: int | None = before + len(change.add) - len(change.remove)
    else:
        after = change.expected
    if change.action == "deleted":
        return f": {before} members leave"
    if (
        change.action == "changed"
        and change.previous is not None
        and change.previous.rule == change.segment.rule
    ):
        after = before + len(change.add) - len(change.remove)
    return f": {before} members -> {'known after the rebuild' if after is None else after}"


def plain(change: Change) -> dict[str, Any]:
    """Return a change as JSON has it."""
    return {
        "segment": f"segments/{change.id}",
        "action": change.action,
        "kind": "list" if change.segment.kind == pb.Segment.KIND_LIST else "rule",
        "diff": diff(change),
        "member_count": change.previous.member_count if change.previous is not None else 0,
        "expected_member_count": change.expected,
        "members_added": len(change.add),
        "members_removed": len(change.remove),
    }
