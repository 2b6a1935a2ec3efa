"""Rule tests: each case of a file through the SQL and through CEL's evaluator."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from services.kit import context
from services.kit.errors import InvalidArgument
from services.segmentation.cases.problems import FileError, Problems
from services.segmentation.cases.profiles import Vocabulary, answers_of, instant_of, profile_of
from services.segmentation.cases.reading import RawCase, Verdict, read
from services.segmentation.cases.vocabulary import registry_for
from services.segmentation.context import Service
from services.segmentation.rules import (
    CompiledRule,
    Outcome,
    Profile,
    Registry,
    RegistryError,
    RuleError,
    compile_rule,
)
from services.segmentation.rules.interpreter import Interpreter
from services.segmentation.rules.timing import first_change
from services.segmentation.store import scratch
from services.segmentation.usecases.defining import check_calls
from services.segmentation.usecases.previewing import LONGEST_SECONDS, snapshot, too_costly
from services.segmentation.vocabulary import load_names, make_registry

_TICKS = 1000


@dataclass(frozen=True)
class CaseResult:
    """Tell what came of a case; limited: whether the plain interpreter spoke in place of CEL's evaluator."""

    name: str
    line: int
    sql: Verdict
    cel: Verdict
    expected: Verdict
    ok: bool
    message: str = ""
    limited: bool = False


@dataclass(frozen=True)
class _Prepared:
    """Hold a case whose rule compiles."""

    case: RawCase
    rule: CompiledRule
    profile: Profile
    now: datetime
    key: UUID


def run_cases(service: Service, content: str, file: str = "cases") -> list[CaseResult]:
    """Run the cases of a file; raises InvalidArgument (INVALID_CASES), or ResourceExhausted (RULE_TOO_COSTLY)."""
    hurry = _Deadline()
    problems = Problems(file)
    parsed = read(content, problems)
    with snapshot(service) as connection:
        base = make_registry(load_names(connection), service.catalog(), service.time_zone)
        registry = registry_for(parsed, base, problems)
        known = Vocabulary.of(registry)
        results: dict[int, CaseResult] = {}
        prepared: dict[int, _Prepared] = {}
        for number, case in enumerate(parsed.cases):
            hurry.check(case)
            problems.case = case.name
            try:
                profile = profile_of(case, known)
                compiled = _compile(service, case, registry)
                if isinstance(compiled, CaseResult):
                    results[number] = compiled
                    continue
                profile = dataclasses.replace(profile, plugin_values=answers_of(case, compiled))
                now = instant_of(case, profile, compiled)
                prepared[number] = _Prepared(case, compiled, profile, now, UUID(int=number + 1))
            except FileError as error:
                problems.add(error)
        problems.case = ""
        problems.raise_if_any()
        said = _ask_sql(connection, registry, list(prepared.values()), hurry)
        for number, item in prepared.items():
            results[number] = _judge(item, said[item.key], hurry)
    return [results[number] for number in range(len(parsed.cases))]


class _Deadline:
    """Refuse to go on past the time that a call may take."""

    def __init__(self) -> None:
        left = context.remaining()
        self._seconds = LONGEST_SECONDS if left is None else min(LONGEST_SECONDS, left * 0.9)
        self._until = time.monotonic() + self._seconds

    def check(self, case: RawCase) -> None:
        """Raise ResourceExhausted when the time is over."""
        if time.monotonic() >= self._until:
            raise too_costly(
                f"the cases take longer than {self._seconds:g} s, up to {case.name[:100]!r} on line {case.line}: "
                "split the file, or give that case fewer events"
            )

    def tick(self, case: RawCase) -> Callable[[], None]:
        """Return what checks now and then when it is called often."""
        count = 0

        def step() -> None:
            nonlocal count
            count += 1
            if count % _TICKS == 0:
                self.check(case)

        return step


def _compile(service: Service, case: RawCase, registry: Registry) -> CompiledRule | CaseResult:
    try:
        compiled = compile_rule(case.rule, registry)
        check_calls(service, compiled)
        return compiled
    except RuleError as error:
        message = str(error)
    except InvalidArgument as error:
        message = error.message
    except RegistryError as error:
        raise FileError(case.line, f"no rule can be compiled: {error}") from error
    return CaseResult(
        case.name, case.line, "invalid", "invalid", case.expect, case.expect == "invalid", message
    )


def _ask_sql(
    connection: Connection, registry: Registry, items: Sequence[_Prepared], hurry: _Deadline
) -> dict[UUID, scratch.Spoken]:
    """Ask the SQL once for each rule and instant."""
    scratch.make(connection, registry, [(item.key, item.profile) for item in items])
    groups: dict[tuple[str, datetime], list[_Prepared]] = {}
    for item in items:
        groups.setdefault((item.case.rule, item.now), []).append(item)
    said: dict[UUID, scratch.Spoken] = {}
    for (_, now), some in groups.items():
        hurry.check(some[0].case)
        said |= scratch.ask(connection, some[0].rule, [(item.key, item.profile) for item in some], now)
    return said


_OF_SQL: dict[bool | None, Verdict] = {True: "member", False: "not_member", None: "unknown"}


def _judge(item: _Prepared, said: scratch.Spoken, hurry: _Deadline) -> CaseResult:
    case, rule = item.case, item.rule
    hurry.check(case)
    interpreter = Interpreter(rule.registry, hurry.tick(case))
    outcome = rule.evaluate(item.profile, item.now)
    limited = outcome is Outcome.LIMIT
    if limited:
        outcome = interpreter.outcome(rule.ir, item.profile, item.now)
    sql, cel = _OF_SQL[said.value], _verdict(outcome)
    wrong = []
    if sql != cel:
        wrong.append(f"the engines disagree: SQL says {sql}, CEL {cel}; please report this as a defect")
    for form, member in said.forms.items():
        if member != (said.value is True):
            wrong.append(
                f"the SQL of the {form} says {'member' if member else 'no member'}, that of the outcome {sql}; "
                "please report this as a defect"
            )
    if case.next_change is not None:
        wrong.extend(_wrong_changes(item, said, case.next_change[0], interpreter))
    ok = not wrong and sql == cel == case.expect
    if not ok and not wrong:
        wrong.append(f"expected {case.expect}, it is {sql} as of {_shown(item.now)}")
    return CaseResult(case.name, case.line, sql, cel, case.expect, ok, "; ".join(wrong), limited)


def _verdict(outcome: Outcome) -> Verdict:
    return {Outcome.MEMBER: "member", Outcome.NOT_MEMBER: "not_member"}.get(outcome, "unknown")  # type: ignore[return-value]


def _wrong_changes(
    item: _Prepared, said: scratch.Spoken, wanted: datetime | None, interpreter: Interpreter
) -> list[str]:
    """Compare the exact next change with what the case says, and see that SQL is not later."""
    exact = first_change(interpreter, item.rule.leaves, item.profile, item.now)
    wrong = []
    if exact != wanted:
        wrong.append(f"expected the next change {_shown(wanted)}, it is {_shown(exact)}")
    for form, told in said.next_changes.items():
        if (exact is not None and (told is None or told > exact)) or (told is not None and told <= item.now):
            wrong.append(
                f"the SQL of the {form} gives the next change {_shown(told)}, which should lie after "
                f"{_shown(item.now)} and not after {_shown(exact)}; please report this as a defect"
            )
    return wrong


def _shown(instant: datetime | None) -> str:
    return "never" if instant is None else instant.isoformat().replace("+00:00", "Z")
