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

import io
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.reader import ReaderError
from ruamel.yaml.scalarstring import DoubleQuotedScalarString, LiteralScalarString

from services.kit.errors import InvalidArgument

SUFFIXES = (".yaml", ".yml")
KEYS = {"id": str, "display_name": str, "kind": str, "rule": str, "members": list}
_ID = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_CONTACT = re.compile(r"contacts/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TYPES = {str: "a text", list: "a list", bool: "true or false", int: "a number", float: "a number"}


@dataclass(frozen=True)
class Place:
    """Say where something stands: a file and its line, counted from 1."""

    file: Path
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


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


class _Problems:
    def __init__(self) -> None:
        self.found: list[tuple[Place, str]] = []

    def add(self, place: Place, text: str) -> None:
        self.found.append((place, text))

    def raise_if_any(self) -> None:
        if self.found:
            ordered = sorted(self.found, key=lambda item: (str(item[0].file), item[0].line))
            listed = "\n".join(f"  {place}: {text}" for place, text in ordered)
            raise InvalidArgument(f"the files are not sound:\n{listed}", reason="INVALID_FILE")


def read(paths: Iterable[Path]) -> list[Definition]:
    """Read segments from files, and from all YAML files of folders, in the order of their names.

    Raises InvalidArgument that names everything that is wrong, each with file and line; OSError.
    """
    problems = _Problems()
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


def _read_file(file: Path, problems: _Problems) -> Iterator[Definition]:
    raw = file.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        problems.add(Place(file, raw.count(b"\n", 0, error.start) + 1), "is not UTF-8")
        return
    try:
        for document in _yaml().load_all(text):
            # A document of comments alone says nothing.
            if document is not None:
                definition = _definition(document, file, problems)
                if definition is not None:
                    yield definition
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = (error.problem or error.context or "is no YAML").splitlines()[0]
        if error.problem and error.context and error.context_mark:
            what += f", {error.context} that begins in line {error.context_mark.line + 1}"
        problems.add(Place(file, mark.line + 1 if mark else 1), what)
    except ReaderError as error:
        at = error.position if isinstance(error.position, int) else 0
        problems.add(
            Place(file, text.count("\n", 0, at) + 1), f"a character that YAML forbids: {error.reason}"
        )
    except (YAMLError, ValueError) as error:
        problems.add(Place(file, 1), f"is no YAML: {str(error).splitlines()[0]}")
    except RecursionError:
        problems.add(Place(file, 1), "is nested too deep")


def _yaml() -> YAML:
    yaml = YAML(typ="rt", pure=True)
    yaml.width = 1 << 20
    return yaml


def _definition(document: Any, file: Path, problems: _Problems) -> Definition | None:
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
            got = "nothing" if value is None else _TYPES.get(type(value), type(value).__name__.lower())
            problems.add(at, f"{key} must be {_TYPES[KEYS[key]]}, is {got}" + _hint(value))
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


def _hint(value: Any) -> str:
    scalar = isinstance(value, (bool, int, float)) or hasattr(value, "isoformat")
    return "; put it in quotes if it is meant as a text" if scalar else ""


def _check(document: CommentedMap, place: Place, problems: _Problems) -> None:
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
    node["display_name"] = _faithful(definition.display_name)
    node["kind"] = definition.kind
    if definition.kind == "rule":
        node["rule"] = _faithful(definition.rule, block=True)
    if definition.members is not None:
        node["members"] = sorted(definition.members)
    return _dump(node)


def _faithful(text: str, *, block: bool = False) -> Any:
    """Return a text in the form that reads best and comes back as it is."""
    forms = (LiteralScalarString, str) if block else (str,)
    for form in forms:
        try:
            back = _yaml().load(_dump(CommentedMap(text=form(text))))["text"]
        except YAMLError:
            continue
        # A lone carriage return in the text could be taken for the end of a line by other programs.
        if back == text and isinstance(back, str) and "\r" not in text:
            return form(text)
    return DoubleQuotedScalarString(text)


def _dump(node: CommentedMap) -> str:
    out = io.StringIO()
    _yaml().dump(node, out)
    return out.getvalue()


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
    scratch = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        scratch.write_text(text_of(definition), encoding="utf-8", newline="\n")
        scratch.replace(target)
    finally:
        scratch.unlink(missing_ok=True)
    return True


def _meaning(definition: Definition) -> tuple[Any, ...]:
    return (
        definition.id,
        definition.display_name,
        definition.kind,
        definition.rule,
        definition.members,
    )
