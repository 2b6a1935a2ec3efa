"""Campaigns, journeys and what they need in files: YAML 1.2, one or more documents in a file, each a definition.

    kind: template
    id: welcome
    contents:
      - subject: Welcome, {{ contact.given_name | default("friend") }}
        text_file: welcome.txt

`kind` is template, journey, campaign, send_policy or rate_limit. Keys are the fields of the API; a template's sources
may stand in files of their own (`text_file`, `html_file`, `mjml_file`, relative to the YAML file), a campaign has a
`schedule`, a journey may be `active`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.protobuf.message import Message
from rapport.campaign.v1 import definitions_pb2 as pb
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.scalarstring import LiteralScalarString

from services.cli.campaigns.tree import Reader, tree_of
from services.cli.documents import SUFFIXES, Place, Problems, documents, dump, faithful, write_text
from services.kit.errors import InvalidArgument

KINDS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "template": ("templates", ("display_name", "contents")),
    "journey": ("journeys", ("display_name", "trigger", "steps", "exits", "goals", "hold_out_percent")),
    "campaign": (
        "campaigns",
        (
            "display_name",
            "segment",
            "template",
            "channel",
            "topic",
            "coupon_pool",
            "evergreen",
            "unknown_policy",
        ),
    ),
    "send_policy": (
        "sendPolicies",
        ("channel", "topic", "quiet_hours", "send_windows", "caps", "over_cap", "include_transactional"),
    ),
    "rate_limit": ("rateLimits", ("channels", "domain", "count", "period", "burst")),
}
"""For each kind: the collection of its names, and its keys in their order, beside `kind` and `id`."""
LINK_KEYS = ("utm_source", "utm_medium", "utm_campaign", "utm_content", "track_clicks", "track_opens")
_ID = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_SOURCES = {"text": "txt", "html": "html", "mjml": "mjml"}
_LANGUAGE = re.compile(r"[A-Za-z0-9-]+")


@dataclass(frozen=True)
class Definition:
    """Hold a definition as a file says it.

    place: of the document; places: of each field under its path in the definition, such as "journey.steps[2].id";
    sources: where the texts of a template begin whose lines are lines of a file.
    """

    name: str
    message: pb.Definition
    place: Place
    places: Mapping[str, Place] = field(default_factory=dict)
    sources: Mapping[str, Place] = field(default_factory=dict)

    def find(self, path: str, description: str = "") -> Place:
        """Return the place of a field, or of the nearest around it; of a template's text the line that is told of."""
        if path in self.sources and (told := re.search(r"\bline (\d+):", description)):
            start = self.sources[path]
            return Place(start.file, start.line + int(told[1]) - 1)
        while path:
            if path in self.places:
                return self.places[path]
            path = re.sub(r"(\.[^.\[\]]*|\[\d+\]|^[^.\[]*)$", "", path)
        return self.place


def read(paths: Iterable[Path]) -> list[Definition]:
    """Read definitions from files, and from all YAML files of folders and those in them, in the order of their names.

    Raises InvalidArgument that names everything that is wrong, each with file and line; OSError.
    """
    problems = Problems()
    found: dict[str, Definition] = {}
    for file in dict.fromkeys(item for path in paths for item in _files(path)):
        for document in documents(file, problems):
            definition = _definition(document, file, problems)
            if definition is None:
                continue
            first = found.setdefault(definition.name, definition)
            if first is not definition:
                problems.add(definition.place, f"{definition.name} is defined at {first.place} already")
    problems.raise_if_any()
    return list(found.values())


def _files(path: Path) -> list[Path]:
    return found_in(path) if path.is_dir() else [path]


def found_in(folder: Path) -> list[Path]:
    """Return the YAML files of a folder and of the folders in it, hidden ones left out, in the order of their names."""
    return sorted(
        item
        for item in folder.rglob("*")
        if item.suffix in SUFFIXES
        and item.is_file()
        and not any(part.startswith(".") for part in item.relative_to(folder).parts)
    )


def _definition(document: Any, file: Path, problems: Problems) -> Definition | None:
    if not isinstance(document, CommentedMap):
        line = document.lc.line + 1 if isinstance(document, CommentedSeq) else 1
        problems.add(Place(file, line), "expected a definition: keys and values such as `kind: journey`")
        return None
    place = Place(file, document.lc.line + 1)
    kind, id_ = document.get("kind"), document.get("id")
    before = len(problems.found)
    if not isinstance(kind, str) or kind not in KINDS:
        at = Place(file, document.lc.key("kind")[0] + 1) if "kind" in document else place
        problems.add(at, f"kind must be one of {', '.join(KINDS)}, is {kind!r}")
        return None
    if not isinstance(id_, str) or not _ID.fullmatch(id_):
        at = Place(file, document.lc.key("id")[0] + 1) if "id" in document else place
        problems.add(
            at, f"id: {id_!r} is no id: 1-63 lower-case letters, digits, '-' and '_', a letter first"
        )
        return None
    collection, keys = KINDS[kind]
    made = pb.Definition()
    target = getattr(made, kind)
    target.name = f"{collection}/{id_}"
    sources: dict[str, Place] = {}

    def extra(message: Message, key: str, value: Any, path: str, at: Place) -> bool:
        if message is target:
            return _own_key(made, kind, key, value, reader, at)
        if message.DESCRIPTOR.full_name == "rapport.campaign.v1.TemplateContent":
            return _source(message, key, value, path, at, sources, problems)
        return False

    reader = Reader(file, problems, extra)
    reader.fill(target, document, kind, place, keys)
    if len(problems.found) > before:
        return None
    for path in _inline(document, reader.places):
        sources.setdefault(*path)
    return Definition(target.name, made, place, reader.places, sources)


def _own_key(made: pb.Definition, kind: str, key: str, value: Any, reader: Reader, at: Place) -> bool:
    if key in ("kind", "id"):
        return True
    if kind == "campaign" and key == "schedule":
        made.schedule.SetInParent()
        reader.fill(made.schedule, value, "schedule", at)
        return True
    if kind in ("campaign", "journey") and key == "links":
        made.links.origin = getattr(made, kind).name
        reader.fill(made.links, value, "links", at, LINK_KEYS)
        return True
    if kind == "journey" and key == "active" and isinstance(value, bool):
        made.active = value
        reader.places["active"] = at
        return True
    return False


def _source(
    message: Message,
    key: str,
    value: Any,
    path: str,
    at: Place,
    sources: dict[str, Place],
    problems: Problems,
) -> bool:
    """Read the source of a template from a file beside."""
    name = key.removesuffix("_file")
    if name == key or name not in _SOURCES:
        return False
    if not isinstance(value, str) or not value:
        problems.add(at, f"{path}.{key} must be the name of a file")
        return True
    if getattr(message, name):
        problems.add(at, f"{path} has {name} already: it is one or the other")
    file = at.file.parent / value
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        problems.add(Place(file, 1), f"is not UTF-8; {at} names it")
        return True
    except OSError as error:
        problems.add(at, f"{path}.{key}: {file}: {error.strerror or error}")
        return True
    setattr(message, name, text)
    sources[f"{path}.{name}"] = Place(file, 1)
    return True


def _inline(document: CommentedMap, places: Mapping[str, Place]) -> Iterator[tuple[str, Place]]:
    """Yield the texts of a template that stand in the YAML file itself, line by line."""
    contents = document.get("contents")
    if document["kind"] != "template" or not isinstance(contents, CommentedSeq):
        return
    for index, content in enumerate(contents):
        for name in _SOURCES:
            if isinstance(content, CommentedMap) and isinstance(content.get(name), LiteralScalarString):
                path = f"template.contents[{index}].{name}"
                yield path, Place(places[path].file, places[path].line + 1)


def tree(definition: pb.Definition) -> CommentedMap:
    """Return the tree of a definition, its texts in it."""
    kind = definition.WhichOneof("kind")
    message = getattr(definition, kind)
    node = CommentedMap()
    node["kind"] = kind
    node["id"] = message.name.partition("/")[2]
    if kind == "journey" and definition.active:
        node["active"] = True
    node.update(tree_of(message, KINDS[kind][1]))
    if definition.HasField("schedule"):
        node["schedule"] = tree_of(definition.schedule)
    if definition.HasField("links"):
        node["links"] = tree_of(definition.links, LINK_KEYS)
    if kind == "journey":
        _shorten(node.get("steps", ()))
    return node


def _shorten(steps: Any) -> None:
    """Leave out where a step leads when that is the next of the list, and put its id first."""
    for index, step in enumerate(steps):
        after = steps[index + 1]["id"] if index + 1 < len(steps) else "end"
        if step.get("next") == after:
            del step["next"]
        step.move_to_end("id", last=False)


def text_of(definition: pb.Definition) -> str:
    """Return a definition as one document, with all its texts in it."""
    return dump(tree(definition))


def target(definition: pb.Definition, folder: Path) -> Path:
    """Return the file to which a definition is written: one of its own, in the folder of its kind."""
    kind = definition.WhichOneof("kind")
    name = getattr(definition, kind).name.partition("/")[2]
    return folder / KINDS[kind][0] / f"{name}.yaml"


def write(definition: pb.Definition, folder: Path) -> None:
    """Write the file of a definition; a template's sources go to files beside it."""
    file = target(definition, folder)
    file.parent.mkdir(parents=True, exist_ok=True)
    node = tree(definition)
    if definition.WhichOneof("kind") == "template":
        for content in node.get("contents", ()):
            _write_sources(content, file)
    write_text(file, dump(node))


def _write_sources(content: CommentedMap, file: Path) -> None:
    language = content.get("language_code", "")
    if not _LANGUAGE.fullmatch(language or "x"):
        return
    for name, suffix in _SOURCES.items():
        if name in content:
            beside = file.with_name(".".join(filter(None, (file.stem, language, suffix))))
            write_text(beside, str(content[name]))
            place = list(content).index(name)
            del content[name]
            content.insert(place, f"{name}_file", faithful(beside.name))


def check_any(definitions: list[Definition], paths: Iterable[Path]) -> None:
    """Raise InvalidArgument when there is nothing: a mistyped folder would otherwise prune everything."""
    if not definitions:
        raise InvalidArgument(f"nothing is defined in {', '.join(map(str, paths))}", reason="INVALID_FILE")
