"""Which settings may hold a secret, so that their values are shown nowhere."""

from __future__ import annotations

from pydantic_core import ErrorDetails

from services.kit.masking import safe_text


def is_secret(name: str) -> bool:
    """Tell whether the value of a setting, by its name in Settings or its variable, may hold a secret."""
    name = name.lower().removeprefix("rapport_")
    known = ("token", "secret_key", "accepted_secret_keys", "amqp_url")
    return name in known or name.endswith("database_url")


def describe(problem: ErrorDetails) -> str:
    """Return what is wrong with a variable, by its name, and what it was set to unless that may hold a secret."""
    name = "_".join(str(part) for part in problem["loc"]).upper().removeprefix("RAPPORT_")
    found = problem["msg"].removeprefix("Value error, ")
    field = str(problem["loc"][0]) if problem["loc"] else ""
    given = "" if is_secret(field) else f" (got {safe_text(repr(problem.get('input')))})"
    return f"RAPPORT_{name}: {found}{given}"
