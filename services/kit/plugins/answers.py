"""Answers of plugins about one contact, and the check that they are what was declared."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from rapport_sdk import Timed, Value, ValueType
from rapport_sdk.values import value_problem


@dataclass(frozen=True, slots=True)
class Answer:
    """Hold a rule's value for one contact.

    value: None is unknown. next_change: first instant at which time alone may change it; None is never.
    """

    contact_id: UUID
    value: Value
    next_change: datetime | None = None


@dataclass(frozen=True, slots=True)
class TraitAnswer:
    """Hold a trait's values for one contact by column; None is unknown."""

    contact_id: UUID
    values: Mapping[str, Value]


def answer_problem(value: Any, next_change: Any, type_: ValueType, now: datetime) -> str | None:
    """Tell why an answer is not what the rule declared, or None."""
    if problem := value_problem(value, type_):
        return problem
    if next_change is None:
        return None
    if not isinstance(next_change, datetime) or next_change.tzinfo is None:
        return f"next_change {next_change!r} is not a time with a zone"
    if next_change <= now:
        return f"next_change {next_change} is not later than now, {now}"
    return None


def split_answers(answers: Any, expected: int) -> list[tuple[Any, Any]]:
    """Return (value, next_change) of each answer of the Python form; raises ValueError for junk."""
    if isinstance(answers, str) or not isinstance(answers, Sequence):
        raise ValueError(f"matches answered {type(answers).__name__}, not a list with one answer per profile")
    if len(answers) != expected:
        raise ValueError(f"matches answered {len(answers)} values for {expected} profiles")
    return [
        (answer.value, answer.next_change) if isinstance(answer, Timed) else (answer, None)
        for answer in answers
    ]


def trait_problem(values: Sequence[Any], columns: Mapping[str, ValueType]) -> str | None:
    """Tell why values, in the order of the columns, are not what the trait declared, or None."""
    for value, (column, type_) in zip(values, columns.items(), strict=True):
        if problem := value_problem(value, type_):
            return f"{column}: {problem}"
    return None


def split_trait_answers(answers: Any, columns: Collection[str], expected: int) -> list[list[Any]]:
    """Return the values of each answer in the order of the columns; raises ValueError for junk."""
    if isinstance(answers, str) or not isinstance(answers, Sequence):
        raise ValueError(f"compute answered {type(answers).__name__}, not a list with one answer per profile")
    if len(answers) != expected:
        raise ValueError(f"compute answered {len(answers)} times for {expected} profiles")
    return [_in_order(answer, columns) for answer in answers]


def _in_order(answer: Any, columns: Collection[str]) -> list[Any]:
    if answer is None:
        return [None] * len(columns)
    if not isinstance(answer, Mapping) or set(answer) != set(columns):
        given = ", ".join(map(str, answer)) if isinstance(answer, Mapping) else type(answer).__name__
        raise ValueError(f"compute gave {given}; declared columns are {', '.join(columns)}")
    return [answer[column] for column in columns]
