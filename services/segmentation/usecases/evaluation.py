"""Evaluation of all rules in force for some contacts, applied to membership."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from services.kit.log import get_logger
from services.segmentation.context import Service
from services.segmentation.rulebook import Plan, Step
from services.segmentation.store import bounds, membership, segments, waiting
from services.segmentation.usecases.answers import Answers, ask, fill
from services.segmentation.usecases.progress import UNWATCHED, Watch

_log = get_logger("segmentation.evaluation")
_TOO_SLOW = (
    "its rule takes longer than {seconds:g} s for a batch of {contacts} contacts (RAPPORT_RULE_BATCH_SECONDS), so "
    "changes of contacts do not reach it and its members stay as they are: write the rule flatter or split it, as "
    "lists inside one another take the number of a contact's events to the power of their depth; if the database was "
    "slow for another reason, rebuild the segment"
)

_Counted = tuple[int, int, int]
"""A segment's number, how many entered and how many left."""


@dataclass
class Tally:
    """Count who entered and left, by segment number."""

    entered: Counter[int] = field(default_factory=Counter)
    left: Counter[int] = field(default_factory=Counter)


def evaluate(
    service: Service,
    connection: Connection,
    contact_ids: Sequence[UUID],
    *,
    now: datetime,
    historical: bool,
    retry: bool = False,
    tally: Tally | None = None,
    watch: Watch = UNWATCHED,
) -> bool:
    """Bring the memberships of contacts in line with the rules at a time; returns whether every rule was evaluated.

    The membership lock must be shared and the contacts locked. historical: what entered and left events say of their
    cause. Rules whose plugin fails keep the contacts' memberships, and the contacts are remembered for later. retry:
    they are remembered already, so do nothing at all when a plugin fails again. tally: what is counted into it.
    Rules that take too long are set aside, and their segments keep their members until a rebuild succeeds.
    """
    if not contact_ids:
        return True
    plan = service.plan(connection)
    # Whoever skips them says so in the same transaction: they are rebuilt once their plugin is back.
    segments.stall(connection, plan.gone, gone=True)
    answers = ask(service, connection, plan.calls, contact_ids, now, watch) if plan.calls else Answers()
    problems = _problems(plan, answers)
    if (problems or answers.doubtful) and retry:
        return False
    batch = _Batch(connection, contact_ids, answers, now, historical)
    try:
        with bounds.within(connection, service.limits.batch):
            counted = batch.run(plan.steps(without=problems))
    except bounds.TooSlow:
        counted = _run_each(service, plan, batch, without=problems)
    if tally is not None:
        for number, entered, left in counted:
            tally.entered[number] += entered
            tally.left[number] += left
    membership.schedule_earlier(connection, answers.next_changes())
    if problems:
        _log.warning(
            "plugin failed",
            segments=len(problems),
            contacts=len(contact_ids),
            problem=next(iter(problems.values())),
        )
        segments.stall(connection, problems, gone=False)
    if problems or answers.doubtful:
        waiting.add(connection, contact_ids, historical=historical, now=now)
        return False
    if plan.calls:
        waiting.remove(connection, contact_ids)
    return True


@dataclass(frozen=True)
class _Batch:
    """Hold the contacts that are evaluated, and how."""

    connection: Connection
    contact_ids: Sequence[UUID]
    answers: Answers
    now: datetime
    historical: bool

    def run(self, steps: Sequence[Step]) -> list[_Counted]:
        """Apply rules; the first step replaces what is stored of when time changes something."""
        counted: list[_Counted] = []
        for step in steps:
            if step.calls:
                fill(self.connection, step.calls, self.answers)
            counted += membership.apply_step(
                self.connection,
                step.sql,
                self.contact_ids,
                step.notices,
                now=self.now,
                historical=self.historical,
                parameters=dict(step.parameters),
            )
        if not steps:
            membership.clear_schedule(self.connection, self.contact_ids)
        return counted


def _run_each(service: Service, plan: Plan, batch: _Batch, without: Iterable[int]) -> list[_Counted]:
    """Apply each rule by itself, as together they took too long, and set aside those that do even so."""
    left_out = set(without)
    counted: list[_Counted] = []
    slow: dict[int, str] = {}
    first = True
    for number in (number for level in plan.levels for number in level if number not in left_out):
        try:
            with bounds.within(batch.connection, service.limits.batch):
                counted += batch.run([plan.alone(number, first=first)])
            first = False
        except bounds.TooSlow as error:
            slow[number] = _TOO_SLOW.format(contacts=len(batch.contact_ids), seconds=error.seconds)
            _log.warning("rule set aside", segment=plan.rules[number].name, problem=slow[number])
    if first:
        batch.run([])
    segments.set_aside(batch.connection, slow)
    return counted


def _problems(plan: Plan, answers: Answers) -> dict[int, str]:
    """Return the segments that cannot be evaluated, with the reason."""
    return {number: problem for wanted, problem in answers.failed.items() for number in plan.users[wanted]}
