"""Lowering of lists: macros arrive from CEL already expanded, so their shapes are recognised here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

from services.segmentation.rules import ir
from services.segmentation.rules.core import CORE_BY_NAME
from services.segmentation.rules.scope import Binding, Item, LoweringBase, Mapped, Scope, unsure

_CHAIN = (
    "write the list as events.<type> or contact.tags, followed by filter(), map() "
    "and then size(), exists(), all() or sum()"
)


@dataclass(frozen=True)
class Macro:
    """A recognised comprehension: what it was written as, its variable, range, predicate and mapped
    expression.
    """

    role: str
    variable: str
    over: Any
    predicate: Any = None
    mapped: Any = None


def recognise(comprehension: Any) -> Macro | None:
    """Recognise the expansions of exists, all, exists_one, filter and map; None for any other loop."""
    c = comprehension
    if c.iter_var2 or c.accu_var != "@result":
        return None
    step = c.loop_step
    if step.WhichOneof("expr_kind") != "call_expr":
        return None
    function, arguments = step.call_expr.function, list(step.call_expr.args)
    start = c.accu_init.WhichOneof("expr_kind")
    if start == "const_expr":
        first = c.accu_init.const_expr
        constant = first.WhichOneof("constant_kind")
        if (
            constant == "bool_value"
            and function == ("_&&_" if first.bool_value else "_||_")
            and _is_accu(arguments[0])
        ):
            role = "all" if first.bool_value else "exists"
            return (
                Macro(role, c.iter_var, c.iter_range, predicate=arguments[1]) if _is_accu(c.result) else None
            )
        if constant == "int64_value" and function == "_?_:_" and _is_accu(arguments[2]):
            return Macro("exists_one", c.iter_var, c.iter_range, predicate=arguments[0])
        return None
    if start != "list_expr" or c.accu_init.list_expr.elements or not _is_accu(c.result):
        return None
    predicate = None
    if function == "_?_:_" and _is_accu(arguments[2]):
        predicate, step = arguments[0], arguments[1]
        if step.WhichOneof("expr_kind") != "call_expr":
            return None
        function, arguments = step.call_expr.function, list(step.call_expr.args)
    if function != "_+_" or not _is_accu(arguments[0]) or arguments[1].WhichOneof("expr_kind") != "list_expr":
        return None
    mapped = arguments[1].list_expr.elements[0]
    if mapped.WhichOneof("expr_kind") == "ident_expr" and mapped.ident_expr.name == c.iter_var:
        mapped = None
    return Macro("list", c.iter_var, c.iter_range, predicate=predicate, mapped=mapped)


def _is_accu(expr: Any) -> bool:
    return bool(expr.WhichOneof("expr_kind") == "ident_expr" and expr.ident_expr.name == "@result")


def _maps_field(expr: Any) -> bool:
    """Tell whether a list is a map() to a field itself, as the evaluator's rewrite asks too."""
    macro = (
        recognise(expr.comprehension_expr) if expr.WhichOneof("expr_kind") == "comprehension_expr" else None
    )
    return (
        macro is not None
        and macro.mapped is not None
        and macro.mapped.WhichOneof("expr_kind") == "select_expr"
    )


class ListLowering(LoweringBase):
    """Lower lists and what is asked of them."""

    def value(self, expr: Any, scope: Scope, depth: int) -> ir.Node:
        """Lower a single value (see ``Lowering``)."""
        raise NotImplementedError

    def is_list(self, expr: Any, scope: Scope) -> bool:
        """Tell whether a part of the rule is a list of events or texts."""
        kind = expr.WhichOneof("expr_kind")
        if kind == "comprehension_expr":
            macro = recognise(expr.comprehension_expr)
            return macro is not None and macro.role == "list"
        return (
            kind == "select_expr" and not expr.select_expr.test_only and self._source(expr, scope) is not None
        )

    def _source(self, expr: Any, scope: Scope) -> Any:
        select = expr.select_expr
        if select.operand.WhichOneof("expr_kind") != "ident_expr" or select.operand.ident_expr.name in scope:
            return None
        if select.operand.ident_expr.name == "events":
            return self.registry.events_by_cel_name.get(select.field)
        if select.operand.ident_expr.name == "contact":
            core = CORE_BY_NAME.get(select.field)
            if core is not None:
                return (
                    ir.Attr(kind="string", group="core", name=core.name) if core.type == "strings" else None
                )
            for attribute in self.registry.attributes:
                if attribute.name == select.field and attribute.type == "strings":
                    return ir.Attr(kind="string", group="custom", name=attribute.name)
        return None

    def items(self, expr: Any, scope: Scope, depth: int) -> tuple[ir.ListExpr, Binding]:
        """Lower a list whose items are bound at level ``depth``; also return what a variable over it is bound
        to.
        """
        kind = expr.WhichOneof("expr_kind")
        if kind == "select_expr":
            source = self._source(expr, scope)
            if source is None:
                raise self.refuse(expr, f"this is not a list of events or texts: {_CHAIN}")
            return ir.ListExpr(source, depth), Item(None if isinstance(source, ir.Attr) else source, depth)
        if kind == "ident_expr":
            raise self.refuse(expr, f"{expr.ident_expr.name} is not a list: {_CHAIN}")
        macro = recognise(expr.comprehension_expr) if kind == "comprehension_expr" else None
        if macro is None or macro.role != "list":
            raise self.refuse(expr, f"this list cannot be compiled: {_CHAIN}")
        items, binding = self.items(macro.over, scope, depth)
        inner: Scope = {**scope, macro.variable: binding}
        if macro.predicate is not None:
            predicate = self.value(macro.predicate, inner, depth + 1)
            items = replace(
                items,
                steps=(*items.steps, ir.Step("filter", predicate)),
                spoils=items.spoils or unsure(predicate),
            )
        if macro.mapped is None:
            return items, binding
        if self.is_list(macro.mapped, inner):
            raise self.refuse(macro.mapped, "lists of lists cannot be compiled: map() takes a single value")
        element = self.value(macro.mapped, inner, depth + 1)
        if element.kind == "duration":
            raise self.refuse(
                macro.mapped, "map() to times or numbers, and compare the result: now - max(...) <= days(30)"
            )
        steps, spoils = items.steps, items.spoils
        if element.can_err:
            steps, spoils = (*steps, ir.Step("strict", element)), True
        return replace(items, steps=steps, spoils=spoils, element=element), Mapped(macro.mapped, inner)

    def quantified(self, expr: Any, scope: Scope, depth: int) -> ir.Node:
        """Lower exists, all or exists_one."""
        macro = recognise(expr.comprehension_expr)
        if macro is None:
            raise self.refuse(expr, f"this loop cannot be compiled: {_CHAIN}")
        if macro.role == "list":
            raise self.refuse(
                expr, "a list is not a condition: add size() > 0, exists(), all() or sum(...) > ..."
            )
        items, binding = self.items(macro.over, scope, depth)
        predicate = self.value(macro.predicate, {**scope, macro.variable: binding}, depth + 1)
        return ir.Quantified(
            role=cast(Any, macro.role),
            items=replace(items, element=None),
            predicate=predicate,
            can_err=items.spoils or unsure(predicate),
        )

    def aggregate(self, expr: Any, role: str, argument: Any, scope: Scope, depth: int) -> ir.Node:
        """Lower sum, min or max of a mapped list."""
        if not self.is_list(argument, scope):
            raise self.refuse(expr, f"{role}() takes a list: {role}(events.order_placed.map(e, e.amount))")
        items, _ = self.items(argument, scope, depth)
        element = items.element
        if element is None or element.kind not in ("int", "double", "time"):
            raise self.refuse(expr, f"{role}() takes numbers: {role}(events.order_placed.map(e, e.amount))")
        if element.can_null:
            items = replace(items, steps=(*items.steps, ir.Step("strict", element)), spoils=True)
        exact = (
            role == "sum"
            and element.kind == "double"
            and isinstance(element, ir.EventField)
            and _maps_field(argument)
        )
        return ir.Aggregate(kind=element.kind, role=cast(Any, role), items=items, exact=exact, can_err=True)

    def membership(self, expr: Any, arguments: list[Any], scope: Scope, depth: int) -> ir.Node:
        """Lower ``x in list``."""
        wanted, among = arguments
        kind = among.WhichOneof("expr_kind")
        if kind == "list_expr":
            return self._in_values(expr, wanted, among, scope, depth)
        if kind == "select_expr" and isinstance(source := self._source(among, scope), ir.Attr):
            operand = self.value(wanted, scope, depth)
            if operand.kind != "string":
                raise self.refuse(wanted, "tags and other lists hold texts")
            return ir.InTexts(operand=operand, attribute=source, can_err=operand.can_err)
        if not self.is_list(among, scope):
            raise self.refuse(among, "`in` takes a list of literals, contact.tags or a mapped list of events")
        items, binding = self.items(among, scope, depth)
        if items.element is None and not isinstance(items.source, ir.Attr):
            raise self.refuse(
                among, 'events are not compared as a whole: write exists(e, e.category == "shoes")'
            )
        operand = self.value(wanted, scope, depth + 1)
        if operand.can_err:
            raise self.refuse(
                wanted, "this can be unknown: guard it with has(...), or write exists(x, x == ...)"
            )
        element = items.element
        if element is None:
            assert isinstance(binding, Item | Mapped)
            element = ir.Element(kind="string", var=depth)
        equal = ir.Equal(left=operand, right=element, can_err=element.can_err)
        items = replace(items, element=None)
        return ir.Quantified(
            role="exists", items=items, predicate=equal, can_err=items.spoils or equal.can_err
        )

    def _in_values(self, expr: Any, wanted: Any, among: Any, scope: Scope, depth: int) -> ir.Node:
        operand = self.value(wanted, scope, depth)
        values = []
        for element in among.list_expr.elements:
            constant = self.constant(element) if element.WhichOneof("expr_kind") == "const_expr" else None  # type: ignore[attr-defined]
            if constant is None:
                raise self.refuse(
                    element, '`in` takes literals: x in ["a", "b"]; for other values write x == a || x == b'
                )
            if constant.value is None:
                raise self.refuse(element, "null is not listed: write !has(x) || x in [...]")
            if constant.kind != operand.kind:
                raise self.refuse(element, "this value has another type than what stands left of `in`")
            values.append(constant.value)
        return ir.InValues(operand=operand, values=tuple(values), can_err=operand.can_err)
