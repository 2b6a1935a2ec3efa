"""Which settings may hold a secret, so that their values are shown nowhere."""

from __future__ import annotations

from pydantic_core import ErrorDetails

from services.kit.masking import safe_text


def is_secret(name: str) -> bool:
    """Tell whether the value of a setting, by its name in Settings or its variable, may hold a secret."""
    name = name.lower().removeprefix("rapport_")
    known = ("token", "secret_key", "accepted_secret_keys", "amqp_url")
    return name in known or name.endswith("database_url")


def given(problem: ErrorDetails) -> str:
    """Return what a variable was set to, unless that may hold a secret."""
    name = str(problem["loc"][0]) if problem["loc"] else ""
    return "" if is_secret(name) else f" (got {safe_text(repr(problem.get('input')))})"
