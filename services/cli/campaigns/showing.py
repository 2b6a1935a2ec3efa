"""Shows what applying definitions would change."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from typing import Any

from rapport.campaign.v1 import definitions_pb2 as pb
from rich.text import Text

from services.cli.campaigns.files import text_of
from services.cli.console import console
from services.cli.words import harmless

_STYLES = {"created": "green", "changed": "yellow", "deleted": "red", "unchanged": "dim"}
_SIGNS = {"created": "+", "changed": "~", "deleted": "-", "unchanged": "="}


def action(change: pb.DefinitionChange) -> str:
    """Return what becomes of a definition, such as "created"."""
    return pb.DefinitionChange.Action.Name(change.action).removeprefix("ACTION_").lower()


def diff(change: pb.DefinitionChange) -> list[str]:
    """Return the lines of a unified diff of a definition's texts, without a header."""
    before = text_of(change.previous).splitlines() if change.HasField("previous") else []
    after = text_of(change.definition).splitlines() if change.HasField("definition") else []
    return list(difflib.unified_diff(before, after, lineterm="", n=3))[2:]


def show(changes: Sequence[pb.DefinitionChange]) -> None:
    """Print a diff of each definition that would change, and a line that sums up."""
    for change in changes:
        if action(change) != "unchanged":
            for line in _shown(change):
                console.print(line, soft_wrap=True)
    counts = {name: sum(action(change) == name for change in changes) for name in _SIGNS}
    console.print(", ".join(f"{count} {name}" for name, count in counts.items()), highlight=False)


def _shown(change: pb.DefinitionChange) -> Iterator[Text]:
    what = action(change)
    yield Text(f"{_SIGNS[what]} {change.name} {what}{_effect(change)}", f"bold {_STYLES[what]}")
    for line in diff(change):
        colour = "cyan" if line.startswith("@@") else {"+": "green", "-": "red"}.get(line[:1], "")
        yield Text(f"    {harmless(line)}", colour)


def _effect(change: pb.DefinitionChange) -> str:
    """Say what a change sets going, which a diff does not shout."""
    before, after = change.previous, change.definition
    if change.name.startswith("journeys/"):
        if after.active and not before.active:
            return ": events start it from then on"
        if before.active and not after.active:
            return ": nothing starts it any more"
    if change.name.startswith("campaigns/"):
        if after.HasField("schedule"):
            return ": it is launched by itself"
        if before.HasField("schedule"):
            return ": a draft again, it is not launched"
    return ""


def plain(change: pb.DefinitionChange, *, done: bool) -> dict[str, Any]:
    """Return a change as JSON has it."""
    return {"name": change.name, "action": action(change), "diff": diff(change), "done": done}
