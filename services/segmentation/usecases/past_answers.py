"""What plugins say about a contact as of a past time: only their Python form can be shown a profile of the past."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import fields
from datetime import datetime
from typing import Any

from rapport_sdk import Event, Profile
from sqlalchemy import Connection

from services.kit.errors import FailedPrecondition
from services.kit.plugins import PluginError
from services.segmentation.context import Service
from services.segmentation.rulebook import Call
from services.segmentation.store import explaining
from services.segmentation.usecases.answers import Answers

_OF_ROW = tuple(
    item.name for item in fields(Profile) if item.name not in ("tags", "history", "next_event_time")
)


def ask_past(
    service: Service, connection: Connection, calls: Iterable[Call], row: Any, at: datetime
) -> Answers:
    """Ask plugins about a contact whose profile at a time is given.

    Raises FailedPrecondition (NO_PAST_ANSWER) for a rule that has only an SQL form: it reads the tables of today. A
    rule that is missing and declared unknown then has no answer.
    """
    answers = Answers()
    for name, params in calls:
        record = service.catalog().rules.get(name)
        if record is None:
            answers.given[name, params] = []
            continue
        if not record.has_python:
            raise FailedPrecondition(
                f"{name} of the plugin {record.plugin} cannot be asked about the past: it has no Python form, and its "
                "SQL form reads the profiles of today; ask about now, or about a rule without it",
                reason="NO_PAST_ANSWER",
                metadata={"plugin": record.plugin, "object": name},
            )
        profile = _profile(connection, row, record.events, at)
        try:
            answers.given[name, params] = list(service.plugins.matches(name, params, [profile], at))
        except PluginError as error:
            answers.failed[name, params] = error.message
    return answers


def _profile(connection: Connection, row: Any, event_types: Iterable[str], at: datetime) -> Profile:
    found = explaining.events(connection, row.contact_id, set(event_types), at)
    history = tuple(
        Event(one.type, one.occurred_at, one.event_id, one.category, one.amount, json.loads(one.payload))
        for one in reversed(found)
    )
    values = {name: getattr(row, name) for name in _OF_ROW}
    return Profile(**values, tags=tuple(row.tags), history=history)
