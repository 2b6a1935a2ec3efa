"""The registry that the rules of a file are compiled with: the business's, and what the file brings.

Rule tests lie beside rules, often before the business knows what they name, and must say the same on every machine. So
what a file declares wins over what the business has of the same name, for its cases alone; core attributes cannot be
declared anew. What a case gives and nobody has declared is registered by its use: consents, segments, and by the type
of their values traits and the rules of plugins that are not installed.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from services.segmentation.cases.nodes import Node
from services.segmentation.cases.problems import FileError, Problems
from services.segmentation.cases.reading import CaseFile, RawCase, segment_names
from services.segmentation.cases.values import mapping
from services.segmentation.rules import Registry, RegistryError, RuleFunction, Trait
from services.segmentation.rules.core import CORE_BY_NAME

_SEGMENT = re.compile(r"""["'](segments/[a-z][a-z0-9_-]{0,62})["']""")
_CALL = re.compile(r"([^(]+)\((.*)\)", re.DOTALL)

Call = tuple[str, tuple[Any, ...] | None]
"""A plugin's rule and its literal arguments; None for whatever arguments."""


def registry_for(file: CaseFile, base: Registry, problems: Problems) -> Registry:
    """Return the registry of a file's rules; mistakes of the file are gathered."""
    attributes = {item.name: item for item in base.attributes}
    for name, (attribute, line) in file.attributes.items():
        core = CORE_BY_NAME.get(name)
        if core is not None and core.type != attribute.type:
            problems.add(
                FileError(
                    line,
                    f"attribute {name!r} is a core attribute of type {core.type}: it cannot become {attribute.type}",
                )
            )
        elif core is None:
            attributes[name] = attribute
    event_types = {item.cel_name: item for item in base.event_types}
    event_types |= {name: item for name, (item, _) in file.event_types.items()}
    traits = {item.name: item for item in base.traits} | {name: t for name, (t, _) in file.traits.items()}
    functions = {item.name: item for item in base.functions}
    consents = set(base.consents)
    segments: set[str] = set()
    for case in file.cases:
        problems.case = case.name
        try:
            groups = mapping(case.contact, "contact")
            for name, node in _entries(groups, "traits"):
                found_trait = _trait(
                    name, node, traits.get(name), name in file.traits or name in _names(base)
                )
                if found_trait is not None:
                    traits[name] = found_trait
            consents.update(name for name, _ in _entries(groups, "consents"))
            segments.update(case.segments, _SEGMENT.findall(case.rule))
            if "segments" in groups and "segments" not in attributes:
                segments.update(segment_names(groups["segments"]))
            for key, node in mapping(case.plugins, "plugins").items():
                name, params = call_of(key, case.plugins.keys[key])
                if name not in base.functions_by_name:
                    found_function = _function(name, params, node, functions.get(name))
                    if found_function is not None:
                        functions[name] = found_function
        except FileError as error:
            problems.add(error)
        except RegistryError as error:
            problems.add(FileError(case.line, str(error)))
    problems.case = ""
    problems.raise_if_any()
    try:
        return dataclasses.replace(
            base,
            attributes=tuple(attributes.values()),
            event_types=tuple(event_types.values()),
            traits=tuple(traits.values()),
            functions=tuple(functions.values()),
            consents=tuple(consents),
            segments={name: number for number, name in enumerate(sorted(segments), start=1)},
        )
    except RegistryError as error:
        problems.add(FileError(1, str(error)))
        problems.raise_if_any()
        raise


def _names(base: Registry) -> set[str]:
    return {item.name for item in base.traits}


def _entries(groups: Any, name: str) -> Iterator[tuple[str, Node]]:
    if name in groups:
        yield from mapping(groups[name], f"contact.{name}").items()


def _trait(name: str, node: Node, known: Trait | None, declared: bool) -> Trait | None:
    kind = _kind(node, f"trait {name}")
    if declared or kind is None:
        return known
    if known is not None and {known.type, kind} == {"int", "double"}:
        kind = "double"
    elif known is not None and known.type != kind:
        raise FileError(
            node.line,
            f"trait {name} is {kind} here and {known.type} in another case: declare it once, as "
            f"`traits: {{{name}: {known.type}}}` at the top of the file",
        )
    return Trait(name, kind)


def _function(
    name: str, params: tuple[Any, ...] | None, node: Node, known: RuleFunction | None
) -> RuleFunction | None:
    kind = _kind(node, f"the answer of {name}")
    types = tuple(_literal_type(item) for item in params or ())
    if known is None:
        return None if kind is None else RuleFunction(name, kind, types)
    returns = kind or known.returns
    if {known.returns, returns} == {"int", "double"}:
        returns = "double"
    made = RuleFunction(name, returns, types if params is not None else known.params)
    if made.returns != known.returns and returns != "double":
        raise FileError(
            node.line, f"{name} answers with {kind} here and with {known.returns} in another case"
        )
    return made


def _kind(node: Node, what: str) -> Any:
    match node.value:
        case None:
            return None
        case bool():
            return "bool"
        case int():
            return "int"
        case Decimal():
            return "double"
        case str():
            return "string"
    raise FileError(node.line, f"{what} must be a single value, this is {node.kind}")


def _literal_type(value: Any) -> Any:
    return {bool: "bool", int: "int", float: "double", str: "string"}[type(value)]


def call_of(key: str, line: int) -> Call:
    """Read what an answer is for: `loyalty.tier`, or `risk.flag("high", 3)` for one list of literals."""
    found = _CALL.fullmatch(key)
    if found is None:
        return key, None
    try:
        params = json.loads(f"[{found[2]}]")
    except (ValueError, RecursionError):
        params = [None]
    if not all(isinstance(item, bool | int | float | str) for item in params):
        raise FileError(
            line, f"plugins: {key!r} must be a rule's name, or a call of literals such as {found[1]}(3)"
        )
    return found[1], tuple(params)


def answer_for(case: RawCase, function: str, params: tuple[Any, ...]) -> Node | None:
    """Return the answer that a case gives to a call; that to the very call wins over that to the name."""
    answers = {call_of(key, 0): node for key, node in mapping(case.plugins, "plugins").items()}
    return answers.get((function, params), answers.get((function, None)))
