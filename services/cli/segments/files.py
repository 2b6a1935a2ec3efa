"""Segments in files: YAML 1.2, one or more documents in a file, each a segment.

    id: lapsed
    display_name: Lapsed buyers
    kind: rule
    rule: |-
      events.order_placed.size() > 0
      && !events.order_placed.exists(o, now - o.time <= days(90))

`display_name` is the id when left out, `kind` is rule. A list has no rule and may have `members`, names of contacts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.scalarstring import LiteralScalarString

from services.cli.documents import (
    SUFFIXES,
    Place,
    Problems,
    documents,
    dump,
    faithful,
    must_be,
    write_text,
)
from services.kit.errors import InvalidArgument

KEYS = {"id": str, "display_name": str, "kind": str, "rule": str, "members": list}
_ID = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_CONTACT = re.compile(r"contacts/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Definition:
    """Hold a segment as a file says it.

    members: names of contacts, None when the file says nothing of them; place: of the document; rule_place: of the
    first line of the rule; lines_match: whether lines of the rule are lines of the file.
    """

    id: str
    display_name: str
    kind: str
    rule: str
    members: frozenset[str] | None
    place: Place
    rule_place: Place
    lines_match: bool = False


def read(paths: Iterable[Path]) -> list[Definition]:
    """Read segments from files, and from all YAML files of folders, in the order of their names.

    Raises InvalidArgument that names everything that is wrong, each with file and line; OSError.
    """
    problems = Problems()
    found: dict[str, Definition] = {}
    for file in dict.fromkeys(item for path in paths for item in _files(path)):
        for definition in _read_file(file, problems):
            first = found.setdefault(definition.id, definition)
            if first is not definition:
                problems.add(
                    definition.place, f"the id {definition.id!r} is taken by the segment at {first.place}"
                )
    problems.raise_if_any()
    return list(found.values())


def _files(path: Path) -> list[Path]:
    return found_in(path) if path.is_dir() else [path]


def found_in(folder: Path) -> list[Path]:
    """Return the YAML files of a folder, those of folders in it left out, in the order of their names."""
    return sorted(item for item in folder.iterdir() if item.suffix in SUFFIXES and item.is_file())


def _read_file(file: Path, problems: Problems) -> Iterator[Definition]:
    for document in documents(file, problems):
        definition = _definition(document, file, problems)
        if definition is not None:
            yield definition


def _definition(document: Any, file: Path, problems: Problems) -> Definition | None:
    if not isinstance(document, CommentedMap):
        line = document.lc.line + 1 if isinstance(document, CommentedSeq) else 1
        problems.add(Place(file, line), "expected a segment: keys and values such as `id: loyal`")
        return None
    place = Place(file, document.lc.line + 1)
    before = len(problems.found)
    for key, value in document.items():
        at = Place(file, document.lc.key(key)[0] + 1)
        if not isinstance(key, str) or key not in KEYS:
            problems.add(at, f"unknown key {key!r}; a segment has {', '.join(KEYS)}")
        elif not isinstance(value, KEYS[key]):
            problems.add(at, must_be(key, KEYS[key], value))
    if len(problems.found) > before:
        return None
    _check(document, place, problems)
    if len(problems.found) > before:
        return None
    rule = document.get("rule", "")
    rule_place, match = place, False
    if "rule" in document:
        match = isinstance(rule, LiteralScalarString) or "\n" not in rule
        line = document.lc.value("rule")[0] + 1 + isinstance(rule, LiteralScalarString)
        rule_place = Place(file, line)
    members = document.get("members")
    id_ = str(document["id"])
    return Definition(
        id_,
        str(document.get("display_name", id_)),
        str(document.get("kind", "rule")),
        str(rule),
        None if members is None else frozenset(map(str, members)),
        place,
        rule_place,
        match,
    )


def _check(document: CommentedMap, place: Place, problems: Problems) -> None:
    def at(key: str) -> Place:
        return Place(place.file, document.lc.key(key)[0] + 1)

    if "id" not in document:
        problems.add(place, "a segment needs an id")
    elif not _ID.fullmatch(document["id"]):
        problems.add(
            at("id"),
            f"{document['id']!r} is no id: 1-63 lower-case letters, digits, '-' and '_', a letter first",
        )
    kind = document.get("kind", "rule")
    if kind not in ("rule", "list"):
        problems.add(at("kind"), f"kind must be rule or list, is {kind!r}")
    elif kind == "list" and "rule" in document:
        problems.add(at("rule"), "a list has no rule; take it out, or `kind: list`")
    elif kind == "rule" and not document.get("rule"):
        problems.add(place, "a segment needs a rule, or `kind: list`")
    if "members" in document:
        if kind != "list":
            problems.add(at("members"), "only a list has members; a rule says who is in the others")
        for index, member in enumerate(document["members"]):
            if not isinstance(member, str) or not _CONTACT.fullmatch(member):
                line = document["members"].lc.item(index)[0] + 1
                problems.add(Place(place.file, line), f"expected contacts/<uuid>, got {member!r}")


def text_of(definition: Definition) -> str:
    """Return the file of a segment; reading it gives the same segment, whatever its texts."""
    node = CommentedMap()
    node["id"] = definition.id
    node["display_name"] = faithful(definition.display_name)
    node["kind"] = definition.kind
    if definition.kind == "rule":
        node["rule"] = faithful(definition.rule, block=True)
    if definition.members is not None:
        node["members"] = sorted(definition.members)
    return dump(node)


def write(definition: Definition, folder: Path) -> bool:
    """Write the file of a segment into a folder; returns whether that changed anything.

    A file that says the same already stays as it is, with its comments.
    """
    target = folder / f"{definition.id}.yaml"
    if target.exists():
        try:
            present = read([target])
            if definition.members is None:
                # Who says nothing of members contradicts no file that does.
                present = [replace(item, members=None) for item in present]
            if [_meaning(item) for item in present] == [_meaning(definition)]:
                return False
        except InvalidArgument:
            pass
    write_text(target, text_of(definition))
    return True


def _meaning(definition: Definition) -> tuple[Any, ...]:
    return (
        definition.id,
        definition.display_name,
        definition.kind,
        definition.rule,
        definition.members,
    )
