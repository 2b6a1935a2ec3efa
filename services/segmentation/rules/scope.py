"""What the lowering of a rule shares: bindings of macro variables, limits and the refusal of what cannot be
compiled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from services.segmentation.rules import ir
from services.segmentation.rules.errors import RuleError, RuleTooLargeError
from services.segmentation.rules.registry import EventType, Registry

MAX_LOWERED_NODES = 20_000
MAX_SHIFT = timedelta(days=366_000)
"""Longest constant duration a rule may write (about a thousand years): times moved by it stay within
PostgreSQL's range.
"""


@dataclass(frozen=True)
class Item:
    """A macro variable bound to the items of a list: events of a type, or texts (``event_type`` None)."""

    event_type: EventType | None
    var: int


@dataclass(frozen=True)
class Mapped:
    """A macro variable bound to a mapped value: its expression, to be lowered again wherever it is used."""

    expr: Any
    scope: Scope


Binding = Item | Mapped
Scope = Mapping[str, Binding]


class LoweringBase:
    """Hold the rule being lowered and count what has been built."""

    def __init__(self, checked: Any, text: str, registry: Registry) -> None:
        self.text = text
        self.registry = registry
        self.positions = checked.source_info.positions
        self._built = 0

    def refuse(self, expr: Any, message: str) -> RuleError:
        """Return the error that refuses a part of the rule, at its place."""
        return RuleError.at(message, self.text, self.place(expr))

    def place(self, expr: Any) -> int:
        """Return the character offset of a part of the rule."""
        return int(self.positions.get(expr.id, 0))

    def done(self, node: ir.Node, expr: Any) -> ir.Node:
        """Finish a node: set its place, and refuse one that can be both null and unknown."""
        self._built += 1
        if self._built > MAX_LOWERED_NODES:
            raise RuleTooLargeError(
                "the rule grows too large when its map() macros are expanded: split it into several segments",
                text=self.text,
            )
        if node.can_err and node.can_null:
            raise self.refuse(
                expr,
                "this can be both missing and unknown, which no table can tell apart: "
                "guard it with has(...), or compare each branch of ?: by itself",
            )
        return replace(node, offset=self.place(expr))


def unsure(*nodes: ir.Node) -> bool:
    """Tell whether any of the nodes can lack a value, either way."""
    return any(n.can_err or n.can_null for n in nodes)
