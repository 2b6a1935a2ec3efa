"""Run rules and traits as the server does, and hold their forms against each other."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import chain
from typing import Any
from uuid import UUID

from rapport_sdk import Profile, Value

from rapport_testing.clock import FakeClock
from rapport_testing.database import PluginDatabase
from services.kit.plugins import (
    Answer,
    PluginHost,
    RuleRecord,
    TraitAnswer,
    TraitRecord,
    read_profiles,
    run_plugin_select,
    run_trait_batches,
    run_trait_select,
)

_LOOKED_AT = 50
_TICK = timedelta(microseconds=1)
_FAR = timedelta(days=3650)


class RuleRunner:
    """Run one rule over contacts: `rule_runner("loyalty.tier", contacts)` returns a value for each.

    It fails when SQL and Python differ, when a contact's answer depends on the others in the batch, or when a
    value is another before its `next_change` has come. None is unknown.
    """

    def __init__(self, host: PluginHost, database: PluginDatabase, clock: FakeClock) -> None:
        self._host = host
        self._database = database
        self._clock = clock

    def __call__(
        self,
        name: str,
        contacts: Sequence[Profile],
        *,
        params: Sequence[Any] = (),
        now: datetime | None = None,
    ) -> list[Value]:
        """Run the rule `name` with literal params; now is by default the fake clock's."""
        return [answer.value for answer in self.answers(name, contacts, params=params, now=now)]

    def answers(
        self,
        name: str,
        contacts: Sequence[Profile],
        *,
        params: Sequence[Any] = (),
        now: datetime | None = None,
    ) -> list[Answer]:
        """Do the same and return the whole answers, with `next_change`."""
        at = now or self._clock.now
        record = self._host.catalog().rules.get(name)
        assert record is not None, self._host.catalog().why_gone(name)
        self._database.fill(contacts)
        ids = [contact.contact_id for contact in contacts]
        forms: dict[str, dict[UUID, Answer]] = {}
        if record.has_sql:
            forms["SQL"] = self._in_sql(name, params, at, None)
            self._check_batches(name, params, at, ids, forms["SQL"])
        if record.has_python:
            forms["Python"] = self._in_python(record, params, at, ids)
        for form, answers in forms.items():
            others = set(ids) ^ set(answers)
            assert not others, f"{name} in {form}: answers for other contacts than asked: {others}"
        if len(forms) == 2:
            _check_same(f"{name}: SQL and Python", forms["SQL"], forms["Python"])
        for form, answers in forms.items():
            self._check_moments(record, form, params, at, answers)
        first = next(iter(forms.values()))
        return [first[contact_id] for contact_id in ids]

    def _in_sql(
        self, name: str, params: Sequence[Any], now: datetime, ids: Sequence[UUID] | None
    ) -> dict[UUID, Answer]:
        compiled = self._host.compile_sql(name, params)
        engine, role = self._database.engine, self._database.role
        rows = list(run_plugin_select(engine, compiled, now=now, contact_ids=ids, role=role))
        answers = {row.contact_id: row for row in rows}
        assert len(answers) == len(rows), f"{name} in SQL: more than one answer for a contact"
        return answers

    def _in_python(
        self, record: RuleRecord, params: Sequence[Any], now: datetime, ids: Sequence[UUID]
    ) -> dict[UUID, Answer]:
        engine, role = self._database.engine, self._database.role
        profiles = read_profiles(engine, ids, record.events, now=now, role=role)
        return {row.contact_id: row for row in self._host.matches(record.name, params, profiles, now)}

    def _check_batches(
        self,
        name: str,
        params: Sequence[Any],
        now: datetime,
        ids: Sequence[UUID],
        everyone: Mapping[UUID, Answer],
    ) -> None:
        batched = self._in_sql(name, params, now, ids)
        _check_same(f"{name}: SQL over everyone and over a batch of all", everyone, batched)
        for contact_id in ids[:_LOOKED_AT]:
            alone = self._in_sql(name, params, now, [contact_id])
            together = {contact_id: everyone[contact_id]}
            _check_same(f"{name}: SQL over everyone and over one contact alone", together, alone)

    def _check_moments(
        self,
        record: RuleRecord,
        form: str,
        params: Sequence[Any],
        now: datetime,
        answers: Mapping[UUID, Answer],
    ) -> None:
        """Look at contacts half way to their next change, and in the last moment before it."""
        moments: dict[datetime, list[UUID]] = {}
        for contact_id, answer in list(answers.items())[:_LOOKED_AT]:
            until = answer.next_change or now + _FAR
            for moment in (now + (until - now) / 2, until - _TICK):
                moments.setdefault(moment, []).append(contact_id)
        for moment, ids in moments.items():
            if form == "SQL":
                later = self._in_sql(record.name, params, moment, ids)
            else:
                later = self._in_python(record, params, moment, ids)
            for contact_id in ids:
                before, after = answers[contact_id], later[contact_id]
                assert _equal(before.value, after.value), (
                    f"{record.name} in {form}: next_change of contact {contact_id} comes too late: it is "
                    f"{before.value!r} at {now} until {before.next_change}, but {after.value!r} at {moment}"
                )


def _check_same(what: str, one: Mapping[UUID, Answer], other: Mapping[UUID, Answer]) -> None:
    for contact_id, answer in one.items():
        second = other.get(contact_id)
        assert second is not None, f"{what} disagree: the latter has no answer for contact {contact_id}"
        same = _equal(answer.value, second.value)
        assert same, f"{what} disagree on contact {contact_id}: {answer.value!r} and {second.value!r}"
        assert answer.next_change == second.next_change, (
            f"{what} disagree on when contact {contact_id} next changes: "
            f"{answer.next_change} and {second.next_change}"
        )


def _equal(one: Value, other: Value) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-9)
    return type(one) is type(other) and one == other


class TraitRunner:
    """Compute one trait over contacts: `trait_runner("rfm.scores", contacts)` returns a dict for each.

    It fails when SQL and Python differ, when the Python form's values for a contact depend on the others in
    the batch, or when the order in which contacts are stored changes a value. None is unknown.
    """

    def __init__(self, host: PluginHost, database: PluginDatabase, clock: FakeClock) -> None:
        self._host = host
        self._database = database
        self._clock = clock

    def __call__(
        self, name: str, contacts: Sequence[Profile], *, now: datetime | None = None
    ) -> list[dict[str, Value]]:
        """Compute the trait `name`; now is by default the fake clock's."""
        at = now or self._clock.now
        record = self._host.catalog().traits.get(name)
        assert record is not None, self._host.catalog().why_gone(name)
        self._database.fill(contacts)
        forms = self._forms(record, at)
        ids = [contact.contact_id for contact in contacts]
        for form, values in forms.items():
            others = set(values) ^ set(ids)
            assert not others, f"{name} in {form}: answers for other contacts than asked: {others}"
        if record.has_python:
            self._check_alone(record, at, forms["Python"])
        if len(forms) == 2:
            _check_same_values(f"{name}: SQL and Python", forms["SQL"], forms["Python"])
        self._database.fill(list(reversed(contacts)))
        for form, values in self._forms(record, at).items():
            assert values == forms[form], (
                f"{name} in {form}: values depend on the order in which contacts are stored"
            )
        first = next(iter(forms.values()))
        return [first[contact_id] for contact_id in ids]

    def _forms(self, record: TraitRecord, now: datetime) -> dict[str, dict[UUID, dict[str, Value]]]:
        engine, role = self._database.engine, self._database.role
        forms: dict[str, Iterable[TraitAnswer]] = {}
        if record.has_sql:
            compiled = self._host.compile_sql(record.name)
            forms["SQL"] = run_trait_select(engine, compiled, now=now, role=role)
        if record.has_python:
            batches = run_trait_batches(engine, self._host, record, now=now, role=role)
            forms["Python"] = chain.from_iterable(batches)
        return {
            form: {answer.contact_id: dict(answer.values) for answer in answers}
            for form, answers in forms.items()
        }

    def _check_alone(
        self, record: TraitRecord, now: datetime, everyone: Mapping[UUID, dict[str, Value]]
    ) -> None:
        engine, role = self._database.engine, self._database.role
        for contact_id in list(everyone)[:_LOOKED_AT]:
            profiles = read_profiles(engine, [contact_id], record.events, now=now, role=role)
            (alone,) = self._host.compute(record.name, profiles, now)
            _check_same_values(
                f"{record.name}: Python over everyone and over one contact alone",
                {contact_id: everyone[contact_id]},
                {contact_id: dict(alone.values)},
            )


def _check_same_values(
    what: str, one: Mapping[UUID, dict[str, Value]], other: Mapping[UUID, dict[str, Value]]
) -> None:
    for contact_id, values in one.items():
        for column, value in values.items():
            second = other[contact_id][column]
            assert _equal(value, second), (
                f"{what} disagree on {column} of contact {contact_id}: {value!r} and {second!r}"
            )
