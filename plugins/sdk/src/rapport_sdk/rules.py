"""Segment rules: functions of the rule language that a plugin adds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeAlias, TypeVar

from rapport_sdk.context import EvalContext, SqlContext
from rapport_sdk.names import FIELD_NAME
from rapport_sdk.profile import Profile
from rapport_sdk.values import VALUE_TYPES, Value, ValueType, value_problem

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

T = TypeVar("T")
N = TypeVar("N")


@dataclass(frozen=True, slots=True)
class Timed(Generic[T, N]):
    """Answer a value together with the first instant at which time alone may change it.

    next_change: strictly later than now; None or NULL when time alone never changes it. Too early costs one
    more evaluation, too late leaves somebody in a segment too long. Events that are dated in the future are
    seen to by the host.
    """

    value: T
    next_change: N


SqlAnswer: TypeAlias = "ColumnElement[Any] | Timed[ColumnElement[Any], ColumnElement[Any] | None]"
PythonAnswer: TypeAlias = "Value | Timed[Value, datetime | None]"


@dataclass(frozen=True)
class Parameter:
    """Declare one literal parameter of a rule, by position after the contact.

    choices: the only values allowed, when not empty, so that a typo is an error when the segment is saved.
    """

    name: str
    type: ValueType
    doc: str = ""
    choices: tuple[str | int, ...] = ()


@dataclass(frozen=True)
class SegmentRule:
    """Register a function of the rule language, such as `loyalty.tier(contact) == "gold"`.

    name: `plugin.thing`. returns: the type of its value; None or NULL is unknown, and unknown is never a
    member. version: raise it when the same contact may get another answer; segments that use it are then
    rebuilt. events: the event types that it reads, and no others.
    value: the SQL form: an expression over one contact's profile and events, which the host evaluates for all
    contacts or a batch. matches: the Python form: one answer per profile, in the order given. Give at least
    one; with both, the test kit proves that they agree, and SQL is what runs. About past times only the Python
    form is asked, with the profiles of then; without it such a question is refused.
    A rule that reads `ctx.now` must answer `Timed`.
    when_gone: what segments that use the rule do while the plugin is missing, quarantined or failing. `keep`:
    their members stay as they are. `unknown`: the value is unknown. An error is never read as false.
    """

    name: str
    returns: ValueType
    value: Callable[[SqlContext, Mapping[str, Any]], SqlAnswer] | None = None
    matches: Callable[[EvalContext, Mapping[str, Any], Sequence[Profile]], Sequence[PythonAnswer]] | None = (
        None
    )
    parameters: tuple[Parameter, ...] = ()
    events: tuple[str, ...] = ()
    version: int = 1
    when_gone: Literal["keep", "unknown"] = "keep"
    doc: str = field(default="", compare=False)


def bind_parameters(rule: str, parameters: Sequence[Parameter], values: Sequence[Any]) -> dict[str, Any]:
    """Return literal arguments by parameter name; raises ValueError that shows the signature."""
    signature = f"{rule}({', '.join(['contact', *(f'{p.name}: {p.type}' for p in parameters)])})"
    if len(values) != len(parameters):
        raise ValueError(
            f"{signature} takes {len(parameters)} literal arguments after contact, not {len(values)}"
        )
    bound = {}
    for parameter, value in zip(parameters, values, strict=True):
        problem = "null is not allowed" if value is None else value_problem(value, parameter.type)
        if problem is None and parameter.choices and value not in parameter.choices:
            problem = f"{value!r} is not one of {', '.join(map(repr, parameter.choices))}"
        if problem:
            raise ValueError(f"{signature}: {parameter.name}: {problem}")
        bound[parameter.name] = float(value) if parameter.type == "double" else value
    return bound


def parameter_problem(parameter: Parameter) -> str | None:
    """Tell what is wrong with a declared parameter, or None."""
    if not FIELD_NAME.fullmatch(parameter.name):
        return f"parameter {parameter.name!r}: use lower case letters, digits and _, a letter first"
    if parameter.type not in VALUE_TYPES:
        return f"parameter {parameter.name!r}: type {parameter.type!r} is not one of {', '.join(VALUE_TYPES)}"
    for choice in parameter.choices:
        if problem := value_problem(choice, parameter.type):
            return f"parameter {parameter.name!r}: choice {problem}"
    return None
