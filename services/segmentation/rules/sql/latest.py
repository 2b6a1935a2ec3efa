"""Windows that end now, answered by the n-th latest event.

A window is the end of a contact's history, so at least n events lie in it when the n-th latest of all does. One column
serves every window that asks the same of its events, however many rules there are, for what holds now and for when
that ends.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

from sqlalchemy import ARRAY, INTEGER, and_, func, literal_column, not_
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.sql.elements import ColumnElement

from services.segmentation.rules import ir
from services.segmentation.rules.registry import EventType
from services.segmentation.rules.scope import unsure
from services.segmentation.rules.sql.lists import ItemFrame
from services.segmentation.rules.sql.scalars import FALSE, Frame, compare_with_now, compile_value
from services.segmentation.rules.sql.values import TIME

Column = ColumnElement[Any]
NEVER: Column = literal_column("NULL::timestamptz", TIME)
_MOST = 1_000_000


class Featured(Frame, Protocol):
    """A frame that computes aggregates over the events of a type once, whoever asks for them.

    by_condition: each group has only the events of which the same is asked, which an index may find.
    """

    by_condition: bool

    def feature(
        self,
        event_type: EventType,
        key: object,
        window: timedelta | None,
        build: Callable[[ItemFrame], Column],
        empty: Column,
        asked: tuple[ir.Node, ...] = (),
    ) -> Column:
        """Return the column of an aggregate, over the events that meet conditions if it groups by them."""


@dataclass(frozen=True)
class Threshold:
    """Read a condition as "at least so many items", or with ``below`` as its opposite."""

    at_least: int
    items: ir.ListExpr
    predicate: ir.Node | None
    below: bool


def threshold(node: ir.Node) -> Threshold | None:
    """Read ``exists`` and ``size() op n`` as a threshold; None for anything else."""
    if isinstance(node, ir.Quantified):
        sure = node.role == "exists" and not unsure(node.predicate)
        return Threshold(1, node.items, node.predicate, below=False) if sure else None
    if isinstance(node, ir.Equal) and not node.negated:
        sides = (node.left, node.right)
        for count, constant in (sides, sides[::-1]):
            if isinstance(count, ir.Count) and isinstance(constant, ir.Const) and constant.value == 0:
                return Threshold(1, count.items, None, below=True)
        return None
    if not isinstance(node, ir.Compare):
        return None
    op, left, right = node.op, node.left, node.right
    if isinstance(left, ir.Const):
        left, right = right, left
        op = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}[op]  # type: ignore[assignment]
    if not isinstance(left, ir.Count) or not isinstance(right, ir.Const) or not isinstance(right.value, int):
        return None
    at_least = right.value + (1 if op in (">", "<=") else 0)
    return Threshold(at_least, left.items, None, below=op in ("<", "<="))


def windowed(node: ir.Node, frame: Featured) -> Column | None:
    """Return whether a threshold over one window is reached; None when the node is no such thing."""
    found = threshold(node)
    reached = None if found is None else reached_by(found, frame)
    if found is None or reached is None:
        return None
    known = func.coalesce(reached, FALSE)
    return not_(known) if found.below else known


def reached_by(asked: Threshold, frame: Featured) -> Column | None:
    """Return a condition, NULL where there are fewer events, on the n-th latest event: whether it lies in the window.

    None when the threshold is not one over a plain window.
    """
    window = plain_window(asked.items, asked.predicate)
    if window is None:
        return None
    time = nth_latest(asked.items, asked.predicate, asked.at_least, frame)
    return None if time is None else compare_with_now(window.op, window.shift, time, frame)


def plain_window(items: ir.ListExpr, predicate: ir.Node | None) -> ir.NowCompare | None:
    """Return the one use of now when it is a plain window on the item's time, and nothing else depends on time."""
    if items.spoils or items.var != 0 or not isinstance(items.source, EventType):
        return None
    timed = [p for p in _parts(items, predicate) if ir.mentions_now(p) or any(ir.lists_in(p))]
    if len(timed) != 1 or not isinstance(timed[0], ir.NowCompare):
        return None
    atom = timed[0]
    plain = atom.op in ("<", "<=") and isinstance(atom.time, ir.EventTime) and atom.time.var == 0
    return atom if plain else None


def nth_latest(items: ir.ListExpr, predicate: ir.Node | None, rank: int, frame: Featured) -> Column | None:
    """Return the time of the n-th latest event that meets all but the window, NULL where there are fewer.

    What lies before the window may be passed over. None when the list has no plain window, or the rank no column.
    """
    window = plain_window(items, predicate)
    if window is None or not isinstance(items.source, EventType) or not 0 < rank <= _MOST:
        return None
    true = ir.Const(kind="bool", value=True)
    asked = tuple(part for part in _parts(items, predicate) if part is not window and part != true)

    def build(inner: ItemFrame) -> Column:
        keep = [] if frame.by_condition else [compile_value(part, inner, truth=True) for part in asked]
        time = inner.relation.c.occurred_at

        def of_those(call: Any) -> Column:
            return call.filter(and_(*keep)) if keep else call  # type: ignore[no-any-return]

        if rank == 1:
            return of_those(func.max(time))
        # The index gives the events of a contact in this order, so there is nothing to sort.
        ordered = func.array_agg(aggregate_order_by(time, time.desc()), type_=ARRAY(TIME))
        return of_those(ordered)[literal_column(str(rank), INTEGER)]

    apart = asked if frame.by_condition else ()
    return frame.feature(items.source, (asked, rank, "latest"), window.shift, build, NEVER, apart)


def _parts(items: ir.ListExpr, predicate: ir.Node | None) -> list[ir.Node]:
    conditions = [*(s.expr for s in items.steps), *([predicate] if predicate is not None else [])]
    return [p for c in conditions for p in (c.parts if isinstance(c, ir.And) else (c,))]
