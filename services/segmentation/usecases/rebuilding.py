"""Rebuild of whole segments from their rules."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from rapport.operations.v1 import operations_pb2
from rapport.segmentation.v1 import segmentation_pb2 as pb
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from services.kit import operations
from services.kit.db import is_transient
from services.kit.errors import FailedPrecondition, NotFound
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
from services.segmentation.store import bounds, leaves, locks, membership, segments, sweeps, waiting
from services.segmentation.usecases.answers import fill_for_all
from services.segmentation.usecases.progress import Progress
from services.segmentation.usecases.settling import settle, too_slow
from services.segmentation.vocabulary import load_names, make_registry, narrowed

KIND = "rebuild_segments"
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
        unit="segments",
        total=len(names),
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
    FailedPrecondition (REBUILD_FAILED) that names those that failed.
    """
    with service.db.read() as connection:
        edges = _edges(connection)
        lists = segments.lists(connection)
    ids = [parse_segment(name) for name in request.names]
    # Each segment comes after those that its rule names, so it sees their new members.
    asked = set(ids) if ids else edges.keys() - lists.keys()
    order = with_dependents(sorted(asked), edges)
    state = operation.state
    done: dict[str, list[int]] = dict(state.get("done", {}))
    failed: dict[str, str] = dict(state.get("failed", {}))
    owed: set[str] = set(state.get("owed", ()))
    if "done" not in state:
        settled = settle(service, asked, edges, operation)
        done |= {parse_segment(item.segment): list(item.counts) for item in settled.rebuilt}
        failed |= settled.failed
        with service.db.transaction() as connection:
            for id_, problem in settled.failed.items():
                segments.fail(connection, id_, problem)
            _checkpoint(operation, connection, done, failed, owed, len(order))
    for id_ in order:
        if id_ in done or id_ in failed or not (id_ in asked or id_ in owed):
            continue
        # What follows from a rebuild that was done is done as well, or segments would contradict each other.
        if id_ not in owed:
            operation.raise_if_cancelled()
        problem = ""
        try:
            with service.db.transaction() as connection:
                result = rebuild_one(service, connection, id_)
                if result is not None and (result.entered or result.left):
                    owed |= {name for name, below in edges.items() if id_ in below}
                if result is not None:
                    done[id_] = list(result.counts)
                _checkpoint(operation, connection, done, failed, owed, len(order))
        except (PluginError, RuleError, RegistryError) as error:
            problem = str(error)
        except bounds.TooSlow as error:
            problem = too_slow(error.seconds)
        except DBAPIError as error:
            if is_transient(error) and not _timed_out(error):
                raise
            problem = f"its SQL failed: {str(error.orig).splitlines()[0]}"
        if problem:
            failed[id_] = problem
            _log.warning("rebuild failed", segment=id_, problem=problem)
            with service.db.transaction() as connection:
                segments.fail(connection, id_, problem)
                _checkpoint(operation, connection, done, failed, owed, len(order))
    if failed:
        listed = "; ".join(f"{format_name(SEGMENTS, id_)}: {problem}" for id_, problem in failed.items())
        raise FailedPrecondition(
            f"{len(failed)} of {len(done) + len(failed)} segments could not be rebuilt and keep their last members: "
            f"{listed}",
            reason="REBUILD_FAILED",
            metadata={"segments": ",".join(failed)},
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
            for id_, (v, e, gone, m) in done.items()
        ]
    )


def _timed_out(error: DBAPIError) -> bool:
    return getattr(error.orig, "sqlstate", None) == "57014"


def _edges(connection: Connection) -> dict[str, set[str]]:
    edges = segments.edges(connection)
    return {id_: below & edges.keys() for id_, below in edges.items()}


def _checkpoint(
    operation: Progress,
    connection: Connection,
    done: dict[str, list[int]],
    failed: dict[str, str],
    owed: set[str],
    total: int,
) -> None:
    state: dict[str, Any] = {"done": done, "failed": failed, "owed": sorted(owed)}
    last = next(reversed(done), "")
    operation.checkpoint(
        connection, state, len(done) + len(failed), total, f"rebuilt {last}" if last else "rebuilding"
    )


def rebuild_one(service: Service, connection: Connection, id_: str) -> Rebuilt | None:
    """Compute a segment's members by its newest rule and make that the rule in force; None when the segment is gone.

    No contact changes meanwhile. Raises PluginError, RuleError, RegistryError, TooSlow and database errors.
    """
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
    limit = service.limits.rebuild
    if compiled.plugin_calls:
        complete = fill_for_all(service, connection, compiled, now, rule_seconds=limit)
    parameters = {"now": now}
    entered, left = membership.replace_members(
        connection,
        notice_of(rule),
        compiled.rebuild_select,
        parameters,
        now=now,
        # A new rule says something of the segment, not of the contacts: nobody did anything that starts a journey.
        historical=found.active_version != rule.version,
        seconds=limit,
    )
    if compiled.leaves:
        with bounds.within(connection, limit):
            membership.bring_forward(connection, compiled.next_change_select, parameters)
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
