"""Lowering of times: literals, shifts, differences, and every use of ``now`` as one comparison."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from services.segmentation.rules import ir
from services.segmentation.rules.moments import FIRST_TIME, LAST_TIME
from services.segmentation.rules.scope import MAX_SHIFT, LoweringBase, Scope, unsure

_FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
_UNITS = {"days": timedelta(days=1), "hours": timedelta(hours=1), "minutes": timedelta(minutes=1)}
_TIMESTAMP = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)\Z", re.ASCII
)
_DURATION = re.compile(r"(-?)((?:\d+(?:\.\d+)?(?:h|m|s|ms|us))+)\Z", re.ASCII)
_DURATION_PART = re.compile(r"(\d+)(?:\.(\d+))?(h|ms|us|m|s)", re.ASCII)
_MICROSECONDS = {"h": 3_600_000_000, "m": 60_000_000, "s": 1_000_000, "ms": 1_000, "us": 1}
_FORMS = "now - x <= days(30), x > now - days(30), now > x or now.getMonth() == 3"


@dataclass(frozen=True)
class _Linear:
    """``now_sign * now + time_sign * time + shift``; a duration when the signs cancel, else a time."""

    now_sign: int = 0
    time: ir.Node | None = None
    time_sign: int = 0
    shift: timedelta = timedelta(0)


class TimeLowering(LoweringBase):
    """Lower times and durations."""

    def value(self, expr: Any, scope: Scope, depth: int) -> ir.Node:
        """Lower a single value (see ``Lowering``)."""
        raise NotImplementedError

    def time_literal(self, expr: Any, name: str, arguments: list[Any]) -> ir.Node:
        """Lower timestamp("..."), duration("..."), days(n), hours(n) and minutes(n)."""
        argument = arguments[0]
        constant = argument.const_expr if argument.WhichOneof("expr_kind") == "const_expr" else None
        if name == "timestamp":
            if constant is None or constant.WhichOneof("constant_kind") != "string_value":
                raise self.refuse(expr, 'timestamp() takes a text: timestamp("2026-01-31T00:00:00Z")')
            return ir.Const(kind="time", value=self._timestamp(argument, constant.string_value))
        if name == "duration":
            if constant is None or constant.WhichOneof("constant_kind") != "string_value":
                raise self.refuse(expr, 'duration() takes a text: duration("36h") or duration("90m")')
            return ir.Const(
                kind="duration",
                value=self._bounded(argument, self._duration(argument, constant.string_value)),
            )
        if constant is None or constant.WhichOneof("constant_kind") != "int64_value":
            raise self.refuse(expr, f"{name}() takes a whole number: {name}(30)")
        if abs(constant.int64_value) > MAX_SHIFT // _UNITS[name]:
            raise self._too_long(argument)
        return ir.Const(kind="duration", value=constant.int64_value * _UNITS[name])

    def _too_long(self, expr: Any) -> Exception:
        return self.refuse(expr, f"this duration is too long: at most {MAX_SHIFT.days} days")

    def _bounded(self, expr: Any, duration: timedelta) -> timedelta:
        if abs(duration) > MAX_SHIFT:
            raise self._too_long(expr)
        return duration

    def _timestamp(self, expr: Any, text: str) -> datetime:
        match = _TIMESTAMP.match(text)
        wrong = self.refuse(
            expr,
            f'"{text[:40]}" is not a time: write timestamp("2026-01-31T00:00:00Z"), at most 6 decimals of a '
            f"second",
        )
        if match is None or len((match[7] or "").rstrip("0")) > 6:
            raise wrong
        try:
            year, month, day, hour, minute, second = (int(match[i]) for i in range(1, 7))
            fraction = int((match[7] or "").ljust(6, "0")[:6])
            value = datetime(year, month, day, hour, minute, second, fraction, tzinfo=UTC)
            if match[8] != "Z":
                sign = -1 if match[8][0] == "-" else 1
                hours, minutes = int(match[8][1:3]), int(match[8][4:6])
                if hours > 14 or minutes > 59:
                    raise wrong
                value -= sign * timedelta(hours=hours, minutes=minutes)
        except (ValueError, OverflowError):
            raise wrong from None
        if not FIRST_TIME <= value <= LAST_TIME:
            raise wrong
        return value

    def _duration(self, expr: Any, text: str) -> timedelta:
        match = _DURATION.match(text)
        total = 0
        wrong = self.refuse(
            expr,
            f'"{text[:40]}" is not a duration: write "36h", "1h30m" or "1.5s", no finer than microseconds',
        )
        if match is None or len(text) > 60:
            raise wrong
        for whole, decimals, unit in _DURATION_PART.findall(match[2]):
            scale = 10 ** len(decimals)
            amount = (int(whole) * scale + int(decimals or 0)) * _MICROSECONDS[unit]
            if amount % scale:
                raise wrong
            total += amount // scale
        try:
            return timedelta(microseconds=-total if match[1] else total)
        except OverflowError:
            raise self._too_long(expr) from None

    # -- comparisons and arithmetic
    # -----------------------------------------------------------------------------------

    def time_comparison(
        self, expr: Any, op: str, arguments: list[Any], scope: Scope, depth: int
    ) -> ir.Node | None:
        """Lower a comparison one side of which reads ``now``; None when neither does."""
        if not any(reads_now(a, scope) for a in arguments):
            return None
        left, right = (self._linear(a, scope, depth) for a in arguments)
        if left.now_sign and right.now_sign:
            raise self.refuse(expr, f"`now` may stand on one side only: {_FORMS}")
        if right.now_sign:
            left, right, op = right, left, _FLIPPED[op]
        time, sign = (left.time, left.time_sign) if left.time is not None else (right.time, -right.time_sign)
        if time is None or (left.time is not None and right.time is not None) or sign != -left.now_sign:
            raise self.refuse(expr, f"`now` is compared with one time and a constant duration: {_FORMS}")
        shift = right.shift - left.shift
        if left.now_sign < 0:
            # x - now + s op d  is  now flip(op) x + s - d
            op, shift = _FLIPPED[op], -shift
        self._bounded(expr, shift)
        return ir.NowCompare(op=cast(Any, op), time=time, shift=shift, can_err=unsure(time))

    def refuse_now(self, arguments: list[Any], scope: Scope) -> None:
        """Refuse ``now`` in arithmetic that is not part of a comparison."""
        for argument in arguments:
            if reads_now(argument, scope):
                raise self.refuse(argument, f"`now` can only be compared: {_FORMS}")

    def time_arithmetic(self, expr: Any, op: str, left: ir.Node, right: ir.Node) -> ir.Node:
        """Lower + and - where at least one operand is a time or a duration."""
        if left.kind == "duration" and right.kind == "time" and op == "+":
            left, right = right, left
        if left.kind == "time" and right.kind == "duration" and isinstance(right, ir.Const):
            by = cast(timedelta, right.value)
            return ir.TimeShift(kind="time", operand=left, by=by if op == "+" else -by, can_err=True)
        if left.kind == "time" and right.kind == "time":
            return ir.TimeDiff(kind="duration", left=left, right=right, can_err=unsure(left, right))
        if isinstance(left, ir.Const) and isinstance(right, ir.Const):
            a, b = cast(timedelta, left.value), cast(timedelta, right.value)
            return ir.Const(kind="duration", value=self._bounded(expr, a + b if op == "+" else a - b))
        raise self.refuse(
            expr, "only constant durations are added: write a.time - b.time <= days(3), or x + days(3)"
        )

    def _linear(self, expr: Any, scope: Scope, depth: int) -> _Linear:
        if not reads_now(expr, scope):
            node = self.value(expr, scope, depth)
            if isinstance(node, ir.Const) and node.kind == "duration":
                return _Linear(shift=cast(timedelta, node.value))
            if node.kind == "time":
                return _Linear(time=node, time_sign=1)
            raise self.refuse(expr, f"`now` is compared with one time and a constant duration: {_FORMS}")
        if expr.WhichOneof("expr_kind") == "ident_expr":
            return _Linear(now_sign=1)
        if expr.WhichOneof("expr_kind") == "call_expr" and expr.call_expr.function in ("_+_", "_-_"):
            left, right = (self._linear(a, scope, depth) for a in expr.call_expr.args)
            sign = 1 if expr.call_expr.function == "_+_" else -1
            if not (left.time is not None and right.time is not None) and not (
                left.now_sign and right.now_sign
            ):
                return _Linear(
                    now_sign=left.now_sign + sign * right.now_sign,
                    time=left.time if left.time is not None else right.time,
                    time_sign=left.time_sign + sign * right.time_sign,
                    shift=left.shift + sign * right.shift,
                )
        raise self.refuse(expr, f"`now` can only be compared: {_FORMS}")


def reads_now(expr: Any, scope: Scope) -> bool:
    """Tell whether an operand is ``now`` or a sum or difference that has it (mapped variables never do)."""
    kind = expr.WhichOneof("expr_kind")
    if kind == "ident_expr":
        return bool(expr.ident_expr.name == "now" and "now" not in scope)
    if kind == "call_expr" and expr.call_expr.function in ("_+_", "_-_"):
        return any(reads_now(a, scope) for a in expr.call_expr.args)
    return False
