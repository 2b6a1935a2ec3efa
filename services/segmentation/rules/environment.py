"""The CEL environment of a registry: message types made at run time, functions, limits, and errors people can
read.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from cel.expr import checked_pb2
from cel_expr_python import cel
from google.protobuf import (
    any_pb2,
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    timestamp_pb2,
    wrappers_pb2,
)
from google.protobuf.message import DecodeError

from services.segmentation.rules import natives
from services.segmentation.rules.core import CORE_ATTRIBUTES, CoreAttribute
from services.segmentation.rules.errors import RuleError, RuleTooLargeError
from services.segmentation.rules.meant import explain
from services.segmentation.rules.registry import Attribute, Registry

MAX_CHARACTERS = 20_000
MAX_NODES = 3_000
MAX_DEPTH = 32
"""Levels of nesting; the parser and the evaluator of CEL have the same bound."""
MAX_LEVELS = 48
"""Levels of the tree with macros expanded and the evaluator's rewrite: a level is two messages, and protobuf reads
100 of them inside one another.
"""

PACKAGE = "rapport.rules"

_WRAPPERS = {
    "int": ".google.protobuf.Int64Value",
    "double": ".google.protobuf.DoubleValue",
    "string": ".google.protobuf.StringValue",
    "bool": ".google.protobuf.BoolValue",
    "timestamp": ".google.protobuf.Timestamp",
}
_FIELD = descriptor_pb2.FieldDescriptorProto
_PLAIN = {
    "int": _FIELD.TYPE_INT64,
    "double": _FIELD.TYPE_DOUBLE,
    "string": _FIELD.TYPE_STRING,
    "bool": _FIELD.TYPE_BOOL,
}


def exact_field(name: str) -> str:
    """Return the hidden field that carries payload field ``name`` as decimal text.

    Registered names have no capital letters, so it cannot clash; the lowering refuses it in rules.
    """
    return f"EXACT_{name}"


@dataclass(frozen=True)
class Environment:
    """Hold the CEL environment of one registry and the message classes its variables are made of."""

    registry: Registry
    env: Any
    contact_class: type[Any]
    events_class: type[Any]

    def check(self, text: str) -> checked_pb2.CheckedExpr:
        """Parse and check a rule; raise RuleError with the place of the first mistake."""
        _check_text(text)
        try:
            expression = self.env.compile(text)
        except RuntimeError as error:
            raise _readable(str(error), text, self.registry) from error
        packed = any_pb2.Any.FromString(expression.serialize())
        try:
            checked: checked_pb2.CheckedExpr = checked_pb2.CheckedExpr.FromString(packed.value)
        except DecodeError as error:
            # Macros are expanded, so a rule that the parser takes can be a deeper message than protobuf reads.
            raise RuleTooLargeError(_TOO_DEEP, text=text) from error
        _check_size(checked, text)
        return checked

    def load(self, checked: checked_pb2.CheckedExpr) -> Any:
        """Turn a (possibly rewritten) checked AST into an expression that can be evaluated."""
        packed = any_pb2.Any()
        packed.Pack(checked)
        return self.env.deserialize(packed.SerializeToString())


def environment_of(registry: Registry) -> Environment:
    """Return the environment of a registry; equal vocabularies share one."""
    return _build(registry)


@lru_cache(maxsize=64)
def _build(registry: Registry) -> Environment:
    pool = descriptor_pool.DescriptorPool()
    for module in (timestamp_pb2, wrappers_pb2):
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(_schema(registry).SerializeToString())
    env = cel.NewEnv(
        descriptor_pool=pool,
        variables={
            "contact": cel.Type(f"{PACKAGE}.Contact"),
            "events": cel.Type(f"{PACKAGE}.Events"),
            "now": cel.Type.TIMESTAMP,
        },
        functions=_functions(registry),
    )

    def cls(name: str) -> type[Any]:
        return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))

    return Environment(registry, env, cls("Contact"), cls("Events"))


def _schema(registry: Registry) -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(
        name=f"rapport/rules/{registry.fingerprint}.proto",
        package=PACKAGE,
        syntax="proto3",
        dependency=["google/protobuf/timestamp.proto", "google/protobuf/wrappers.proto"],
    )

    def message(name: str) -> descriptor_pb2.DescriptorProto:
        return file.message_type.add(name=name)

    def put(to: descriptor_pb2.DescriptorProto, name: str, kind: str, repeated: bool = False) -> None:
        field = to.field.add(name=name, number=len(to.field) + 1, json_name=name)
        field.label = _FIELD.LABEL_REPEATED if repeated else _FIELD.LABEL_OPTIONAL
        if kind.startswith("."):
            field.type, field.type_name = _FIELD.TYPE_MESSAGE, kind
        else:
            field.type = _PLAIN[kind]

    location = message("Location")
    put(location, "latitude", _WRAPPERS["double"])
    put(location, "longitude", _WRAPPERS["double"])
    consents = message("Consents")
    for consent in registry.consents:
        put(consents, consent, _WRAPPERS["string"])
    traits = message("Traits")
    for trait in registry.traits:
        put(traits, trait.name, _WRAPPERS[trait.type])
    contact = message("Contact")
    attributes: tuple[CoreAttribute | Attribute, ...] = (*CORE_ATTRIBUTES, *registry.attributes)
    for attribute in attributes:
        if attribute.type == "strings":
            put(contact, attribute.name, "string", repeated=True)
        else:
            put(contact, attribute.name, _WRAPPERS[attribute.type])
    put(contact, "consents", f".{PACKAGE}.Consents")
    put(contact, "traits", f".{PACKAGE}.Traits")
    put(contact, "location", f".{PACKAGE}.Location")
    events = message("Events")
    for event_type in registry.event_types:
        record = message(f"Event_{event_type.cel_name}")
        put(record, "time", _WRAPPERS["timestamp"])
        for payload in event_type.fields:
            # Required ones are wrappers too: has() of a plain field would be false for 0 and "".
            put(record, payload.name, _WRAPPERS[payload.type])
            if payload.type == "double":
                put(record, exact_field(payload.name), _WRAPPERS["string"])
        put(events, event_type.cel_name, f".{PACKAGE}.Event_{event_type.cel_name}", repeated=True)
    return file


def _functions(registry: Registry) -> list[Any]:
    types = cel.Type
    contact = types(f"{PACKAGE}.Contact")
    values = {"int": types.INT, "double": types.DOUBLE, "string": types.STRING, "bool": types.BOOL}

    def declare(name: str, *overloads: tuple[str, Any, list[Any], Callable[..., Any] | None]) -> Any:
        made = []
        for overload, result, parameters, run in overloads:
            extra = {} if run is None else {"impl": run}
            made.append(cel.Overload(overload, return_type=result, parameters=parameters, **extra))
        return cel.FunctionDecl(name, made)

    ints, doubles, times, anything = (
        types.List(t) for t in (types.INT, types.DOUBLE, types.TIMESTAMP, types.DYN)
    )
    declared = [
        declare("days", ("days_int", types.DURATION, [types.INT], natives.days)),
        declare("hours", ("hours_int", types.DURATION, [types.INT], natives.hours)),
        declare("minutes", ("minutes_int", types.DURATION, [types.INT], natives.minutes)),
        # CEL dispatches by "list", whatever it is of, so overloads cannot have an implementation each: these
        # are
        # declarations for the checker, and the evaluator's rewrite calls the hidden functions below.
        declare("sum", ("sum_int", types.INT, [ints], None), ("sum_double", types.DOUBLE, [doubles], None)),
        *(
            declare(
                name,
                (f"{name}_int", types.INT, [ints], None),
                (f"{name}_double", types.DOUBLE, [doubles], None),
                (f"{name}_timestamp", types.TIMESTAMP, [times], None),
            )
            for name in ("min", "max")
        ),
        declare("fold", ("fold_string", types.STRING, [types.STRING], natives.fold)),
        declare(
            "bucket",
            ("bucket_string", types.INT, [types.STRING], natives.bucket),
            ("bucket_string_int", types.INT, [types.STRING, types.INT], natives.bucket),
        ),
        declare("in_segment", ("in_segment_string", types.BOOL, [types.STRING], natives.in_segment)),
        declare(
            "distance_km",
            (
                "distance_km_location",
                types.DOUBLE,
                [types(f"{PACKAGE}.Location"), types.DOUBLE, types.DOUBLE],
                natives.distance_of_location,
            ),
        ),
        # The next ones cannot be written in a rule ("@"); the evaluator's rewrite puts them in.
        declare(
            "@calendar",
            (
                "calendar_timestamp",
                types.INT,
                [types.TIMESTAMP, types.STRING, types.STRING],
                natives.calendar,
            ),
        ),
        declare("@finite", ("finite_double", types.DOUBLE, [types.DOUBLE], natives.finite)),
        declare("@missing_time", ("missing_time", types.TIMESTAMP, [types.STRING], natives.missing_time)),
        declare("@sum_exact", ("sum_exact_list", types.DOUBLE, [anything], natives.sum_exact)),
        declare("@sum_int", ("sum_int_list", types.INT, [anything], natives.sum_ints)),
        declare("@sum_double", ("sum_double_list", types.DOUBLE, [anything], natives.sum_doubles)),
        *(
            declare(f"@{name}_{kind}", (f"{name}_{kind}_list", result, [anything], run))
            for name, run in (("min", natives.smallest), ("max", natives.largest))
            for kind, result in (("int", types.INT), ("double", types.DOUBLE), ("time", types.TIMESTAMP))
        ),
        declare(
            "@between",
            ("between_timestamps", types.DURATION, [types.TIMESTAMP, types.TIMESTAMP], natives.between),
        ),
    ]
    for function in registry.functions:
        declared.append(
            declare(
                function.name,
                (
                    f"plugin_{function.name.replace('.', '_')}",
                    values[function.returns],
                    [contact, *(values[p] for p in function.params)],
                    natives.plugin_caller(function.name, function.returns),
                ),
            )
        )
    return declared


def _check_text(text: str) -> None:
    if len(text) > MAX_CHARACTERS:
        raise RuleTooLargeError(f"the rule has {len(text)} characters: at most {MAX_CHARACTERS} are allowed")
    if not text.strip():
        raise RuleError('the rule is empty: write a condition such as contact.region_code == "VN"')
    for offset, character in enumerate(text):
        if character == "\0" or "\ud800" <= character <= "\udfff":
            raise RuleError.at(f"the character U+{ord(character):04X} is not allowed in a rule", text, offset)


def _check_size(checked: checked_pb2.CheckedExpr, text: str) -> None:
    """Bound the nodes and the nesting of the tree without recursion; macros count as expanded."""
    nodes = 0
    stack = [(checked.expr, 1)]
    while stack:
        expr, depth = stack.pop()
        nodes += 1
        if nodes > MAX_NODES:
            raise RuleTooLargeError(
                f"the rule has more than {MAX_NODES} parts: split it into several segments", text=text
            )
        if depth > MAX_LEVELS:
            offset = checked.source_info.positions.get(expr.id, 0)
            error = RuleError.at("", text, offset)
            raise RuleTooLargeError(_TOO_DEEP, text=text, line=error.line, column=error.column)
        depth += 1 + _rewritten(expr, checked)
        stack.extend((child, depth) for child in children(expr))


def _rewritten(expr: Any, checked: checked_pb2.CheckedExpr) -> bool:
    """Tell whether the evaluator's rewrite puts a call around a node: double arithmetic, and fields that are times."""
    kind = expr.WhichOneof("expr_kind")
    if kind == "call_expr":
        wrapped = expr.call_expr.function in ("_+_", "_-_", "_*_", "_/_")
        return wrapped and checked.type_map[expr.id].primitive == checked_pb2.Type.PrimitiveType.DOUBLE
    if kind == "select_expr":
        return bool(checked.type_map[expr.id].well_known == checked_pb2.Type.WellKnownType.TIMESTAMP)
    return False


def children(expr: Any) -> list[Any]:
    """Return the direct sub-expressions of a node of the checked AST."""
    kind = expr.WhichOneof("expr_kind")
    if kind == "select_expr":
        return [expr.select_expr.operand]
    if kind == "call_expr":
        call = expr.call_expr
        return [*([call.target] if call.HasField("target") else []), *call.args]
    if kind == "list_expr":
        return list(expr.list_expr.elements)
    if kind == "struct_expr":
        entries = expr.struct_expr.entries
        return [
            *(e.map_key for e in entries if e.WhichOneof("key_kind") == "map_key"),
            *(e.value for e in entries),
        ]
    if kind == "comprehension_expr":
        c = expr.comprehension_expr
        return [c.iter_range, c.accu_init, c.loop_condition, c.loop_step, c.result]
    return []


_TOO_DEEP = (
    f"the rule is nested more than {MAX_DEPTH} levels deep: "
    "write it flatter or split it into several segments"
)
_PLACE = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): (.*)")


def _readable(raw: str, text: str, registry: Registry) -> RuleError:
    """Turn the checker's message into ours: its first place, without internal type names."""
    match = _PLACE.search(raw)
    if "recursion" in raw:
        return RuleTooLargeError(_TOO_DEEP, text=text)
    if match is None:
        return RuleError(_clean(raw), text=text)
    line, column, said = int(match[1]), int(match[2]), _clean(match[3])
    if line < 1:
        return RuleError(said, text=text)
    message, (line, column) = explain(said, text, line, max(1, column), registry)
    return RuleError(message, text=text, line=line, column=column)


def _clean(message: str) -> str:
    message = message.replace(" [INVALID_ARGUMENT]", "").replace(" (in container '')", "")
    message = re.sub(r"wrapper\((\w+)\)", r"\1", message)
    message = re.sub(r"struct 'rapport\.rules\.Event_(\w+)'", r"events of events.\1", message)
    message = message.replace(f"struct '{PACKAGE}.Contact'", "contact")
    message = message.replace(f"struct '{PACKAGE}.Events'", "events")
    message = re.sub(
        rf"struct '{re.escape(PACKAGE)}\.(Traits|Consents|Location)'",
        lambda m: f"contact.{m[1].lower()}",
        message,
    )
    message = message.replace(f"{PACKAGE}.", "").removeprefix("INVALID_ARGUMENT: ")
    return message.replace("google.protobuf.Timestamp", "timestamp").replace(
        "google.protobuf.Duration", "duration"
    )
