"""Conditions on events in CEL: `event.category == "shoes" && double(event.total.amount) > 50.0`.

`event` is what templates see of an event. Its fields have the types of JSON: amounts of money are texts, for which
there is double(); times are texts in ISO 8601, for which there is timestamp(). A field that is not there makes the
whole not true, unless has() asks for it, and so does whatever else cannot be evaluated, such as loops of 10,000 turns.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from cel_expr_python import cel

from services.campaign.domain.ids import RuleError

MOST_CHARACTERS = 2000
_ENV = cel.NewEnv(variables={"event": cel.Type.DYN})


@lru_cache(maxsize=512)
def compile_condition(text: str) -> Any:
    """Return a condition ready to be asked; raises RuleError with the place of the first mistake."""
    if len(text) > MOST_CHARACTERS:
        raise RuleError(f"must have at most {MOST_CHARACTERS} characters")
    try:
        return _ENV.compile(text)
    except RuntimeError as error:
        first = str(error).removeprefix("INVALID_ARGUMENT: ").splitlines()[0]
        raise RuleError(f"is no condition in CEL: {first.removeprefix('ERROR: <input>:')}") from error


def holds(text: str, event: Mapping[str, Any]) -> bool:
    """Say whether a condition is true of an event; an empty one always is, one that cannot be evaluated never."""
    if not text:
        return True
    try:
        return compile_condition(text).eval(data={"event": event}).value() is True
    except (RuntimeError, RuleError):
        # The library gives loops a budget, and an event may hold what it cannot take: it must hold up no other journey.
        return False
