"""The names that templates ask for: found in their source, and compared with what there is when they are rendered.

A name that nobody knows would be empty in every message, and a fallback of it everybody's, so neither `default` nor a
test excuses it. `event` and `coupon` are known but not always there: where they are not, only a use that has a
fallback or stands under a test will do.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from functools import partial

from jinja2 import nodes

from services.campaign.domain.markup import BadTemplate

ATTRIBUTES = "attributes"
CONTACT = (
    *("name", "display_name", "given_name", "family_name", "language_code", "time_zone", "region_code"),
    *("locality", ATTRIBUTES),
)
LINKS = ("unsubscribe", "reply")
ROOTS = ("contact", "coupon", "event", "links", "now")
_GIVEN = frozenset((*ROOTS, "range", "self"))
_FIXED = {"links": LINKS, "now": tuple(name for name in dir(datetime) if not name.startswith("_"))}
# What people call it elsewhere.
_OTHERWISE = {
    **dict.fromkeys(("first_name", "firstname", "forename"), "given_name"),
    **dict.fromkeys(("last_name", "lastname", "surname"), "family_name"),
    **dict.fromkeys(("full_name", "fullname"), "display_name"),
    **dict.fromkeys(("country", "country_code", "region"), "region_code"),
    **dict.fromkeys(("city", "town"), "locality"),
    **dict.fromkeys(("language", "locale"), "language_code"),
    "timezone": "time_zone",
}
_FALLBACKS = frozenset({"default", "d", "fallback"})


@dataclass(frozen=True, slots=True)
class Named:
    """Hold a name that a template asks for: where, by which steps, and whether it copes without.

    path: such as ("contact", "given_name"), as far as it is written down. guarded: it has a fallback, or its root is
    asked for before.
    """

    part: str
    line: int
    path: tuple[str, ...]
    guarded: bool


def names_in(tree: nodes.Template, part: str, own: Collection[str] = ()) -> list[Named]:
    """Return the names of a parsed template that are not of its own making, each path once, in their order.

    own: names that we put there. Where one is used both ways, the use that does not cope without it counts.
    """
    found: dict[tuple[str, ...], Named] = {}
    for item in _Walk(part).block(tree.body, set(own), frozenset()):
        if item.path not in found or (found[item.path].guarded and not item.guarded):
            found[item.path] = item
    return sorted(found.values(), key=lambda item: item.line)


class _Walk:
    """Go through a part of a template; scope: the names that it made itself; guards: the roots that were asked for."""

    def __init__(self, part: str) -> None:
        self._part = part

    def block(self, items: Iterable[nodes.Node], scope: set[str], guards: frozenset[str]) -> Iterator[Named]:
        for item in items:
            yield from self._node(item, scope, guards, guarded=False)

    def _node(
        self, node: nodes.Node, scope: set[str], guards: frozenset[str], *, guarded: bool
    ) -> Iterator[Named]:
        """Yield the names of a node; guarded: whether it itself, if it is a name, has a fallback."""
        inside = partial(self._node, scope=scope, guards=guards)
        match node:
            case nodes.Name() | nodes.Getattr() | nodes.Getitem():
                yield from self._path(node, scope, guards, guarded=guarded)
            case nodes.Filter(name=name, node=nodes.Node() as filtered) if name in _FALLBACKS:
                yield from inside(filtered, guarded=True)
                for item in (*node.args, *node.kwargs):
                    yield from inside(item, guarded=guarded)
            case nodes.Test() | nodes.Not():
                for item in node.iter_child_nodes():
                    yield from inside(item, guarded=True)
            case nodes.Or():
                yield from inside(node.left, guarded=True)
                yield from inside(node.right, guarded=guarded)
            case nodes.And():
                yield from inside(node.left, guarded=True)
                asked = guards | _roots(node.left)
                yield from self._node(node.right, scope, asked, guarded=guarded)
            case nodes.CondExpr():
                yield from inside(node.test, guarded=True)
                asked = guards | _roots(node.test)
                for branch in (node.expr1, node.expr2):
                    if branch is not None:
                        yield from self._node(branch, scope, asked, guarded=guarded)
            case nodes.If():
                yield from self._if(node, scope, guards)
            case nodes.For():
                yield from self._for(node, scope, guards)
            case nodes.With():
                for value in node.values:
                    yield from inside(value, guarded=True)
                made = {name for target in node.targets for name in _targets(target)}
                yield from self.block(node.body, scope | made, guards)
            case nodes.Assign():
                # How it is used is not known here.
                yield from inside(node.node, guarded=True)
                scope.update(_targets(node.target))
            case nodes.Block() | nodes.FilterBlock() | nodes.Scope() | nodes.ScopedEvalContextModifier():
                yield from self.block(node.iter_child_nodes(), set(scope), guards)
            case _:
                for item in node.iter_child_nodes():
                    yield from inside(item, guarded=guarded)

    def _if(self, node: nodes.If, scope: set[str], guards: frozenset[str]) -> Iterator[Named]:
        asked = guards
        for branch in (node, *node.elif_):
            yield from self._node(branch.test, scope, asked, guarded=True)
            asked |= _roots(branch.test)
            yield from self.block(branch.body, scope, asked)
        yield from self.block(node.else_, scope, asked)

    def _for(self, node: nodes.For, scope: set[str], guards: frozenset[str]) -> Iterator[Named]:
        # Of what is missing there are no turns.
        yield from self._node(node.iter, scope, guards, guarded=True)
        asked = guards | _roots(node.iter)
        inner = scope | {"loop", *_targets(node.target)}
        if node.test is not None:
            yield from self._node(node.test, inner, asked, guarded=True)
        yield from self.block(node.body, inner, asked)
        yield from self.block(node.else_, set(scope), guards)

    def _path(
        self, node: nodes.Node, scope: set[str], guards: frozenset[str], *, guarded: bool
    ) -> Iterator[Named]:
        steps, at = _steps(node)
        # What a step is computed from is named as well, and so is what the path begins with when that is no name.
        for item in at:
            yield from self._node(item, scope, guards, guarded=guarded)
        if steps and steps[0] not in scope:
            yield Named(self._part, node.lineno, steps, guarded or steps[0] in guards)


def _steps(node: nodes.Node) -> tuple[tuple[str, ...], list[nodes.Node]]:
    """Return the path that a node is, up to its first step that is computed, and the other nodes in it."""
    steps: list[str] = []
    others: list[nodes.Node] = []
    while isinstance(node, nodes.Getattr | nodes.Getitem):
        if isinstance(node, nodes.Getattr):
            steps.append(node.attr)
        elif isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str):
            steps.append(node.arg.value)
        else:
            steps.clear()
            others.append(node.arg)
        node = node.node
    if isinstance(node, nodes.Name):
        return (node.name, *reversed(steps)), others
    return (), [node, *others]


def _roots(node: nodes.Node) -> frozenset[str]:
    found = {item.name for item in node.find_all(nodes.Name)}
    return frozenset(found | {node.name} if isinstance(node, nodes.Name) else found)


def _targets(node: nodes.Node) -> set[str]:
    if isinstance(node, nodes.Name):
        return {node.name}
    return {item.name for item in node.find_all(nodes.Name)}


def asks_contacts(names: Iterable[Named]) -> bool:
    """Say whether the attributes that are defined of contacts decide about some names, or may be what was meant."""
    return any(_depends(item.path) for item in names)


def _depends(path: tuple[str, ...]) -> bool:
    match path:
        case ("contact", "attributes", _, *_):
            return True
        case ("contact", name, *_):
            return name not in CONTACT
    return path[0] not in _GIVEN


def unknown(names: Iterable[Named], attributes: Collection[str]) -> list[BadTemplate]:
    """Return the names that nobody knows, each once, with the nearest that are known.

    attributes: those that are defined of contacts.
    """
    found: dict[tuple[str, str], BadTemplate] = {}
    for item in names:
        if problem := _unknown(item.path, attributes):
            found.setdefault((item.part, problem), BadTemplate(item.part, item.line, problem))
    return list(found.values())


def absent(names: Iterable[Named], missing: Collection[str]) -> list[Named]:
    """Return the names whose root is one of those missing, and which do not cope without it."""
    return [item for item in names if item.path[0] in missing and not item.guarded]


def _unknown(path: Sequence[str], attributes: Collection[str]) -> str:
    root, rest = path[0], path[1:]
    if root not in _GIVEN:
        return _told(path[:1], _meant(root, attributes), f"there are {', '.join(ROOTS)}")
    if not rest:
        return ""
    if root in _FIXED:
        known = _FIXED[root]
        close = [f"{root}.{name}" for name in get_close_matches(rest[0], known, 1)]
        there = f"{root} has {', '.join(known)}" if root == "links" else "now is a time, such as now.year"
        return "" if rest[0] in known else _told(path[:2], close, there)
    if root != "contact":
        return ""
    if rest[0] not in CONTACT:
        has = f"contact has {', '.join(CONTACT)}"
        return _told(path[:2], _of_contact(rest[0], attributes), has)
    if rest[0] == ATTRIBUTES and len(rest) > 1 and rest[1] not in attributes:
        close = [f"contact.{ATTRIBUTES}.{name}" for name in get_close_matches(rest[1], attributes, 1)]
        there = ", ".join(sorted(attributes)[:20]) + (", …" if len(attributes) > 20 else "")
        return _told(path[:3], close, f"the attributes defined in contacts are {there or 'none'}")
    return ""


def _told(path: Sequence[str], meant: Sequence[str], there: str) -> str:
    hint = f"did you mean {meant[0]}?" if meant else there
    return f"nothing is named {'.'.join(path)[:100]!r}, so it would be empty: {hint}"


def _meant(root: str, attributes: Collection[str]) -> list[str]:
    """Return what an unknown root most likely means: another root, or something of the contact."""
    close = get_close_matches(root, ROOTS, 1, 0.75)
    return [*close] or _of_contact(root, attributes)


def _of_contact(name: str, attributes: Collection[str]) -> list[str]:
    if name in attributes:
        return [f"contact.{ATTRIBUTES}.{name}"]
    close = get_close_matches(name, [*CONTACT, *_OTHERWISE, *attributes], 1)
    if not close:
        return []
    found = _OTHERWISE.get(close[0], close[0])
    return [f"contact.{found}" if found in CONTACT else f"contact.{ATTRIBUTES}.{found}"]
