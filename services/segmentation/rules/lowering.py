"""From CEL's checked AST to our typed tree: fields, operators and functions. Lists and times have modules of
their own.
"""

from __future__ import annotations

import math
import unicodedata
from difflib import get_close_matches
from typing import Any, cast

from services.segmentation.rules import ir
from services.segmentation.rules.calendars import PARTS
from services.segmentation.rules.core import CORE_BY_NAME
from services.segmentation.rules.lowering_bucket import BucketLowering
from services.segmentation.rules.lowering_calendar import CalendarLowering
from services.segmentation.rules.lowering_lists import ListLowering
from services.segmentation.rules.registry import Registry
from services.segmentation.rules.scope import Item, Mapped, Scope, unsure

_KINDS: dict[str, ir.Kind] = {
    "int": "int",
    "double": "double",
    "string": "string",
    "bool": "bool",
    "timestamp": "time",
}
_ARITHMETIC = {"_+_": "+", "_-_": "-", "_*_": "*", "_/_": "/", "_%_": "%"}
_COMPARISONS = {"_<_": "<", "_<=_": "<=", "_>_": ">", "_>=_": ">="}
_NO_INDEX = "elements have no order to index: use exists(), min() or max()"
_ALLOWED = (
    "comparisons, && || ! ?:, in, arithmetic, has(), size(), startsWith(), endsWith(), contains(), fold(), "
    "filter(), exists(), all(), exists_one(), map(), sum(), min(), max(), days(), hours(), minutes(), "
    "duration(), "
    "timestamp(), getMonth() and its like, double(), int(), distance_km(), bucket(), in_segment() and rules "
    "of plugins"
)


def lower(checked: Any, text: str, registry: Registry) -> ir.Node:
    """Lower a checked rule; raise RuleError for what cannot become SQL, naming the place and the allowed
    form.
    """
    lowering = Lowering(checked, text, registry)
    root = lowering.value(checked.expr, {}, 0)
    if root.kind != "bool":
        raise lowering.refuse(
            checked.expr, f"a rule must be true or false, this is a value of type {_name(root.kind)}"
        )
    return root


def _name(kind: ir.Kind) -> str:
    return {"time": "timestamp"}.get(kind, kind)


class Lowering(ListLowering, CalendarLowering, BucketLowering):
    """Lower one rule."""

    def value(self, expr: Any, scope: Scope, depth: int) -> ir.Node:
        """Lower a part of the rule that is a single value."""
        kind = expr.WhichOneof("expr_kind")
        if kind == "const_expr":
            return self.done(self.constant(expr), expr)
        if kind == "ident_expr":
            return self.done(self._ident(expr, scope, depth), expr)
        if kind == "select_expr":
            return self.done(self._select(expr, scope, depth), expr)
        if kind == "call_expr":
            return self.done(self._call(expr, scope, depth), expr)
        if kind == "comprehension_expr":
            return self.done(self.quantified(expr, scope, depth), expr)
        if kind == "list_expr":
            raise self.refuse(expr, 'a list can only stand to the right of `in`: x in ["a", "b"]')
        raise self.refuse(expr, "maps and messages cannot be built in a rule")

    # -- leaves
    # -------------------------------------------------------------------------------------------------------

    def constant(self, expr: Any) -> ir.Const:
        """Lower a literal; texts are brought to NFC, as stored values are."""
        constant = expr.const_expr
        kind = constant.WhichOneof("constant_kind")
        if kind == "bool_value":
            return ir.Const(kind="bool", value=constant.bool_value)
        if kind == "int64_value":
            return ir.Const(kind="int", value=constant.int64_value)
        if kind == "double_value":
            if not math.isfinite(constant.double_value):
                raise self.refuse(expr, "this number is beyond the range of doubles")
            return ir.Const(kind="double", value=constant.double_value)
        if kind == "string_value":
            if "\0" in constant.string_value:
                raise self.refuse(expr, "a text cannot contain the character U+0000")
            return ir.Const(kind="string", value=unicodedata.normalize("NFC", constant.string_value))
        if kind == "null_value":
            return ir.Const(kind="null", value=None, can_null=True)
        raise self.refuse(expr, 'bytes and unsigned numbers are not used in rules: write "text" or 3')

    def _ident(self, expr: Any, scope: Scope, depth: int) -> ir.Node:
        name = expr.ident_expr.name
        binding = scope.get(name)
        if isinstance(binding, Mapped):
            return self.value(binding.expr, binding.scope, depth)
        if isinstance(binding, Item):
            if binding.event_type is None:
                return ir.Element(kind="string", var=binding.var)
            raise self.refuse(expr, f"{name} is a whole event: name one of its fields, such as {name}.time")
        if name == "now":
            raise self.refuse(
                expr,
                "`now` can only be compared: now - x <= days(30), x > now - days(30) or now > x, or asked for "
                "its calendar: now.getMonth() == 3",
            )
        if name == "contact":
            raise self.refuse(
                expr, "`contact` is the whole profile: name one of its fields, such as contact.region_code"
            )
        if name == "events":
            raise self.refuse(
                expr, "`events` holds all events: name a type, such as events.order_placed.size() > 0"
            )
        raise self.refuse(expr, f"the name {name} cannot be used here")

    def _select(self, expr: Any, scope: Scope, depth: int) -> ir.Node:
        if expr.select_expr.test_only:
            return self._has(expr, scope, depth)
        node = self.field(expr, scope)
        if node is None:
            raise self.refuse(
                expr, f"`{expr.select_expr.field}` is a list: use size(), exists(), all(), filter() or in"
            )
        if node.kind == "location":
            raise self.refuse(
                expr, "a location is used as distance_km(contact.location, latitude, longitude) < km"
            )
        return node

    def field(self, expr: Any, scope: Scope) -> ir.Node | None:
        """Lower a selected field; None when it is a list."""
        select = expr.select_expr
        path = self._path(expr)
        if path and path[0] == "contact" and "contact" not in scope:
            return self._contact_field(expr, path[1:])
        if select.operand.WhichOneof("expr_kind") == "ident_expr":
            binding = scope.get(select.operand.ident_expr.name)
            while isinstance(binding, Mapped):
                # map(e, e) binds the event itself under another name.
                if binding.expr.WhichOneof("expr_kind") != "ident_expr":
                    break
                binding = binding.scope.get(binding.expr.ident_expr.name)
            if isinstance(binding, Item) and binding.event_type is not None:
                return self._event_field(expr, binding)
            if binding is None and select.operand.ident_expr.name == "events":
                return None
        if (
            select.operand.WhichOneof("expr_kind") == "call_expr"
            and select.operand.call_expr.function == "_[_]"
        ):
            raise self.refuse(select.operand, _NO_INDEX)
        raise self.refuse(expr, f"the field {select.field} cannot be read here")

    def _path(self, expr: Any) -> list[str]:
        names: list[str] = []
        while expr.WhichOneof("expr_kind") == "select_expr":
            names.append(expr.select_expr.field)
            expr = expr.select_expr.operand
        return (
            [expr.ident_expr.name, *reversed(names)] if expr.WhichOneof("expr_kind") == "ident_expr" else []
        )

    def _contact_field(self, expr: Any, path: list[str]) -> ir.Node | None:
        if path[0] in ("traits", "consents"):
            if len(path) == 1:
                raise self.refuse(
                    expr, f"name one field of contact.{path[0]}, such as contact.{path[0]}.something"
                )
            if path[0] == "consents":
                return ir.Attr(kind="string", group="consent", name=path[1], can_null=True)
            trait = next(t for t in self.registry.traits if t.name == path[1])
            return self._missing_time(
                ir.Attr(kind=_KINDS[trait.type], group="trait", name=trait.name, can_null=True)
            )
        if path[0] == "location":
            if len(path) == 1:
                return ir.Attr(kind="location", group="location", name="location", can_err=True)
            return ir.Attr(kind="double", group="location", name=path[1], can_null=True)
        core = CORE_BY_NAME.get(path[0])
        if core is not None:
            if core.type == "strings":
                return None
            nullable = core.default is None
            return self._missing_time(
                ir.Attr(kind=_KINDS[core.type], group="core", name=core.name, can_null=nullable)
            )
        custom = next(a for a in self.registry.attributes if a.name == path[0])
        if custom.type == "strings":
            return None
        return self._missing_time(
            ir.Attr(kind=_KINDS[custom.type], group="custom", name=custom.name, can_null=True)
        )

    def _event_field(self, expr: Any, item: Item) -> ir.Node:
        name = expr.select_expr.field
        if name == "time":
            return ir.EventTime(kind="time", var=item.var)
        assert item.event_type is not None
        try:
            payload = item.event_type.field(name)
        except KeyError:
            raise self.refuse(expr, f"undefined field '{name}' of {item.event_type.name}") from None
        kind = _KINDS[payload.type]
        return self._missing_time(
            ir.EventField(kind=kind, var=item.var, payload=payload, can_null=payload.optional)
        )

    def _missing_time(self, node: ir.Node) -> ir.Node:
        # A missing time is unknown in every use but has(); it is never null.
        if node.kind == "time" and node.can_null:
            return ir.replace_flags(node, can_err=True, can_null=False)
        return node

    def _has(self, expr: Any, scope: Scope, depth: int) -> ir.Node:
        path = self._path(expr)
        if path == ["contact", "location"]:
            return ir.HasLocation()
        if len(path) == 2 and path[0] == "contact" and path[1] in ("traits", "consents"):
            raise self.refuse(expr, f"has() asks for one field, such as has(contact.{path[1]}.something)")
        field = self.field(expr, scope)
        if field is None:
            items, _ = self.items(expr, scope, depth)
            return ir.Compare(
                op=">", left=ir.Count(kind="int", items=items), right=ir.Const(kind="int", value=0)
            )
        return ir.Has(operand=field)

    # -- operators and functions
    # --------------------------------------------------------------------------------------

    def _call(self, expr: Any, scope: Scope, depth: int) -> ir.Node:
        call = expr.call_expr
        name = call.function
        arguments = [*([call.target] if call.HasField("target") else []), *call.args]
        if name in ("_&&_", "_||_"):
            return self._logic(expr, name, scope, depth)
        if name in _COMPARISONS or name in ("_==_", "_!=_"):
            return self._comparison(expr, name, arguments, scope, depth)
        if name == "!_":
            operand = self.value(arguments[0], scope, depth)
            return ir.Not(operand=operand, can_err=unsure(operand))
        if name == "_?_:_":
            return self._ternary(expr, arguments, scope, depth)
        if name == "@in":
            return self.membership(expr, arguments, scope, depth)
        if name in _ARITHMETIC:
            return self._arithmetic(expr, _ARITHMETIC[name], arguments, scope, depth)
        if name == "-_":
            operand = self.value(arguments[0], scope, depth)
            return ir.Negate(
                kind=operand.kind, operand=operand, can_err=operand.kind == "int" or unsure(operand)
            )
        if name == "size":
            return self._size(arguments[0], scope, depth)
        if name in ("sum", "min", "max"):
            return self.aggregate(expr, name, arguments[0], scope, depth)
        if name in ("startsWith", "endsWith", "contains"):
            operand, part = (self.value(a, scope, depth) for a in arguments)
            return ir.TextTest(op=cast(Any, name), operand=operand, part=part, can_err=unsure(operand, part))
        if name == "fold":
            operand = self.value(arguments[0], scope, depth)
            return ir.Fold(kind="string", operand=operand, can_err=unsure(operand))
        if name in ("double", "int"):
            return self._convert(expr, name, arguments[0], scope, depth)
        if name in ("timestamp", "duration", "days", "hours", "minutes"):
            return self.time_literal(expr, name, arguments)
        if name in PARTS:
            return self.calendar(expr, name, arguments, scope, depth)
        if name == "bucket":
            return self.bucket(expr, arguments)
        if name == "distance_km":
            return self._distance(expr, arguments, scope, depth)
        if name == "in_segment":
            return self._in_segment(expr, arguments)
        if name in self.registry.functions_by_name:
            return self._plugin(expr, name, arguments, scope)
        if name == "matches":
            raise self.refuse(
                expr,
                'matches() is not available: use startsWith(), endsWith(), contains() or fold(x) == "..."',
            )
        if name == "_[_]":
            raise self.refuse(expr, _NO_INDEX)
        raise self.refuse(expr, f"{name.strip('_@')}() cannot be used in a rule; allowed are {_ALLOWED}")

    def _logic(self, expr: Any, name: str, scope: Scope, depth: int) -> ir.Node:
        parts: list[ir.Node] = []

        def gather(part: Any) -> None:
            if part.WhichOneof("expr_kind") == "call_expr" and part.call_expr.function == name:
                for argument in part.call_expr.args:
                    gather(argument)
            else:
                parts.append(self.value(part, scope, depth))

        gather(expr)
        build = ir.And if name == "_&&_" else ir.Or
        return build(parts=tuple(parts), can_err=unsure(*parts))

    def _comparison(self, expr: Any, name: str, arguments: list[Any], scope: Scope, depth: int) -> ir.Node:
        timed = self.time_comparison(
            expr, _COMPARISONS.get(name, "==" if name == "_==_" else "!="), arguments, scope, depth
        )
        if timed is not None:
            return timed
        for argument in arguments:
            if self.is_list(argument, scope):
                raise self.refuse(argument, "lists are not compared: use size(), exists(), all() or in")
        left, right = (self.value(a, scope, depth) for a in arguments)
        if name in _COMPARISONS:
            return ir.Compare(
                op=cast(Any, _COMPARISONS[name]), left=left, right=right, can_err=unsure(left, right)
            )
        for one, other, argument in ((left, right, arguments[0]), (right, left, arguments[1])):
            if other.kind == "null" and one.kind in ("time", "duration"):
                raise self.refuse(argument, "a time is not compared with null: write has(...) or !has(...)")
        return ir.Equal(left=left, right=right, negated=name == "_!=_", can_err=left.can_err or right.can_err)

    def _ternary(self, expr: Any, arguments: list[Any], scope: Scope, depth: int) -> ir.Node:
        condition, then, otherwise = (self.value(a, scope, depth) for a in arguments)
        kinds = {then.kind, otherwise.kind} - {"null"}
        if len(kinds) > 1 or (kinds & {"time", "duration"} and "null" in (then.kind, otherwise.kind)):
            raise self.refuse(expr, "both branches of ?: must have the same type")
        return ir.Ternary(
            kind=kinds.pop() if kinds else "null",
            condition=condition,
            then=then,
            otherwise=otherwise,
            can_err=unsure(condition) or then.can_err or otherwise.can_err,
            can_null=then.can_null or otherwise.can_null,
        )

    def _arithmetic(self, expr: Any, op: str, arguments: list[Any], scope: Scope, depth: int) -> ir.Node:
        self.refuse_now(arguments, scope)
        for argument in arguments:
            if self.is_list(argument, scope):
                raise self.refuse(argument, "lists are not joined: combine the conditions with || instead")
        left, right = (self.value(a, scope, depth) for a in arguments)
        if {left.kind, right.kind} & {"time", "duration"}:
            return self.time_arithmetic(expr, op, left, right)
        joins = left.kind == "string"
        return ir.Arith(
            kind=left.kind, op=cast(Any, op), left=left, right=right, can_err=not joins or unsure(left, right)
        )

    def _size(self, argument: Any, scope: Scope, depth: int) -> ir.Node:
        if self.is_list(argument, scope):
            items, _ = self.items(argument, scope, depth)
            return ir.Count(kind="int", items=items, can_err=items.spoils)
        operand = self.value(argument, scope, depth)
        return ir.TextSize(kind="int", operand=operand, can_err=unsure(operand))

    def _convert(self, expr: Any, to: str, argument: Any, scope: Scope, depth: int) -> ir.Node:
        operand = self.value(argument, scope, depth)
        if operand.kind not in ("int", "double"):
            raise self.refuse(expr, f"{to}() converts numbers only")
        can_err = unsure(operand) or (to == "int" and operand.kind == "double")
        return ir.Convert(kind=cast(ir.Kind, to), operand=operand, can_err=can_err)

    def _distance(self, expr: Any, arguments: list[Any], scope: Scope, depth: int) -> ir.Node:
        if self._path(arguments[0]) != ["contact", "location"] or "contact" in scope:
            raise self.refuse(
                expr,
                "distance_km takes the contact's location first: distance_km(contact.location, 10.77, "
                "106.70)",
            )
        latitude, longitude = (self.value(a, scope, depth) for a in arguments[1:])
        for node, limit, argument in ((latitude, 90, arguments[1]), (longitude, 180, arguments[2])):
            if (
                isinstance(node, ir.Const)
                and isinstance(node.value, float)
                and not -limit <= node.value <= limit
            ):
                raise self.refuse(
                    argument,
                    f"a point on Earth has a latitude within 90 and a longitude within 180, not {node.value}",
                )
        return ir.Distance(kind="double", latitude=latitude, longitude=longitude, can_err=True)

    def _in_segment(self, expr: Any, arguments: list[Any]) -> ir.Node:
        name = (
            self.constant(arguments[0]).value
            if arguments[0].WhichOneof("expr_kind") == "const_expr"
            else None
        )
        if not isinstance(name, str) or not name.startswith("segments/") or len(name) == len("segments/"):
            raise self.refuse(expr, 'in_segment takes a segment\'s name: in_segment("segments/churned")')
        if name not in self.registry.segments:
            close = get_close_matches(name, list(self.registry.segments), 1)
            raise self.refuse(
                arguments[0], f"there is no segment {name}{f': did you mean {close[0]}?' if close else ''}"
            )
        return ir.InSegment(segment=name)

    def _plugin(self, expr: Any, name: str, arguments: list[Any], scope: Scope) -> ir.Node:
        function = self.registry.functions_by_name[name]
        if (
            self._path(arguments[0]) not in (["contact"], [])
            or arguments[0].WhichOneof("expr_kind") != "ident_expr"
        ):
            raise self.refuse(expr, f"the first argument of {name} is the contact: {name}(contact)")
        if arguments[0].ident_expr.name != "contact" or "contact" in scope:
            raise self.refuse(expr, f"the first argument of {name} is the contact: {name}(contact)")
        params = []
        for argument in arguments[1:]:
            constant = self.constant(argument) if argument.WhichOneof("expr_kind") == "const_expr" else None
            if constant is None or constant.value is None:
                raise self.refuse(argument, f'parameters of {name} are literals, such as 3 or "gold"')
            params.append(cast("bool | int | float | str", constant.value))
        return ir.PluginValue(
            kind=_KINDS[function.returns], function=name, params=tuple(params), can_err=True
        )
