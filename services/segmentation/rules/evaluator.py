"""CEL's own evaluator on one profile: the meaning of a rule, against which the SQL is tested.

The checked AST is rewritten where CEL's built-in meaning differs from ours: a missing time is an error (CEL
would read 1970), double arithmetic that overflows or divides by zero is one (CEL would give infinity),
differences of times reach over the whole calendar (CEL's overflow after 292 years), calendar functions count
in the business's zone and not in UTC, texts are NFC, and sums of payload numbers add exact decimals.
"""

from __future__ import annotations

import unicodedata
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any

from cel.expr import checked_pb2

from services.segmentation.rules.calendars import PARTS
from services.segmentation.rules.core import CORE_ATTRIBUTES
from services.segmentation.rules.environment import PACKAGE, Environment, children, exact_field
from services.segmentation.rules.lowering_lists import recognise
from services.segmentation.rules.moments import age_at, check_now, day_start
from services.segmentation.rules.natives import FACTS
from services.segmentation.rules.profile import (
    Profile,
    check_names,
    checked_date,
    checked_location,
    checked_payload,
    checked_value,
)


class Outcome(Enum):
    """What a rule says about a contact. Only MEMBER is a member; LIMIT means that the evaluator gave up."""

    MEMBER = "member"
    NOT_MEMBER = "not_member"
    UNKNOWN = "unknown"
    LIMIT = "limit"


class Evaluator:
    """Evaluate one rule."""

    def __init__(
        self, environment: Environment, checked: checked_pb2.CheckedExpr, event_types: frozenset[str]
    ) -> None:
        self._environment = environment
        self._event_types = event_types
        self._expression = environment.load(rewrite(checked, environment.registry.time_zone))

    def evaluate(self, profile: Profile, now: datetime) -> Outcome:
        """Return the outcome for a profile at ``now``; events later than that are not seen."""
        now = check_now(now)
        registry = self._environment.registry
        data = {
            "contact": contact_message(self._environment, profile, now),
            "events": self._events_message(profile, now),
            "now": now,
        }
        FACTS.contact_id = profile.contact_id
        FACTS.segments = profile.segments
        FACTS.plugin_values = profile.plugin_values
        try:
            value = self._expression.eval(data=data).value()
        except RuntimeError as error:
            if "budget" in str(error) or "limit" in str(error):
                return Outcome.LIMIT
            raise RuntimeError(
                f"CEL cannot evaluate a rule of registry {registry.fingerprint}: {error}"
            ) from error
        finally:
            FACTS.contact_id = None
            FACTS.segments = frozenset()
            FACTS.plugin_values = {}
        if value is True:
            return Outcome.MEMBER
        return Outcome.NOT_MEMBER if value is False else Outcome.UNKNOWN

    def _events_message(self, profile: Profile, now: datetime) -> Any:
        message = self._environment.events_class()
        types = self._environment.registry.events_by_name
        for event in profile.events:
            event_type = types.get(event.type)
            if event_type is None or event.type not in self._event_types or event.time > now:
                continue
            record = getattr(message, event_type.cel_name).add()
            _set_time(record.time, event.time)
            for name, value in checked_payload(event_type, event.payload).items():
                _set(record, name, value)
                if event_type.field(name).type == "double":
                    exact = value if isinstance(value, Decimal) else Decimal(repr(value))
                    getattr(record, exact_field(name)).value = format(exact, "f")
        return message


def contact_message(environment: Environment, profile: Profile, now: datetime) -> Any:
    """Build the ``contact`` variable; missing values stay unset."""
    registry = environment.registry
    check_names(registry, profile)
    message = environment.contact_class()
    attributes = profile.attributes
    known = {a.name: str(a.type) for a in CORE_ATTRIBUTES} | {
        a.name: str(a.type) for a in registry.attributes
    }
    for core in CORE_ATTRIBUTES:
        if core.default is not None and core.type != "strings" and attributes.get(core.name) is None:
            _set(message, core.name, core.default)
    for name, value in attributes.items():
        if value is not None and name not in ("birth_date", "tags"):
            _set(message, name, checked_value(known[name], value, name))
    message.tags.extend(checked_value("strings", (*(attributes.get("tags") or ()), *profile.tags), "tags"))
    born = checked_date(attributes.get("birth_date"))
    if born is not None:
        _set(message, "birth_date", day_start(born, registry.time_zone))
        age = age_at(born, now, registry.time_zone)
        message.ClearField("age")
        if age is not None:
            _set(message, "age", age)
    for name, value in profile.consents.items():
        if value is not None:
            _set(message.consents, name, checked_value("string", value, name))
    types = {t.name: t.type for t in registry.traits}
    for name, value in profile.traits.items():
        if value is not None:
            _set(message.traits, name, checked_value(types[name], value, name))
    latitude, longitude = checked_location(profile.location)
    if latitude is not None:
        _set(message.location, "latitude", latitude)
        _set(message.location, "longitude", longitude)
    return message


def _set(message: Any, name: str, value: Any) -> None:
    if isinstance(value, tuple):
        getattr(message, name).extend(value)
    elif isinstance(value, datetime):
        _set_time(getattr(message, name), value)
    else:
        getattr(message, name).value = float(value) if isinstance(value, Decimal) else value


def _set_time(message: Any, value: datetime) -> None:
    message.FromDatetime(value)


# -- the rewrite
# ------------------------------------------------------------------------------------------------------

_TIMESTAMP = checked_pb2.Type.WellKnownType.TIMESTAMP
_DOUBLE = checked_pb2.Type.PrimitiveType.DOUBLE


def rewrite(checked: checked_pb2.CheckedExpr, time_zone: str) -> checked_pb2.CheckedExpr:
    """Return a copy of a checked AST that means what this package means; ``time_zone`` is the business's."""
    copy = checked_pb2.CheckedExpr()
    copy.CopyFrom(checked)
    _Rewrite(copy, time_zone).visit(copy.expr)
    return copy


class _Rewrite:
    def __init__(self, checked: checked_pb2.CheckedExpr, time_zone: str) -> None:
        self.checked = checked
        self.time_zone = time_zone
        self._last_id = max((*checked.type_map, *checked.reference_map, *checked.source_info.positions, 0))

    def visit(self, expr: Any) -> None:
        for child in children(expr):
            self.visit(child)
        kind = expr.WhichOneof("expr_kind")
        if kind == "const_expr" and expr.const_expr.WhichOneof("constant_kind") == "string_value":
            expr.const_expr.string_value = unicodedata.normalize("NFC", expr.const_expr.string_value)
        elif kind == "select_expr":
            self._missing_time(expr)
        elif kind == "call_expr":
            if (
                expr.call_expr.function in ("_+_", "_-_", "_*_", "_/_")
                and self._type(expr).primitive == _DOUBLE
            ):
                self._wrap(expr, "@finite", "finite_double")
            elif (
                expr.call_expr.function == "_-_"
                and self._type(expr.call_expr.args[1]).well_known == _TIMESTAMP
            ):
                self._rename(expr, "@between", "between_timestamps")
            elif expr.call_expr.function in PARTS:
                self._calendar(expr)
            elif expr.call_expr.function in ("sum", "min", "max"):
                self._reduce(expr)

    def _type(self, expr: Any) -> checked_pb2.Type:
        return self.checked.type_map[expr.id] if expr.id in self.checked.type_map else checked_pb2.Type()

    def _new(self, expr: Any, type_: checked_pb2.Type | None) -> Any:
        self._last_id += 1
        expr.id = self._last_id
        if type_ is not None:
            self.checked.type_map[expr.id].CopyFrom(type_)
        return expr

    def _call(self, expr: Any, function: str, overload: str) -> Any:
        expr.call_expr.function = function
        reference = self.checked.reference_map[expr.id]
        reference.name = function
        reference.overload_id.append(overload)
        return expr.call_expr.args

    def _wrap(self, expr: Any, function: str, overload: str) -> None:
        inner = type(expr)()
        inner.CopyFrom(expr)
        type_ = checked_pb2.Type()
        type_.CopyFrom(self._type(expr))
        expr.Clear()
        self._new(expr, type_)
        self._call(expr, function, overload).append(inner)

    def _missing_time(self, expr: Any) -> None:
        """``x.t`` becomes ``has(x.t) ? x.t : @missing_time("t")``; the time of an event is never missing."""
        select = expr.select_expr
        if select.test_only or select.field == "time" or self._type(expr).well_known != _TIMESTAMP:
            return
        value, present, otherwise = (type(expr)() for _ in range(3))
        value.CopyFrom(expr)
        present.CopyFrom(expr)
        present.select_expr.test_only = True
        self._new(present, checked_pb2.Type(primitive=checked_pb2.Type.PrimitiveType.BOOL))
        time = checked_pb2.Type(well_known=_TIMESTAMP)
        self._new(otherwise, time)
        what = type(expr)()
        what.const_expr.string_value = select.field
        self._new(what, checked_pb2.Type(primitive=checked_pb2.Type.PrimitiveType.STRING))
        self._call(otherwise, "@missing_time", "missing_time").append(what)
        expr.Clear()
        self._new(expr, time)
        self._call(expr, "_?_:_", "conditional").extend((present, value, otherwise))

    def _calendar(self, expr: Any) -> None:
        """``t.getMonth(zone)`` becomes ``@calendar(t, "getMonth", zone)``, with the business's zone where none is."""
        call = expr.call_expr
        name, zones = call.function, [a.const_expr.string_value for a in call.args]
        time = type(expr)()
        time.CopyFrom(call.target)
        call.Clear()
        self._rename(expr, "@calendar", "calendar_timestamp")
        call.args.append(time)
        for text in (name, zones[0] if zones else self.time_zone):
            literal = call.args.add()
            literal.const_expr.string_value = text
            self._new(literal, checked_pb2.Type(primitive=checked_pb2.Type.PrimitiveType.STRING))

    def _reduce(self, expr: Any) -> None:
        """Call the hidden function of sum, min or max for the type at hand."""
        name = expr.call_expr.function
        if name != "sum":
            type_ = self._type(expr)
            kind = (
                "time"
                if type_.well_known == _TIMESTAMP
                else "double"
                if type_.primitive == _DOUBLE
                else "int"
            )
            self._rename(expr, f"@{name}_{kind}", f"{name}_{kind}_list")
        elif self._type(expr).primitive == _DOUBLE:
            self._rename(
                expr,
                *(
                    ("@sum_exact", "sum_exact_list")
                    if self._exact(expr)
                    else ("@sum_double", "sum_double_list")
                ),
            )
        else:
            self._rename(expr, "@sum_int", "sum_int_list")

    def _rename(self, expr: Any, function: str, overload: str) -> None:
        expr.call_expr.function = function
        reference = self.checked.reference_map[expr.id]
        reference.name = function
        del reference.overload_id[:]
        reference.overload_id.append(overload)

    def _exact(self, expr: Any) -> bool:
        """Make ``sum(list.map(e, e.amount))`` read the decimal texts of the amounts; tell whether it is of
        that form.
        """
        argument = expr.call_expr.args[0]
        if argument.WhichOneof("expr_kind") != "comprehension_expr":
            return False
        macro = recognise(argument.comprehension_expr)
        if macro is None or macro.mapped is None or macro.mapped.WhichOneof("expr_kind") != "select_expr":
            return False
        mapped = macro.mapped
        operand = self._type(mapped.select_expr.operand)
        if not operand.message_type.startswith(f"{PACKAGE}.Event_") or self._type(mapped).wrapper != _DOUBLE:
            return False
        mapped.select_expr.field = exact_field(mapped.select_expr.field)
        text = checked_pb2.Type(wrapper=checked_pb2.Type.PrimitiveType.STRING)
        self.checked.type_map[mapped.id].CopyFrom(text)
        return True
