"""Computed traits: from plugins into profiles, and on into memberships."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeAlias
from uuid import UUID

from rapport.operations.v1 import operations_pb2
from rapport.segmentation.v1 import segmentation_pb2 as pb
from sqlalchemy import Connection

from services.kit import operations
from services.kit.errors import NotFound
from services.kit.log import get_logger
from services.kit.plugins import PluginError, TraitAnswer, TraitRecord, run_trait_batches, run_trait_select
from services.segmentation.context import Service
from services.segmentation.models import kit
from services.segmentation.store import fresh_traits, locks, profiles, vocabulary
from services.segmentation.usecases.answers import PYTHON_BATCH
from services.segmentation.usecases.evaluation import evaluate
from services.segmentation.usecases.progress import Progress

KIND = "refresh_traits"
BATCH = 500
RETRY_SECONDS = 600.0
Between: TypeAlias = Callable[[str, int], None]
_log = get_logger("segmentation.traits")


def request_refresh(service: Service, request: pb.RefreshTraitsRequest) -> operations_pb2.Operation:
    """Start a refresh that a caller asks for; raises NotFound (TRAIT_NOT_FOUND)."""
    offered = service.catalog().traits
    names = list(dict.fromkeys(request.traits))
    for name in names:
        if name not in offered:
            known = ", ".join(sorted(offered)) or "none"
            raise NotFound(
                f"no loaded plugin offers the trait {name!r}: {service.catalog().why_gone(name)}; offered: {known}",
                reason="TRAIT_NOT_FOUND",
                metadata={"trait": name},
            )
    with service.db.transaction() as connection:
        return operations.create(
            connection,
            kit,
            KIND,
            pb.RefreshTraitsRequest(traits=names),
            service.clock,
            request_id=request.request_id,
            unit="contacts",
        )


def refresh(
    service: Service, request: pb.RefreshTraitsRequest, operation: Progress
) -> pb.RefreshTraitsResult:
    """Compute traits anew, one after the other; raises PluginError of the first that fails, whose values stay."""
    offered = service.catalog().traits
    names = list(request.traits) or sorted(offered)
    state = operation.state
    done: dict[str, int] = dict(state.get("done", {}))
    for name in names:
        if name in done:
            continue
        record = offered.get(name)
        if record is None:
            raise NotFound(f"no loaded plugin offers the trait {name!r}", reason="TRAIT_NOT_FOUND")

        def between(stage: str, changed: int, already: int = sum(done.values()), name: str = name) -> None:
            operation.raise_if_cancelled()
            with service.db.transaction() as connection:
                operation.checkpoint(connection, completed=already + changed, stage=f"{stage} {name}")

        done[name] = refresh_trait(service, record, between)
        with service.db.transaction() as connection:
            operation.checkpoint(connection, {"done": done}, sum(done.values()), stage=f"computed {name}")
    return pb.RefreshTraitsResult(changed_count=sum(done.values()), traits=list(done))


def refresh_due(service: Service) -> int:
    """Refresh the traits whose values are as old as they may get, or that failed; returns how many were tried."""
    offered = service.catalog().traits
    now = service.clock.now()
    with service.db.read() as connection:
        known = {row.name: row for row in vocabulary.traits(connection)}
    tried = 0
    for name, record in sorted(offered.items()):
        if name not in known:
            continue
        last, failed = known[name].refresh_time, bool(known[name].message)
        # A plugin that was mended need not wait for a day.
        wait = min(record.refresh_seconds, RETRY_SECONDS) if failed else record.refresh_seconds
        if last is None or last + timedelta(seconds=wait) <= now:
            tried += 1
            try:
                refresh_trait(service, record)
            except PluginError as error:
                _log.warning("trait not refreshed", trait=name, problem=error.message)
    return tried


def refresh_trait(
    service: Service, record: TraitRecord, between: Between = lambda stage, changed: None
) -> int:
    """Compute one trait for all contacts and store what differs; returns how many contacts changed.

    between: called after each batch with what is being done and the number so far. The values that a failing plugin
    gave before stay.
    """
    now = service.clock.now()
    try:
        changed = _apply(service, tuple(record.columns), _answers(service, record, now), between)
    except PluginError as error:
        with service.db.transaction() as connection:
            vocabulary.refreshed(connection, record.name, now, error.message)
        raise
    with service.db.transaction() as connection:
        vocabulary.refreshed(connection, record.name, now)
    return changed


def clear_trait(service: Service, columns: Sequence[str]) -> int:
    """Take traits out of all profiles; returns how many contacts changed."""
    return _apply(service, tuple(columns), None, lambda stage, changed: None)


def _answers(service: Service, record: TraitRecord, now: datetime) -> Iterator[Iterable[TraitAnswer]]:
    """Yield the answers for all contacts: from SQL in one piece, else from Python in batches."""
    if record.has_sql:
        compiled = service.plugins.compile_sql(record.name)
        yield run_trait_select(service.db.engine, compiled, now=now)
    else:
        yield from run_trait_batches(service.db.engine, service.plugins, record, now=now, size=PYTHON_BATCH)


def _json(values: Mapping[str, Any]) -> str:
    return json.dumps({name: value for name, value in values.items() if value is not None})


def _apply(
    service: Service,
    columns: Sequence[str],
    answers: Iterable[Iterable[TraitAnswer]] | None,
    between: Between,
) -> int:
    """Store answers in batches, each with the memberships that follow; None empties the columns everywhere."""
    changed = 0
    # One connection for all: the values lie in a table of this session.
    with service.db.engine.connect() as connection:
        try:
            with connection.begin():
                fresh_traits.make(connection)
            # All values come before any is stored, so a plugin that fails in the midst changes nothing.
            for some in answers or ():
                # No transaction is open while Python works on a batch.
                with connection.begin():
                    fresh_traits.put(connection, ((one.contact_id, _json(one.values)) for one in some))
                between("computing", 0)
            with connection.begin():
                if answers is None:
                    fresh_traits.put_empty(connection, columns)
                else:
                    fresh_traits.keep_different(connection, columns)
            while True:
                with connection.begin():
                    batch = fresh_traits.take(connection, BATCH)
                    changed += _apply_batch(service, connection, columns, batch)
                if not batch:
                    return changed
                between("applying", changed)
        finally:
            connection.rollback()
            with connection.begin():
                fresh_traits.drop(connection)


def _apply_batch(
    service: Service, connection: Connection, columns: Sequence[str], batch: Sequence[tuple[UUID, str]]
) -> int:
    if not batch:
        return 0
    locks.share_membership(connection)
    locks.lock_contacts(connection, (contact for contact, _ in batch))
    contacts, values = zip(*batch, strict=True)
    now = service.clock.now()
    changed = profiles.put_traits(connection, contacts, values, columns, now)
    evaluate(service, connection, sorted(changed), now=now, historical=False)
    return len(changed)
