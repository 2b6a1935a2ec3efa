"""Rebuild of whole segments from their rules."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

from rapport.operations.v1 import operations_pb2
from rapport.segmentation.v1 import segmentation_pb2 as pb
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from services.kit import operations
from services.kit.db import is_transient
from services.kit.errors import Cancelled, FailedPrecondition, NotFound
from services.kit.log import get_logger
from services.kit.names import format_name
from services.kit.plugins import PluginError, RuleRecord, object_from_json
from services.segmentation.context import Service
from services.segmentation.domain import (
    SEGMENTS,
    ActiveRule,
    Rebuilt,
    Segment,
    parse_segment,
    with_dependents,
)
from services.segmentation.models import kit
from services.segmentation.rulebook import functions_of, lost_functions, notice_of
from services.segmentation.rules import CompiledRule, RegistryError, RuleError, compile_rule
from services.segmentation.store import ahead, bounds, leaves, locks, membership, segments, sweeps, waiting
from services.segmentation.store.replacing import Replacement
from services.segmentation.usecases.answers import SECONDS_FOR_ALL, fill_for_all
from services.segmentation.usecases.asking import ask_ahead, needs_python, questions
from services.segmentation.usecases.progress import UNWATCHED, Meter, Progress, Watch
from services.segmentation.usecases.retrying import fail_for_plugin
from services.segmentation.usecases.settling import settle, suited, too_slow
from services.segmentation.vocabulary import load_names, make_registry, narrowed

KIND = "rebuild_segments"
_CANCELLED = "its rebuild was cancelled before it came to an end: rebuild it"
_OWED = (
    "a segment that its rule names was rebuilt, and the rebuild that follows from it cancelled: rebuild it"
)
_log = get_logger("segmentation.rebuild")


def start_rebuild(
    service: Service, connection: Connection, ids: Iterable[str], request_id: str = ""
) -> operations_pb2.Operation:
    """Record, in the caller's transaction, that segments are to be rebuilt; none means all."""
    names = [format_name(SEGMENTS, id_) for id_ in ids]
    request = pb.RebuildSegmentsRequest(names=names)
    return operations.create(
        connection,
        kit,
        KIND,
        request,
        service.clock,
        request_id=request_id,
        unit="contacts",
    )


def request_rebuild(service: Service, request: pb.RebuildSegmentsRequest) -> operations_pb2.Operation:
    """Start a rebuild that a caller asks for; raises NotFound that names a missing segment."""
    ids = list(dict.fromkeys(parse_segment(name, f"names[{at}]") for at, name in enumerate(request.names)))
    with service.db.transaction() as connection:
        known = segments.numbers(connection)
        for id_ in ids:
            if id_ not in known:
                raise NotFound.resource(format_name(SEGMENTS, id_))
        return start_rebuild(service, connection, ids, request.request_id)


def rebuild(
    service: Service, request: pb.RebuildSegmentsRequest, operation: Progress
) -> pb.RebuildSegmentsResult:
    """Rebuild segments, and after them those whose rules name one that changed.

    Those whose newest rule is in force are settled in one pass, the others each in a transaction of its own.
    A segment that fails keeps its last members and says why; the others go on, and the operation ends with
    FailedPrecondition (REBUILD_FAILED) that names those that failed. One that is cancelled leaves the segments as they
    are that it has not come to, and those that it owed a rebuild are FAILED.
    """
    with service.db.read() as connection:
        edges = _edges(connection)
        lists = segments.lists(connection)
    ids = [parse_segment(name) for name in request.names]
    asked = set(ids) if ids else edges.keys() - lists.keys()
    run = _Run(service, operation, edges, asked)
    try:
        run.settle()
        run.one_by_one()
    except Cancelled:
        run.give_up()
        raise
    return run.result()


class _Run:
    """Do one attempt of a rebuild."""

    def __init__(
        self, service: Service, operation: Progress, edges: Mapping[str, set[str]], asked: set[str]
    ) -> None:
        self._service = service
        self._operation = operation
        self._edges = edges
        self._asked = asked
        # Each segment comes after those that its rule names, so it sees their new members.
        self._order = with_dependents(sorted(asked), edges)
        state = operation.state
        self._state: dict[str, Any] = state
        self._done: dict[str, list[int]] = dict(state.get("done", {}))
        self._failed: dict[str, str] = dict(state.get("failed", {}))
        self._owed: set[str] = set(state.get("owed", ()))
        self._by_plugin: set[str] = set()
        self._meter = Meter(operation, state.get("counted", 0))
        with service.db.read() as connection:
            self._contacts = sweeps.contacts(connection)

    def settle(self) -> None:
        """Put those right whose rules are in force, unless an earlier attempt did."""
        if "done" in self._state:
            self._expect_rest()
            return
        before: dict[str, Any] = self._state.get("settling", {})
        some: list[str] = before.get("ids") or suited(self._service, self._asked, self._edges)
        self._expect_rest(some)
        if some:

            def save(connection: Connection, at: dict[str, Any]) -> None:
                self._checkpoint(connection, {"settling": {"ids": some, **at}}, self._meter.subject)

            settled = settle(self._service, some, before, save, self._meter)
            self._done |= {parse_segment(item.segment): list(item.counts) for item in settled.rebuilt}
            self._failed |= settled.failed
        with self._service.db.transaction() as connection:
            for id_, problem in self._failed.items():
                segments.fail(connection, id_, problem)
            self._checkpoint_rest(connection, "rebuilding")

    def _expect_rest(self, settled: Collection[str] = ()) -> None:
        rest = (self._asked | self._owed) - self._done.keys() - self._failed.keys() - set(settled)
        for _ in rest.intersection(self._order):
            self._meter.expect(self._contacts)

    def one_by_one(self) -> None:
        """Rebuild the others, and those that are owed to one that changed."""
        for id_ in self._order:
            if id_ in self._done or id_ in self._failed or not (id_ in self._asked or id_ in self._owed):
                continue
            self._operation.raise_if_cancelled()
            self._meter.begin(self._contacts, format_name(SEGMENTS, id_))
            started = self._service.clock.now()
            problem = self._rebuild(id_)
            if problem:
                self._failed[id_] = problem
                self._meter.end()
                _log.warning("rebuild failed", segment=id_, problem=problem)
                with self._service.db.transaction() as connection:
                    ahead.drop(connection, [id_])
                    if id_ in self._by_plugin:
                        now = self._service.clock.now()
                        fail_for_plugin(connection, id_, problem, started, now)
                    else:
                        segments.fail(connection, id_, problem)
                    self._checkpoint_rest(connection, f"{self._meter.subject}: failed")
        # Some that were expected may not have been needed.
        if self._meter.total != self._meter.done:
            self._meter.total = self._meter.done
            with self._service.db.transaction() as connection:
                self._checkpoint_rest(connection, "rebuilt")

    def _rebuild(self, id_: str) -> str:
        """Rebuild one segment; returns why that could not be."""
        try:
            asked = self._ask_ahead(id_)
            with (
                self._service.db.transaction() as connection,
                self._operation.interruptible(connection),
            ):
                result = rebuild_one(self._service, connection, id_, self._meter)
                self._meter.end()
                done, owed = self._done, self._owed
                if result is not None:
                    done = {**done, id_: list(result.counts)}
                    if result.entered or result.left:
                        owed = owed | {name for name, below in self._edges.items() if id_ in below}
                for _ in owed - self._owed - self._asked:
                    self._meter.expect(self._contacts)
                self._checkpoint_rest(connection, f"{self._meter.subject}: rebuilt", done, owed)
            # Not before it is committed: a stop takes it all back.
            self._done, self._owed = done, owed
            if asked:
                # Nor under the lock, for there may be many.
                with self._service.db.transaction() as connection:
                    ahead.drop(connection, [id_])
        except PluginError as error:
            self._by_plugin.add(id_)
            return str(error)
        except (RuleError, RegistryError) as error:
            return str(error)
        except bounds.TooSlow as error:
            return too_slow(error.seconds)
        except DBAPIError as error:
            if is_transient(error) and not _timed_out(error):
                raise
            return f"its SQL failed: {str(error.orig).splitlines()[0]}"
        return ""

    def _ask_ahead(self, id_: str) -> bool:
        """Ask plugins what a segment's rule needs; returns whether it asks any."""
        with self._service.db.engine.connect() as connection, self._operation.interruptible(connection):
            with connection.begin():
                found = segments.find(connection, id_)
                if found is None or found.kind == "list":
                    return False
                rule = segments.rule_of(connection, found.number, found.version)
                compiled = compile_stored(self._service, connection, rule)
            if compiled.plugin_calls:
                ask_ahead(self._service, connection, rule, compiled, self._meter)
            return bool(compiled.plugin_calls)

    def give_up(self) -> None:
        """Say of the segments that would have been rebuilt, and are not what their rules say, that they are not."""
        rest = [id_ for id_ in self._order if id_ not in self._done and id_ not in self._failed]
        with self._service.db.transaction() as connection:
            ahead.drop(connection, rest)
            unfinished = segments.unfinished(connection, self._asked.intersection(rest))
            for id_ in rest:
                if id_ in self._owed:
                    segments.fail(connection, id_, _OWED)
                elif id_ in unfinished:
                    segments.fail(connection, id_, _CANCELLED)

    def _checkpoint_rest(
        self,
        connection: Connection,
        stage: str,
        done: Mapping[str, list[int]] | None = None,
        owed: Collection[str] | None = None,
    ) -> None:
        state = {
            "done": dict(self._done if done is None else done),
            "failed": self._failed,
            "owed": sorted(self._owed if owed is None else owed),
        }
        self._checkpoint(connection, state, stage)

    def _checkpoint(self, connection: Connection, state: dict[str, Any], stage: str) -> None:
        meter = self._meter
        self._operation.checkpoint(
            connection, {**state, "counted": meter.done}, meter.done, meter.total, stage
        )

    def result(self) -> pb.RebuildSegmentsResult:
        """Return what was done; raises FailedPrecondition when a segment failed."""
        if self._failed:
            listed = "; ".join(
                f"{format_name(SEGMENTS, id_)}: {problem}" for id_, problem in self._failed.items()
            )
            raise FailedPrecondition(
                f"{len(self._failed)} of {len(self._done) + len(self._failed)} segments could not be rebuilt and keep "
                f"their last members: {listed}",
                reason="REBUILD_FAILED",
                metadata={"segments": ",".join(self._failed)},
            )
        return pb.RebuildSegmentsResult(
            segments=[
                pb.SegmentRebuild(
                    segment=format_name(SEGMENTS, id_),
                    version=v,
                    entered_count=e,
                    left_count=gone,
                    member_count=m,
                )
                for id_, (v, e, gone, m) in self._done.items()
            ]
        )


def _timed_out(error: DBAPIError) -> bool:
    return getattr(error.orig, "sqlstate", None) == "57014"


def _edges(connection: Connection) -> dict[str, set[str]]:
    edges = segments.edges(connection)
    return {id_: below & edges.keys() for id_, below in edges.items()}


def rebuild_one(
    service: Service, connection: Connection, id_: str, watch: Watch = UNWATCHED
) -> Rebuilt | None:
    """Compute a segment's members by its newest rule and make that the rule in force; None when the segment is gone.

    No contact changes meanwhile. Raises PluginError, RuleError, RegistryError, TooSlow and database errors.
    """
    watch.add(0, "waiting until no contact is being changed")
    locks.own_membership(connection)
    sweeps.in_order(connection)
    found = segments.find(connection, id_, lock=True)
    if found is None:
        return None
    if found.kind == "list":
        return Rebuilt(found.name, found.version, 0, 0, found.member_count)
    now = service.clock.now()
    rule = segments.rule_of(connection, found.number, found.version)
    compiled = compile_stored(service, connection, rule)
    complete = True
    budget = bounds.Budget(service.limits.rebuild)
    if compiled.plugin_calls:
        asked = questions(service, connection, rule, compiled)
        # What could not be asked ahead is asked now, and has to be given the time.
        patience = service.limits.rebuild if asked or not needs_python(service, compiled) else SECONDS_FOR_ALL
        complete = fill_for_all(
            service, connection, compiled, now, timeout=patience, budget=budget, watch=watch, asked=asked
        )
    replacement = Replacement(connection, notice_of(rule), now)
    watch.add(0, "looking who differs")
    cut = sweeps.Cut()
    while (some := cut.next(connection)) is not None:
        replacement.sweep(compiled.sweep, some, budget)
        watch.add(some.contacts, "looking who differs")
    watch.add(0, "applying the difference")
    # A new rule says something of the segment, not of the contacts: nobody did anything that starts a journey.
    entered, left = replacement.apply(historical=found.active_version != rule.version)
    if compiled.plugin_calls:
        leaves.bring_forward(connection)
    if not complete:
        waiting.add_all(connection, now)
    segments.put_in_force(connection, found.number, rule.version, now)
    _put_in_force(service, connection, found, rule, compiled)
    segments.change(
        connection,
        found.number,
        active_version=rule.version,
        state="ready",
        state_message="",
        stalled="",
        slow=False,
        gone=bool(lost_functions(rule, service.catalog())),
        failing_since=None,
        retry_time=None,
        rebuild_time=now,
    )
    return Rebuilt(found.name, rule.version, entered, left, membership.member_count(connection, found.number))


def _put_in_force(
    service: Service, connection: Connection, found: Segment, rule: ActiveRule, compiled: CompiledRule
) -> None:
    present = functions_of(compiled, service.catalog())
    functions = {**rule.functions, **present}
    if functions != rule.functions:
        segments.set_functions(connection, found.number, rule.version, functions)
    if found.active_version != rule.version or functions != rule.functions or found.gone:
        segments.bump(connection, rules=True)


def drop_abandoned(service: Service) -> None:
    """Delete what plugins were asked ahead of rebuilds that nobody does any more."""
    with service.db.transaction() as connection:
        if not operations.any_pending(connection, kit, KIND):
            ahead.drop(connection)


def rule_of(connection: Connection, found: Segment, version: int) -> ActiveRule:
    """Return a version of a segment's rule; of a list, which has none, the rule that says who is in it."""
    rule = segments.rule_of(connection, found.number, version)
    if found.kind == "list":
        return replace(rule, rule=f'in_segment("{found.name}")', depends=(found.id,))
    return rule


def compile_stored(service: Service, connection: Connection, rule: ActiveRule) -> CompiledRule:
    """Compile a stored rule; raises RuleError, RegistryError, or PluginError when its plugin is gone."""
    catalog = service.catalog()
    functions = [
        record for item in rule.functions.values() if isinstance(record := object_from_json(item), RuleRecord)
    ]
    for record in functions:
        if record.name not in catalog.rules and record.when_gone == "keep":
            raise PluginError(record.plugin, record.name, catalog.why_gone(record.name))
    registry = make_registry(load_names(connection), catalog, service.time_zone, functions, known_traits=True)
    return compile_rule(rule.rule, narrowed(registry, rule.depends))


def compile_followed(service: Service, connection: Connection, rule: ActiveRule) -> CompiledRule:
    """Compile a segment's rule for a question; raises FailedPrecondition (BROKEN_RULE), PluginError as above."""
    try:
        return compile_stored(service, connection, rule)
    except (RuleError, RegistryError) as error:
        raise FailedPrecondition(
            f"the rule of {rule.name} cannot be compiled any more: {error}", reason="BROKEN_RULE"
        ) from error
