"""What the plugin host makes of an SQL form; without SQLAlchemy, which makes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rapport_sdk import ValueType


class CompileFault(Exception):
    """Say what is wrong with the expression that a plugin gave."""


@dataclass(frozen=True)
class CompiledSelect:
    """Hold the text of a rule's or trait's SELECT and its parameters, in the pyformat style of psycopg.

    all_sql covers every contact, batch_sql those in the parameter `rapport_contact_ids`; a trait has only the
    former. `rapport_now` is bound when it runs. columns: name and type of the values, after contact_id. A
    rule has a last column next_change.
    """

    plugin: str
    object: str
    kind: str
    columns: tuple[tuple[str, ValueType], ...]
    all_sql: str
    all_params: Mapping[str, Any]
    batch_sql: str = ""
    batch_params: Mapping[str, Any] | None = None
