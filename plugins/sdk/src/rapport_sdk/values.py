"""The types of values that rules, traits and parameters have."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final, Literal, TypeAlias

ValueType: TypeAlias = Literal["string", "bool", "int", "double"]
Value: TypeAlias = str | bool | int | float | None

VALUE_TYPES: Final[tuple[ValueType, ...]] = ("string", "bool", "int", "double")
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1


def value_problem(value: Any, type_: ValueType) -> str | None:
    """Tell why a value is not one of the type, or None. None itself is unknown, and fits every type.

    An int is accepted as a double; a bool is never a number; a Decimal must be made a float by its owner, who
    knows what may be rounded.
    """
    if value is None:
        return None
    ok: Mapping[str, bool] = {
        "string": isinstance(value, str),
        "bool": isinstance(value, bool),
        "int": isinstance(value, int) and not isinstance(value, bool),
        "double": isinstance(value, (int, float)) and not isinstance(value, bool),
    }
    if not ok[type_]:
        hint = " (write float(…))" if isinstance(value, Decimal) and type_ == "double" else ""
        return f"{value!r} is a {type(value).__name__}, not a {type_}{hint}"
    if isinstance(value, str) and "\x00" in value:
        return "a string holds a NUL character, which the database cannot store"
    if isinstance(value, int) and not INT64_MIN <= value <= INT64_MAX:
        return f"{value} does not fit 64 bits"
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value} is not a finite number: answer None for unknown"
    return None
