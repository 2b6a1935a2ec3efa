"""Evaluation of all rules in force for some contacts, applied to membership."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from services.kit.log import get_logger
from services.segmentation.context import Service
from services.segmentation.rulebook import Plan
from services.segmentation.store import membership, segments, waiting
from services.segmentation.usecases.answers import Answers, ask, fill

_log = get_logger("segmentation.evaluation")


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
) -> bool:
    """Bring the memberships of contacts in line with the rules at a time; returns whether every rule was evaluated.

    The membership lock must be shared and the contacts locked. historical: what entered and left events say of their
    cause. Rules whose plugin fails keep the contacts' memberships, and the contacts are remembered for later. retry:
    they are remembered already, so do nothing at all when a plugin fails again. tally: what is counted into it.
    """
    if not contact_ids:
        return True
    plan = service.plan(connection)
    # Whoever skips them says so in the same transaction: they are rebuilt once their plugin is back.
    segments.stall(connection, plan.gone, gone=True)
    answers = ask(service, connection, plan.calls, contact_ids, now) if plan.calls else Answers()
    problems = _problems(plan, answers)
    if (problems or answers.doubtful) and retry:
        return False
    steps = plan.steps(without=problems)
    for step in steps:
        if step.calls:
            fill(connection, step.calls, answers)
        counts = membership.apply_step(
            connection,
            step.sql,
            contact_ids,
            step.notices,
            now=now,
            historical=historical,
            parameters=dict(step.parameters),
        )
        if tally is not None:
            for number, entered, left in counts:
                tally.entered[number] += entered
                tally.left[number] += left
    if not steps:
        membership.clear_schedule(connection, contact_ids)
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


def _problems(plan: Plan, answers: Answers) -> dict[int, str]:
    """Return the segments that cannot be evaluated, with the reason."""
    return {number: problem for wanted, problem in answers.failed.items() for number in plan.users[wanted]}
