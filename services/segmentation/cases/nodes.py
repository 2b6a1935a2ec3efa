"""YAML 1.2 as a tree whose values know their lines.

Plain scalars are resolved by the core schema of YAML 1.2 (section 10.3.2), so `NO` is a text, and dates are texts too.
The tree is built from the parser's events without recursion, so that no nesting can exhaust the stack.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from services.segmentation.cases.problems import FileError

MAX_CHARACTERS = 500_000
MAX_DEPTH = 20

_NULL = re.compile(r"null|Null|NULL|~|")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]+")
_OTHER_INT = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_STRING = "tag:yaml.org,2002:str"
_LONGEST_NUMBER = 400


@dataclass(slots=True)
class Node:
    """A value of the file.

    value: None, bool, int, Decimal, str, a list of nodes, or nodes by key; text: a scalar as it is written, without its
    quotes; line: from 1.
    """

    value: Any
    line: int
    text: str = ""
    keys: dict[str, int] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """Return what it is, as people say."""
        match self.value:
            case None:
                return "nothing"
            case bool():
                return "true or false"
            case int():
                return "a whole number"
            case Decimal():
                return "a number"
            case str():
                return "a text"
            case list():
                return "a list"
        return "a mapping"


def parse(text: str) -> Node:
    """Return the one document of a file; raises FileError at the line of the first mistake."""
    if len(text) > MAX_CHARACTERS:
        raise FileError(
            1, f"the file has {len(text)} characters: at most {MAX_CHARACTERS} are allowed; split it"
        )
    builder = _Builder()
    try:
        for event in YAML(typ="safe", pure=True).parse(text):
            builder.take(event)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = ", ".join(part for part in (error.context, error.problem) if part)
        raise FileError(mark.line + 1 if mark else 1, f"this is no YAML: {said}") from error
    except (YAMLError, ValueError) as error:
        raise FileError(1, f"this is no YAML: {' '.join(str(error).split())}") from error
    if builder.root is None:
        raise FileError(1, "the file is empty: write `cases:` with a list below it")
    return builder.root


class _Builder:
    """Put events together."""

    def __init__(self) -> None:
        self.root: Node | None = None
        self._open: list[Node] = []
        self._key: list[Node | None] = []
        self._anchors: dict[str, Node] = {}

    def take(self, event: Any) -> None:
        name = type(event).__name__
        line = event.start_mark.line + 1
        if name == "DocumentStartEvent" and self.root is not None:
            raise FileError(line, "a second document begins here: a file holds one")
        if name == "AliasEvent":
            found = self._anchors.get(event.anchor)
            if found is None:
                raise FileError(
                    line, f"*{event.anchor} stands for nothing: &{event.anchor} must come before it"
                )
            if found in self._open:
                raise FileError(line, f"*{event.anchor} holds itself")
            self._put(found, line)
        elif name == "ScalarEvent":
            self._put(self._anchored(event, _scalar(event, line)), line)
        elif name in ("MappingStartEvent", "SequenceStartEvent"):
            if event.tag is not None:
                raise FileError(line, f"the tag {event.tag} is not known here")
            if len(self._open) >= MAX_DEPTH:
                raise FileError(line, f"this is nested more than {MAX_DEPTH} levels deep")
            node = self._anchored(event, Node({} if name.startswith("Mapping") else [], line))
            self._put(node, line)
            self._open.append(node)
            self._key.append(None)
        elif name in ("MappingEndEvent", "SequenceEndEvent"):
            self._open.pop()
            self._key.pop()

    def _anchored(self, event: Any, node: Node) -> Node:
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _put(self, node: Node, line: int) -> None:
        if not self._open:
            self.root = node
            return
        parent = self._open[-1]
        if isinstance(parent.value, list):
            parent.value.append(node)
            return
        key = self._key[-1]
        if key is None:
            if isinstance(node.value, list | dict):
                raise FileError(line, f"a key must be a text, this is {node.kind}")
            if node.text in parent.keys:
                raise FileError(line, f"{node.text!r} is there already, on line {parent.keys[node.text]}")
            parent.keys[node.text] = line
            self._key[-1] = node
            return
        parent.value[key.text] = node
        self._key[-1] = None


def _scalar(event: Any, line: int) -> Node:
    text = event.value
    if event.tag not in (None, _STRING, "!"):
        raise FileError(line, f"the tag {event.tag} is not known here")
    plain = event.tag is None and event.style in (None, "")
    return Node(_plain(text, line) if plain else text, line, text)


def _plain(text: str, line: int) -> Any:
    if _NULL.fullmatch(text):
        return None
    if _BOOL.fullmatch(text):
        return text.lower() == "true"
    if _NOT_FINITE.fullmatch(text):
        raise FileError(line, f"{text} is not a finite number; quote it if it is a text")
    if len(text) > _LONGEST_NUMBER:
        return text
    if _INT.fullmatch(text):
        return int(text)
    if _OTHER_INT.fullmatch(text):
        return int(text, 0)
    return Decimal(text) if _FLOAT.fullmatch(text) else text
