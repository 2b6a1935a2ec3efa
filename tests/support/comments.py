"""The comments of the API, as its sources have them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_NAMED = re.compile(
    r"^\s*(?:(?P<kind>message|enum|oneof|service|rpc)\s+(?P<block>\w+)"
    r"|(?:repeated |optional )?(?P<type>[\w.]+(?:<[\w.]+, [\w.]+>)?)\s+(?P<field>\w+)\s*=\s*\d+"
    r"|(?P<value>[A-Z][A-Z0-9_]*)\s*=\s*\d+)"
)
_STOP = {
    "the",
    "a",
    "an",
    "its",
    "of",
    "this",
    "that",
    "one",
    "and",
    "with",
    "as",
    "it",
    "is",
    "to",
    "for",
    "in",
}


@dataclass(frozen=True)
class Commented:
    """Hold something that a proto declares.

    kind: message, enum, oneof, service, rpc, field or value; path: such as `Case.subject`; words: of its name, its type
    and the message around it.
    """

    file: str
    line: int
    kind: str
    path: str
    words: frozenset[str]
    text: str


def declared(path: Path) -> Iterator[Commented]:
    """Yield what a proto file declares, with the comment above it."""
    stack: list[str] = []
    text: list[str] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        stripped = line.strip()
        if stripped.startswith("//"):
            text.append(stripped.removeprefix("//").strip())
            continue
        match = _NAMED.match(line)
        if match is not None and match["type"] not in ("option", "package", "syntax", "import"):
            name = match["block"] or match["field"] or match["value"]
            type_name = (match["type"] or "").rpartition(".")[2]
            kind = match["kind"] or ("field" if match["field"] else "value")
            words = _words(name) | _words(type_name) | _words(stack[-1] if stack else "")
            yield Commented(
                path.name, number, kind, ".".join([*stack, name]), frozenset(words), " ".join(text)
            )
        opened = stripped.count("{") - stripped.count("}")
        if opened > 0:
            stack.append((match["block"] if match else None) or "")
        elif opened < 0 and stack:
            stack.pop()
        text = []


def says_nothing(item: Commented) -> bool:
    """Say whether a comment only repeats what the name, the type and the message around it say."""
    said = {_root(word) for word in re.findall(r"[a-z]+", item.text.lower())} - _STOP
    return said <= {_root(word) for word in item.words}


def _words(name: str) -> set[str]:
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}


def _root(word: str) -> str:
    return word.removesuffix("s")
