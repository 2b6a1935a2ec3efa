"""Doing an import: each batch of rows and its checkpoint in one transaction, so no row is lost or doubled."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from uuid import UUID

from rapport.contacts.v1 import contacts_pb2 as pb
from sqlalchemy import Connection

from services.contacts.domain.errors import IdentitiesConflict
from services.contacts.domain.imports.columns import Columns
from services.contacts.domain.imports.errors import FileRefused, RowError
from services.contacts.domain.imports.reader import Place, Reader, Row, inflate
from services.contacts.domain.imports.sheet import Sheet
from services.contacts.domain.merging import Outcome
from services.contacts.store import imports as store
from services.contacts.store.writing import write
from services.contacts.usecases.import_rows import Sorted, sort_out
from services.contacts.usecases.imports import read_columns
from services.contacts.usecases.newcomers import NewcomersText
from services.contacts.usecases.upsert import apply, save
from services.kit.errors import InvalidArgument
from services.kit.names import format_name, parse_name
from services.kit.operations import OperationContext
from services.kit.runtime import Runtime

BATCH_ROWS = 5_000
_USUAL, _RARE = gc.get_threshold()[0], 500_000
_USUAL_SECONDS, _QUICK_SECONDS = sys.getswitchinterval(), 0.0005
_turns = threading.Lock()
_imports = 0


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
    """Hold rows that were read: what they say, the rows, those refused, and where the next batch begins.

    newcomers: all of them as new contacts, made ready on the chance that they are, as those of the batch before were.
    """

    sheet: Sheet
    rows: list[Row]
    refused: list[RowError]
    end: Place
    newcomers: NewcomersText | None


@contextmanager
def quick_turns() -> Iterator[None]:
    """Let threads of this process take turns quickly and the garbage collector run rarely, as long as an import runs.

    A batch is many thousand objects that hold no cycles. By default the collector looks through all of them again and
    again, which takes two thirds of the time of all other work; and each time that the database has taken a piece of a
    batch, whoever hands it the next one waits for 5 ms while the one after it is made ready.
    """
    global _imports
    with _turns:
        _imports += 1
        if _imports == 1:
            gc.set_threshold(_RARE, *gc.get_threshold()[1:])
            sys.setswitchinterval(_QUICK_SECONDS)
    try:
        yield
    finally:
        with _turns:
            _imports -= 1
            if _imports == 0:
                gc.set_threshold(_USUAL, *gc.get_threshold()[1:])
                sys.setswitchinterval(_USUAL_SECONDS)


class _Ahead:
    """Make the next batch ready in a thread of its own, in the trace of this one, while the database is at work."""

    def __init__(self, batches: Iterator[Batch]) -> None:
        self._batches = batches
        self._trace = copy_context()
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="import-reader")
        self._reading: Future[Batch | None] | None = None

    def start(self) -> None:
        """Begin with the next batch, unless it was begun."""
        if self._reading is None:
            self._reading = self._reader.submit(self._trace.run, self._take)

    def _take(self) -> Batch | None:
        return next(self._batches, None)

    def next(self) -> Batch | None:
        """Return the next batch, None at the end."""
        self.start()
        assert self._reading is not None
        reading, self._reading = self._reading, None
        return reading.result()

    def __enter__(self) -> _Ahead:
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.shutdown()


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
        self._expect_newcomers = True

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
        with quick_turns(), _Ahead(self._batches(columns)) as batches:
            while (batch := batches.next()) is not None:
                operation.raise_if_cancelled()
                self._counts = write(runtime.db, partial(self._store, batch, batches.start))

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
            batch = self._read(columns, islice(rows, BATCH_ROWS), reader)
            if not batch.rows and not batch.refused:
                return
            yield batch

    def _read(self, columns: Columns, rows: Iterator[Row], reader: Reader) -> Batch:
        sound, refused = [], []
        for row in rows:
            if row.problem:
                refused.append(RowError(row.line, "", row.problem, row.raw))
            else:
                sound.append(row)
        sheet, places, unsound = columns.read([row.cells for row in sound])
        for index, why in sorted(unsound.items()):
            row = sound[index]
            refused.append(RowError(row.line, why.column, str(why), row.raw))
        ready = None
        if self._expect_newcomers and not self._config.validate_only:
            ready = NewcomersText(sheet, self._runtime.clock.now())
        return Batch(sheet, [sound[index] for index in places], refused, reader.place, ready)

    def _store(self, batch: Batch, meanwhile: Callable[[], None], connection: Connection) -> Counts:
        """Write a batch and the place behind it; return the counts including it.

        meanwhile: starts what can be done while the database writes; may be called again.
        """
        refused = list(batch.refused)
        dry, sheet = self._config.validate_only, batch.sheet
        found = sort_out(connection, self._runtime, sheet)

        def refuse(index: int, error: Exception) -> None:
            refused.append(_refusal(batch.rows[found.others[index]], error))

        drafts = [sheet.draft(row) for row in found.others]
        upserts, outcomes = apply(
            connection, self._runtime, drafts, refuse, lock=not dry, owners=found.owners
        )
        self._expect_newcomers = len(found.strangers) == sheet.size
        meanwhile()
        if not dry:
            newcomers = batch.newcomers if self._expect_newcomers else None
            if newcomers is None and found.strangers:
                newcomers = NewcomersText(sheet.select(found.strangers), upserts.now)
            save(connection, upserts, newcomers)
        store.insert_errors(connection, self._id, refused)
        counts = _added(self._counts, found, outcomes, len(batch.refused))
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


def _refusal(row: Row, error: Exception) -> RowError:
    if isinstance(error, IdentitiesConflict):
        names = " and ".join(format_name("contacts", str(owner)) for owner in error.owners)
        return RowError(row.line, "", f"its identities belong to different contacts, {names}", row.raw)
    return RowError(row.line, "", str(error), row.raw)


def _added(counts: Counts, found: Sorted, outcomes: list[Outcome | None], refused: int) -> Counts:
    newcomers, idle = len(found.strangers), len(found.idle)
    created = sum(1 for one in outcomes if one is not None and one.created)
    changed = sum(1 for one in outcomes if one is not None and one.changed)
    failed = outcomes.count(None)
    return Counts(
        rows=counts.rows + newcomers + idle + len(outcomes) + refused,
        created=counts.created + newcomers + created,
        updated=counts.updated + changed - created,
        unchanged=counts.unchanged + idle + len(outcomes) - changed - failed,
        errors=counts.errors + failed + refused,
    )


def run(runtime: Runtime, operation: OperationContext) -> pb.ImportContactsResult:
    """Do an import, from where an earlier attempt stopped, and return its counts."""
    return ImportRun(runtime, operation).run()
