"""Lowering of calendar functions, of times and of ``now``."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from services.segmentation.rules import ir
from services.segmentation.rules.calendars import PARTS
from services.segmentation.rules.lowering_time import TimeLowering, reads_now
from services.segmentation.rules.scope import Scope, unsure
from services.segmentation.rules.zones import zone_problem

MAX_NOW_SHIFT = timedelta(days=36_600)
"""Farthest a rule may move ``now`` before it asks the calendar, about a hundred years."""


class CalendarLowering(TimeLowering):
    """Lower getFullYear() and its like."""

    def calendar(self, expr: Any, name: str, arguments: list[Any], scope: Scope, depth: int) -> ir.Node:
        """Lower ``time.getMonth()`` or ``time.getMonth("zone")``; without a zone the business's counts."""
        part, time = PARTS[name], arguments[0]
        zone = self._zone(name, arguments[1]) if len(arguments) > 1 else self.registry.time_zone
        if reads_now(time, scope):
            moved = self._linear(time, scope, depth)
            if moved.now_sign != 1 or moved.time is not None:
                raise self.refuse(
                    time, f"{name}() asks a time: now.{name}(), (now + days(7)).{name}() or e.time.{name}()"
                )
            if abs(moved.shift) > MAX_NOW_SHIFT:
                raise self.refuse(time, f"`now` is moved too far: at most {MAX_NOW_SHIFT.days} days")
            if not part.follows_now:
                raise self.refuse(
                    expr,
                    f"{name}() of `now` changes too often to be followed: ask getMinutes() or getHours()",
                )
            return ir.NowCalendar(kind="int", part=name, zone=zone, shift=moved.shift)
        operand = self.value(time, scope, depth)
        if operand.kind != "time":
            raise self.refuse(
                expr, f"{name}() asks a time, not a duration: compare durations, as in now - x > hours(3)"
            )
        # Events that are seen lie within every zone's calendar; other times may lie at its very ends.
        inside = isinstance(operand, ir.EventTime)
        return ir.Calendar(
            kind="int", operand=operand, part=name, zone=zone, can_err=not inside or unsure(operand)
        )

    def _zone(self, name: str, argument: Any) -> str:
        constant = argument.const_expr if argument.WhichOneof("expr_kind") == "const_expr" else None
        if constant is None or constant.WhichOneof("constant_kind") != "string_value":
            raise self.refuse(
                argument,
                f'the time zone is written out: {name}("Asia/Ho_Chi_Minh"), or {name}() for the business\'s',
            )
        problem = zone_problem(constant.string_value)
        if problem is not None:
            raise self.refuse(argument, problem)
        return str(constant.string_value)
