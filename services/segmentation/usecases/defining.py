"""Making, changing and deleting segments."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rapport.operations.v1 import operations_pb2
from sqlalchemy import Connection

from services.kit.errors import Aborted, AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from services.kit.names import format_name
from services.kit.plugins import PluginError
from services.segmentation.context import Service
from services.segmentation.domain import SEGMENTS, ActiveRule, Origin, Segment, State, refuse_cycle
from services.segmentation.rulebook import depends_of, functions_of, notice_of
from services.segmentation.rules import CompiledRule, Registry, RegistryError, RuleError, compile_rule
from services.segmentation.store import locks, replacing, segments
from services.segmentation.usecases.rebuilding import start_rebuild
from services.segmentation.usecases.zones import check_zones
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
    return compile_with(service, connection, registry, text, field)


def compile_with(
    service: Service, connection: Connection, registry: Registry, text: str, field: str
) -> CompiledRule:
    """Compile a rule that a caller gives with what it may name; raises as compile_new."""
    try:
        compiled = compile_rule(text, registry)
        check_zones(connection, compiled, service.clock.now())
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
    add_version(service, connection, number, 1, rule, compiled)
    operation = start_rebuild(service, connection, [id_])
    return Defined(load(connection, id_), operation)


def create_list(
    service: Service,
    connection: Connection,
    id_: str,
    display_name: str,
    state: State = "ready",
    origin: Origin | None = None,
) -> Segment:
    """Store a list without members; raises AlreadyExists."""
    segments.lock_definitions(connection)
    number = segments.insert(connection, id_, display_name, service.clock.now(), "list")
    if not number:
        raise taken(id_)
    put_list(service, connection, number, state, origin)
    return load(connection, id_)


def put_list(
    service: Service,
    connection: Connection,
    number: int,
    state: State = "ready",
    origin: Origin | None = None,
) -> None:
    """Store what a list has in place of a rule: the only version that it will ever have."""
    now = service.clock.now()
    segments.add_version(connection, number, version=1, rule="", depends=(), functions={}, now=now)
    segments.change(connection, number, active_version=1, state=state)
    if origin is not None:
        segments.put_origin(connection, number, origin)
    # Whoever evaluates rules must know of it before it has members, or would take them out again.
    segments.bump(connection, rules=True)


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


def check_change(
    service: Service, connection: Connection, id_: str, change: Change, etag: str
) -> tuple[Segment, CompiledRule | None]:
    """Check a change without storing it; returns the segment as it is, and its new rule if it gets one."""
    found = load(connection, id_, lock=False)
    check_etag(found, etag)
    refuse_rule_of_list(found, change)
    if change.rule is None or change.rule == found.rule:
        return found, None
    return found, _compile_change(service, connection, found, change.rule)


def refuse_rule_of_list(found: Segment, change: Change) -> None:
    """Raise FailedPrecondition (SEGMENT_IS_LIST) for a change that gives a list a rule."""
    if found.kind == "list" and change.rule:
        raise FailedPrecondition(
            f"{found.name} is a list and can have no rule: make a segment with the rule, under another id",
            reason="SEGMENT_IS_LIST",
            metadata={"resource": found.name},
        )


def _compile_change(service: Service, connection: Connection, found: Segment, rule: str) -> CompiledRule:
    compiled = compile_new(service, connection, rule)
    refuse_cycle(found.id, depends_of(compiled), segments.edges(connection))
    return compiled


def update_segment(service: Service, connection: Connection, id_: str, change: Change, etag: str) -> Defined:
    """Store a change; a new rule makes a new version and starts a rebuild. A change to what is there writes nothing."""
    # A rebuild locks the segment first and then definitions: the two would wait in a circle.
    locks.share_membership(connection)
    segments.lock_definitions(connection)
    found = load(connection, id_, lock=True)
    check_etag(found, etag)
    refuse_rule_of_list(found, change)
    name = change.display_name if change.display_name is not None else found.display_name
    new_rule = change.rule if change.rule is not None and change.rule != found.rule else None
    if name == found.display_name and new_rule is None:
        return Defined(found, None)
    operation = None
    if new_rule is not None:
        compiled = _compile_change(service, connection, found, new_rule)
        add_version(service, connection, found.number, found.version + 1, new_rule, compiled)
        operation = start_rebuild(service, connection, [id_])
    segments.change(
        connection,
        found.number,
        display_name=name,
        revision=found.revision + 1,
        update_time=service.clock.now(),
    )
    return Defined(load(connection, id_), operation)


def add_version(
    service: Service, connection: Connection, number: int, version: int, rule: str, compiled: CompiledRule
) -> None:
    """Store a rule that was compiled as a segment's newest version."""
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
        raise in_use(found.name, users)
    drop(service, connection, found)
    segments.bump(connection, rules=True)


def in_use(name: str, users: Iterable[str]) -> FailedPrecondition:
    """Return the error for a segment that the rules of others name."""
    listed = ", ".join(format_name(SEGMENTS, item) for item in users)
    return FailedPrecondition(
        f"{name} is named by the rule of {listed}: change that first",
        reason="SEGMENT_IN_USE",
        metadata={"segments": listed},
    )


def drop(service: Service, connection: Connection, found: Segment) -> None:
    """Let the members of a segment leave, and delete it; the membership lock must be owned."""
    version = found.active_version or found.version
    rule = ActiveRule(found.number, found.id, version, found.rule, ())
    now = service.clock.now()
    replacing.remove_members(connection, notice_of(rule), now)
    segments.delete(connection, found.number, now)
