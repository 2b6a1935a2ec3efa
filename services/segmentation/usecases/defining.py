"""Making, changing and deleting segments."""

from __future__ import annotations

from dataclasses import dataclass

from rapport.operations.v1 import operations_pb2
from sqlalchemy import Connection

from services.kit.errors import Aborted, AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from services.kit.names import format_name
from services.kit.plugins import PluginError
from services.segmentation.context import Service
from services.segmentation.domain import SEGMENTS, ActiveRule, Segment, refuse_cycle
from services.segmentation.rulebook import depends_of, functions_of, notice_of
from services.segmentation.rules import CompiledRule, RegistryError, RuleError, compile_rule
from services.segmentation.store import locks, membership, segments
from services.segmentation.usecases.rebuilding import start_rebuild
from services.segmentation.vocabulary import load_names, make_registry


@dataclass(frozen=True)
class Defined:
    """Hold a segment as stored and the rebuild that was started, if any."""

    segment: Segment
    rebuild: operations_pb2.Operation | None


def compile_new(
    service: Service, connection: Connection, text: str, field: str = "segment.rule"
) -> CompiledRule:
    """Compile a rule that a caller gives; raises InvalidArgument (INVALID_RULE) with its place."""
    registry = make_registry(load_names(connection), service.catalog(), service.time_zone)
    try:
        compiled = compile_rule(text, registry)
        check_calls(service, compiled)
    except RuleError as error:
        raise _invalid_rule(field, str(error), error.line, error.column) from error
    except InvalidArgument as error:
        raise _invalid_rule(field, error.message, 1, 1) from error
    except RegistryError as error:
        raise FailedPrecondition(f"no rule can be compiled: {error}", reason="BROKEN_VOCABULARY") from error
    return compiled


def _invalid_rule(field: str, message: str, line: int, column: int) -> InvalidArgument:
    error = InvalidArgument.field(field, message, reason="INVALID_RULE")
    error.metadata.update(line=str(line), column=str(column))
    return error


def check_calls(service: Service, compiled: CompiledRule) -> None:
    """Let each plugin look at the literal arguments of its rules; a plugin that fails is no mistake of the rule.

    Raises InvalidArgument that says what is wrong with them.
    """
    for item in compiled.plugin_calls:
        record = service.catalog().rules.get(item.function)
        if record is None:
            continue
        try:
            if record.has_sql:
                service.plugins.compile_sql(item.function, item.params)
            else:
                service.plugins.matches(item.function, item.params, [], service.clock.now())
        except PluginError:
            continue


def create_segment(
    service: Service, connection: Connection, id_: str, display_name: str, rule: str
) -> Defined:
    """Store a segment and start its first rebuild."""
    now = service.clock.now()
    segments.lock_definitions(connection)
    compiled = check_new(service, connection, id_, rule)
    number = segments.insert(connection, id_, display_name, now)
    if not number:
        raise taken(id_)
    _add_version(service, connection, number, 1, rule, compiled)
    operation = start_rebuild(service, connection, [id_])
    return Defined(load(connection, id_), operation)


def check_new(service: Service, connection: Connection, id_: str, rule: str) -> CompiledRule:
    """Check a new segment; raises AlreadyExists, InvalidArgument or FailedPrecondition."""
    if segments.find(connection, id_) is not None:
        raise taken(id_)
    compiled = compile_new(service, connection, rule)
    refuse_cycle(id_, depends_of(compiled), segments.edges(connection))
    return compiled


def taken(id_: str) -> AlreadyExists:
    """Return the error for an id that is in use."""
    name = format_name(SEGMENTS, id_)
    return AlreadyExists(f"{name} exists already", metadata={"resource": name})


def load(connection: Connection, id_: str, *, lock: bool = False) -> Segment:
    """Return a segment; raises NotFound."""
    found = segments.find(connection, id_, lock=lock)
    if found is None:
        raise NotFound.resource(format_name(SEGMENTS, id_))
    return found


def check_etag(found: Segment, etag: str) -> None:
    """Raise Aborted (ETAG_MISMATCH) when somebody changed the segment since it was read."""
    if etag and etag != found.etag:
        raise Aborted(
            f"{found.name} was changed meanwhile (etag {etag!r}, now {found.etag!r}): read it again",
            metadata={"resource": found.name, "etag": found.etag},
        )


@dataclass(frozen=True)
class Change:
    """Say what of a segment changes; None leaves as it is."""

    display_name: str | None = None
    rule: str | None = None


def check_change(service: Service, connection: Connection, id_: str, change: Change, etag: str) -> Segment:
    """Check a change without storing it; returns the segment as it is."""
    found = load(connection, id_, lock=False)
    check_etag(found, etag)
    if change.rule is not None:
        _compile_change(service, connection, found, change.rule)
    return found


def _compile_change(service: Service, connection: Connection, found: Segment, rule: str) -> CompiledRule:
    compiled = compile_new(service, connection, rule)
    refuse_cycle(found.id, depends_of(compiled), segments.edges(connection))
    return compiled


def update_segment(service: Service, connection: Connection, id_: str, change: Change, etag: str) -> Defined:
    """Store a change; a new rule makes a new version and starts a rebuild. A change to what is there writes nothing."""
    segments.lock_definitions(connection)
    found = load(connection, id_, lock=True)
    check_etag(found, etag)
    name = change.display_name if change.display_name is not None else found.display_name
    new_rule = change.rule if change.rule is not None and change.rule != found.rule else None
    if name == found.display_name and new_rule is None:
        return Defined(found, None)
    operation = None
    if new_rule is not None:
        compiled = _compile_change(service, connection, found, new_rule)
        _add_version(service, connection, found.number, found.version + 1, new_rule, compiled)
        operation = start_rebuild(service, connection, [id_])
    segments.change(
        connection,
        found.number,
        display_name=name,
        revision=found.revision + 1,
        update_time=service.clock.now(),
    )
    return Defined(load(connection, id_), operation)


def _add_version(
    service: Service, connection: Connection, number: int, version: int, rule: str, compiled: CompiledRule
) -> None:
    segments.add_version(
        connection,
        number,
        version=version,
        rule=rule,
        depends=depends_of(compiled),
        functions=functions_of(compiled, service.catalog()),
        now=service.clock.now(),
    )


def delete_segment(service: Service, connection: Connection, id_: str, etag: str) -> None:
    """Delete a segment; its members leave, and are told so. Raises FailedPrecondition (SEGMENT_IN_USE)."""
    locks.own_membership(connection)
    segments.lock_definitions(connection)
    found = load(connection, id_, lock=True)
    check_etag(found, etag)
    users = sorted(name for name, below in segments.edges(connection).items() if id_ in below)
    if users:
        listed = ", ".join(format_name(SEGMENTS, name) for name in users)
        raise FailedPrecondition(
            f"{found.name} is named by the rule of {listed}: change that first",
            reason="SEGMENT_IN_USE",
            metadata={"segments": listed},
        )
    version = found.active_version or found.version
    rule = ActiveRule(found.number, found.id, version, found.rule, ())
    membership.remove_members(connection, notice_of(rule), service.clock.now())
    segments.delete(connection, found.number)
    segments.bump(connection, rules=True)
