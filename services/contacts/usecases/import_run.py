"""Doing an import: each batch of rows and its checkpoint in one transaction, so no row is lost or doubled."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from uuid import UUID

from rapport.contacts.v1 import contacts_pb2 as pb
from sqlalchemy import Connection

from services.contacts.domain.contact import Draft
from services.contacts.domain.errors import IdentitiesConflict
from services.contacts.domain.imports.columns import Columns, RowRefused
from services.contacts.domain.imports.errors import FileRefused, RowError
from services.contacts.domain.imports.reader import Place, Reader, Row, inflate
from services.contacts.domain.merging import Outcome
from services.contacts.store import imports as store
from services.contacts.store.writing import write
from services.contacts.usecases.imports import read_columns
from services.contacts.usecases.upsert import apply, save
from services.kit.errors import InvalidArgument
from services.kit.names import format_name, parse_name
from services.kit.operations import OperationContext
from services.kit.runtime import Runtime

BATCH_ROWS = 5_000
_USUAL, _RARE = gc.get_threshold()[0], 500_000


@dataclass(frozen=True, slots=True)
class Counts:
    """Count rows by what became of them."""

    rows: int = 0
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    errors: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """Hold rows that were read: drafts with their rows, those refused, and where the next batch begins."""

    drafts: list[Draft]
    rows: list[Row]
    refused: list[RowError]
    end: Place


_collections = threading.Lock()
_rare = 0


@contextmanager
def rare_collections() -> Iterator[None]:
    """Let the garbage collector run rarely in this process, as long as any import needs it.

    A batch is 150,000 objects that hold no cycles. By default the collector looks through all of them again and again,
    which takes two thirds of the time of all other work.
    """
    global _rare
    with _collections:
        _rare += 1
        if _rare == 1:
            gc.set_threshold(_RARE, *gc.get_threshold()[1:])
    try:
        yield
    finally:
        with _collections:
            _rare -= 1
            if _rare == 0:
                gc.set_threshold(_USUAL, *gc.get_threshold()[1:])


class ImportRun:
    """Do one attempt of an import."""

    def __init__(self, runtime: Runtime, operation: OperationContext) -> None:
        request = operation.request
        assert isinstance(request, pb.ImportContactsConfig)
        self._runtime = runtime
        self._operation = operation
        self._config = request
        self._id: UUID = parse_name(operation.name, "operations")
        self._total = int(operation.state.get("total", 0))
        self._counts = Counts(**operation.state.get("counts", {}))

    def run(self) -> pb.ImportContactsResult:
        """Import what is left and return the counts; raises InvalidArgument when the file is damaged."""
        try:
            self._import()
        except FileRefused as error:
            # _count_rows reads the whole file before the first row is written.
            raise InvalidArgument(f"{error}; nothing was imported", reason="BAD_FILE") from None
        counts = self._counts
        return pb.ImportContactsResult(
            row_count=counts.rows,
            created_count=counts.created,
            updated_count=counts.updated,
            unchanged_count=counts.unchanged,
            error_count=counts.errors,
        )

    def _import(self) -> None:
        operation, runtime = self._operation, self._runtime
        header = next(iter(Reader(inflate(operation.chunks()))))
        with runtime.db.read() as connection:
            columns = read_columns(connection, runtime, self._config, header)
        if not operation.state:
            self._count_rows()
        batches = self._batches(columns)
        # While the database takes one batch, the next one is read.
        with rare_collections(), ThreadPoolExecutor(1, thread_name_prefix="import-reader") as reader:
            reading = reader.submit(next, batches, None)
            while (batch := reading.result()) is not None:
                operation.raise_if_cancelled()
                reading = reader.submit(next, batches, None)
                self._counts = write(runtime.db, partial(self._store, batch))

    def _count_rows(self) -> None:
        """Tell how many rows there will be, by the line breaks: quoted ones make it a little too many.

        A damaged file is thereby noticed before anything is written.
        """
        lines = sum(piece.count(b"\n") for piece in inflate(self._operation.chunks()))
        self._total = max(lines - 1, 0)

    def _batches(self, columns: Columns) -> Iterator[Batch]:
        state = self._operation.state
        start = Place(state.get("offset", 0), state.get("lines", 0))
        reader = Reader(inflate(self._operation.chunks()), start)
        rows = iter(reader)
        if start == Place():
            next(rows)
        while True:
            batch = _read(columns, islice(rows, BATCH_ROWS), reader)
            if not batch.rows and not batch.refused:
                return
            yield batch

    def _store(self, batch: Batch, connection: Connection) -> Counts:
        """Write a batch and the place behind it; return the counts including it."""
        refused = list(batch.refused)

        def refuse(index: int, error: Exception) -> None:
            refused.append(_refusal(batch.rows[index], error))

        dry = self._config.validate_only
        upserts, outcomes = apply(connection, self._runtime, batch.drafts, refuse, lock=not dry)
        if not dry:
            save(connection, upserts)
        store.insert_errors(connection, self._id, refused)
        counts = _added(self._counts, outcomes, len(batch.refused))
        self._operation.checkpoint(
            connection,
            {
                "offset": batch.end.offset,
                "lines": batch.end.lines,
                "total": self._total,
                "counts": asdict(counts),
            },
            completed=counts.rows,
            total=max(self._total, counts.rows),
            stage="checking" if dry else "importing",
        )
        return counts


def _read(columns: Columns, rows: Iterator[Row], reader: Reader) -> Batch:
    sound, drafts, kept, refused = [], [], [], []
    for row in rows:
        if row.problem:
            refused.append(RowError(row.line, "", row.problem, row.raw))
        else:
            sound.append(row)
    for row, draft in zip(sound, columns.drafts([row.cells for row in sound]), strict=True):
        if isinstance(draft, RowRefused):
            refused.append(RowError(row.line, draft.column, str(draft), row.raw))
        else:
            drafts.append(draft)
            kept.append(row)
    return Batch(drafts, kept, refused, reader.place)


def _refusal(row: Row, error: Exception) -> RowError:
    if isinstance(error, IdentitiesConflict):
        names = " and ".join(format_name("contacts", str(owner)) for owner in error.owners)
        return RowError(row.line, "", f"its identities belong to different contacts, {names}", row.raw)
    return RowError(row.line, "", str(error), row.raw)


def _added(counts: Counts, outcomes: list[Outcome | None], refused: int) -> Counts:
    created = sum(1 for one in outcomes if one is not None and one.created)
    changed = sum(1 for one in outcomes if one is not None and one.changed)
    failed = outcomes.count(None)
    return Counts(
        rows=counts.rows + len(outcomes) + refused,
        created=counts.created + created,
        updated=counts.updated + changed - created,
        unchanged=counts.unchanged + len(outcomes) - changed - failed,
        errors=counts.errors + failed + refused,
    )


def run(runtime: Runtime, operation: OperationContext) -> pb.ImportContactsResult:
    """Do an import, from where an earlier attempt stopped, and return its counts."""
    return ImportRun(runtime, operation).run()
