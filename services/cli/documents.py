"""YAML 1.2 files that people keep: read with the line of everything, written so that they come back as they were."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.reader import ReaderError
from ruamel.yaml.scalarstring import DoubleQuotedScalarString, LiteralScalarString

from services.kit.errors import InvalidArgument

SUFFIXES = (".yaml", ".yml")
_TYPES = {str: "a text", list: "a list", bool: "true or false", int: "a number", float: "a number"}


@dataclass(frozen=True)
class Place:
    """Say where something stands: a file and its line, counted from 1."""

    file: Path
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class Problems:
    """Collect what is wrong with files."""

    def __init__(self) -> None:
        """Begin with nothing wrong."""
        self.found: list[tuple[Place, str]] = []

    def add(self, place: Place, text: str) -> None:
        """Note what is wrong somewhere."""
        self.found.append((place, text))

    def raise_if_any(self) -> None:
        """Raise InvalidArgument that names everything, in the order of the files."""
        if self.found:
            ordered = sorted(self.found, key=lambda item: (str(item[0].file), item[0].line))
            listed = "\n".join(f"  {place}: {text}" for place, text in ordered)
            raise InvalidArgument(f"the files are not sound:\n{listed}", reason="INVALID_FILE")


def documents(file: Path, problems: Problems) -> Iterator[Any]:
    """Yield the documents of a file, those that say nothing left out; what is no YAML is noted. Raises OSError."""
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
                yield document
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


def must_be(key: str, kind: type, value: Any) -> str:
    """Return what to say of a value of another type than it must be."""
    got = "nothing" if value is None else _TYPES.get(type(value), type(value).__name__.lower())
    return f"{key} must be {_TYPES[kind]}, is {got}{hint(value)}"


def hint(value: Any) -> str:
    """Return advice on a value that was perhaps meant as a text."""
    scalar = isinstance(value, (bool, int, float)) or hasattr(value, "isoformat")
    return "; put it in quotes if it is meant as a text" if scalar else ""


def faithful(text: str, *, block: bool = False) -> Any:
    """Return a text in the form that reads best and comes back as it is."""
    forms = (LiteralScalarString, str) if block else (str,)
    for form in forms:
        try:
            back = _yaml().load(dump(CommentedMap(text=form(text))))["text"]
        except YAMLError:
            continue
        # A lone carriage return in the text could be taken for the end of a line by other programs.
        if back == text and isinstance(back, str) and "\r" not in text:
            return form(text)
    return DoubleQuotedScalarString(text)


def dump(node: CommentedMap) -> str:
    """Return the text of a document."""
    out = io.StringIO()
    _yaml().dump(node, out)
    return out.getvalue()


def write_text(target: Path, text: str) -> None:
    """Write a file whole or not at all; raises OSError, which names it."""
    scratch = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        scratch.write_text(text, encoding="utf-8", newline="")
        scratch.replace(target)
    except OSError as error:
        # A full disk names nothing, and other faults name the scratch file.
        error.filename = str(target)
        raise
    finally:
        scratch.unlink(missing_ok=True)
