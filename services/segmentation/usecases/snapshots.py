"""Snapshots: lists of those who are in a segment, or fit a rule, at one time.

Taking many members lasts long, and increments must not wait for it. A list that nobody else changes while it is being
filled needs the membership lock only twice, for a moment each: before, until every process that evaluates rules knows
of the list and so leaves its members alone; after, to drop contacts that vanished meanwhile and to put it in force.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from rapport.operations.v1 import operations_pb2
from rapport.segmentation.v1 import segmentation_pb2 as pb
from sqlalchemy import Connection, Select
from sqlalchemy.exc import DBAPIError

from services.kit import operations
from services.kit.db import is_transient
from services.kit.errors import Cancelled, FailedPrecondition, InvalidArgument, NotFound
from services.kit.log import get_logger
from services.kit.names import format_name
from services.kit.plugins import PluginError
from services.kit.wire import get_timestamp, set_timestamp
from services.segmentation.context import Service
from services.segmentation.domain import SEGMENTS, Origin, Segment, parse_segment, refuse_cycle
from services.segmentation.models import kit
from services.segmentation.rulebook import depends_of
from services.segmentation.rules import CompiledRule, RegistryError, RuleError
from services.segmentation.store import bounds, locks, membership, segments, sweeps
from services.segmentation.store.replacing import Replacement
from services.segmentation.usecases.defining import compile_new, create_list, load
from services.segmentation.usecases.lists import notice_of_list
from services.segmentation.usecases.progress import Meter, Progress, Watch
from services.segmentation.usecases.rebuilding import compile_stored, rule_of, start_rebuild
from services.segmentation.usecases.selecting import select_members
from services.segmentation.usecases.settling import too_slow

KIND = "snapshot_segment"
_AGAIN = "delete the list, and take the snapshot again"
_log = get_logger("segmentation.snapshots")


def request_snapshot(
    service: Service, connection: Connection, request: pb.SnapshotSegmentRequest
) -> tuple[Segment, operations_pb2.Operation]:
    """Make an empty list and start the operation that fills it, in the caller's transaction."""
    as_of = get_timestamp(request, "as_of_time")
    if as_of is not None and not 1001 <= as_of.year <= 8998:
        raise InvalidArgument.field("as_of_time", f"must lie between the years 1001 and 8998, got {as_of}")
    segments.lock_definitions(connection)
    match request.WhichOneof("source"):
        case "segment":
            found = load(connection, parse_segment(request.segment, "segment"))
            _check_source(found)
            origin = Origin(found.id, 0, "", as_of)
        case "rule":
            compiled = compile_new(service, connection, request.rule, "rule")
            # A rule that names the list itself would only ever see it empty.
            refuse_cycle(request.segment_id, depends_of(compiled), segments.edges(connection))
            origin = Origin("", 0, request.rule, as_of)
        case _:
            raise InvalidArgument.field("source", "is required: give a rule or the name of a segment")
    id_ = request.segment_id
    made = create_list(service, connection, id_, request.display_name or id_, "building", origin)
    task = pb.SnapshotSegmentRequest()
    task.CopyFrom(request)
    operation = operations.create(connection, kit, KIND, task, service.clock, request_id="", unit="contacts")
    return made, operation


def _check_source(found: Segment) -> None:
    if found.active_version is None or (found.kind == "list" and found.state != "ready"):
        raise FailedPrecondition(
            f"{found.name} has no members yet, its first rebuild or snapshot has not ended: wait for it",
            reason="SEGMENT_BUILDING",
            metadata={"resource": found.name},
        )


def take_snapshot(
    service: Service, request: pb.SnapshotSegmentRequest, operation: Progress
) -> pb.SnapshotSegmentResult:
    """Fill a list, all at once; when that cannot be, or it is cancelled, the list stays empty and says why."""
    id_ = request.segment_id
    try:
        with service.db.transaction() as connection, operation.interruptible(connection):
            # Waits for evaluations that do not know of the list, and for nothing else.
            locks.own_membership(connection)
        operation.raise_if_cancelled()
        with service.db.transaction() as connection, operation.interruptible(connection):
            return _fill(service, connection, request, Meter(operation))
    except Cancelled:
        _fail(service, id_, f"it was cancelled: {_AGAIN}")
        raise
    except bounds.TooSlow as error:
        problem = too_slow(error.seconds)
        _fail(service, id_, problem)
        raise _not_taken(id_, problem) from error
    except PluginError as error:
        problem = f"{error}; once the plugin answers, {_AGAIN}"
        _fail(service, id_, problem)
        raise _not_taken(id_, problem) from error
    except (RuleError, RegistryError, FailedPrecondition, InvalidArgument, NotFound) as error:
        _fail(service, id_, str(error))
        if isinstance(error, (RuleError, RegistryError)):
            raise _not_taken(id_, str(error)) from error
        raise
    except DBAPIError as error:
        if not is_transient(error):
            _fail(service, id_, f"its SQL failed: {str(error.orig).splitlines()[0]}")
        raise


def _not_taken(id_: str, problem: str) -> FailedPrecondition:
    return FailedPrecondition(
        f"the snapshot {format_name(SEGMENTS, id_)} could not be taken: {problem}", reason="SNAPSHOT_FAILED"
    )


def _fail(service: Service, id_: str, problem: str) -> None:
    _log.warning("snapshot failed", segment=id_, problem=problem)
    with service.db.transaction() as connection:
        segments.fail(connection, id_, problem)


def _fill(
    service: Service, connection: Connection, request: pb.SnapshotSegmentRequest, meter: Meter
) -> pb.SnapshotSegmentResult:
    found = load(connection, request.segment_id)
    origin = found.origin
    if origin is None:
        raise NotFound(f"{found.name} was deleted and is another list now", metadata={"resource": found.name})
    if found.state == "ready":
        # An earlier attempt got this far and could not say so.
        return _result(found)
    everybody = sweeps.contacts(connection)
    meter.expect(everybody)
    meter.begin(everybody, found.name)
    meter.add(0, "taking")
    select, parameters, origin = _source(service, connection, origin, meter)
    notice = notice_of_list(found)
    replacement = Replacement(connection, notice, service.clock.now())
    # Nobody waits for it, yet the next snapshot does.
    replacement.all_of(select, parameters, service.limits.unhurried)
    replacement.apply(historical=True)
    meter.end()
    locks.own_membership(connection)
    segments.lock_definitions(connection)
    found = load(connection, found.id, lock=True)
    membership.drop_vanished(connection, notice)
    segments.put_origin(connection, found.number, origin)
    segments.change(connection, found.number, state="ready", state_message="")
    users = sorted(name for name, below in segments.edges(connection).items() if found.id in below)
    if users:
        start_rebuild(service, connection, users)
    meter.operation.checkpoint(connection, {"done": True}, meter.total, meter.total, "taken")
    return _result(load(connection, found.id))


def _source(
    service: Service, connection: Connection, origin: Origin, watch: Watch
) -> tuple[Select[Any], dict[str, Any], Origin]:
    """Return a SELECT of the contacts to take, its parameters, and what there is to remember of them."""
    now = service.clock.now()
    as_of = origin.as_of or now
    if not origin.source:
        compiled = compile_new(service, connection, origin.rule, "rule")
        select = _evaluated(service, connection, compiled, as_of, watch, past=as_of < now)
        return select, {"now": as_of}, replace(origin, as_of=as_of)
    source = load(connection, origin.source)
    _check_source(source)
    if origin.as_of is None:
        taken = replace(origin, version=source.active_version or source.version, as_of=now)
        return membership.select_members(source.number), {}, taken
    rule = rule_of(connection, source, source.version)
    compiled = compile_stored(service, connection, rule)
    taken = replace(origin, version=rule.version, rule=source.rule)
    select = _evaluated(service, connection, compiled, as_of, watch, past=as_of < now)
    return select, {"now": as_of}, taken


def _evaluated(
    service: Service,
    connection: Connection,
    compiled: CompiledRule,
    as_of: datetime,
    watch: Watch,
    *,
    past: bool,
) -> Select[Any]:
    budget = bounds.Budget(service.limits.unhurried)
    select, complete = select_members(
        service, connection, compiled, as_of, past=past, budget=budget, watch=watch
    )
    if not complete:
        # A segment would be put right later; a snapshot would stay wrong for good.
        raise FailedPrecondition(
            f"a plugin that the rule calls did not answer for all contacts: {_AGAIN}",
            reason="SNAPSHOT_FAILED",
        )
    return select


def _result(found: Segment) -> pb.SnapshotSegmentResult:
    result = pb.SnapshotSegmentResult(segment=found.name, member_count=found.member_count)
    if found.origin is not None:
        set_timestamp(result.as_of_time, found.origin.as_of)
    return result
