"""Starting an import of a file, and reading what it refused."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from uuid import UUID

from rapport.contacts.v1 import contacts_pb2 as pb
from rapport.operations.v1 import operations_pb2
from sqlalchemy import Connection

from services.contacts.domain import codes
from services.contacts.domain.errors import Refused
from services.contacts.domain.imports.columns import Columns, attribute_names
from services.contacts.domain.imports.errors import FileRefused, HeaderRefused, RowError
from services.contacts.domain.imports.reader import Reader, Row, inflate
from services.contacts.models import kit
from services.contacts.store import imports as store
from services.contacts.usecases import registry
from services.kit import operations
from services.kit.errors import InvalidArgument, NotFound
from services.kit.names import format_name
from services.kit.runtime import Runtime


def start(
    runtime: Runtime, config: pb.ImportContactsConfig, pieces: Iterator[bytes]
) -> operations_pb2.Operation:
    """Record the import of a file and return its operation.

    Raises InvalidArgument (BAD_COLUMNS) for a header that does not fit, before anything is stored.
    """
    request = pb.ImportContactsConfig()
    request.CopyFrom(config)
    try:
        request.default_region = codes.region(config.default_region or runtime.settings.default_region)
    except Refused as error:
        raise InvalidArgument.field("config.default_region", str(error)) from None
    held: list[bytes] = []
    header = _first_row(held, pieces)
    with runtime.db.read() as connection:
        read_columns(connection, runtime, request, header)
    with runtime.db.transaction() as connection:
        return operations.create(
            connection,
            kit,
            store.KIND,
            request,
            runtime.clock,
            chunks=chain(held, pieces),
            request_id=config.request_id,
            unit="rows",
        )


def _first_row(held: list[bytes], pieces: Iterator[bytes]) -> Row:
    """Return the header; the pieces that had to be read for it go into `held`."""

    def holding() -> Iterator[bytes]:
        for piece in pieces:
            held.append(piece)
            yield piece

    try:
        header = next(iter(Reader(inflate(holding()))), None)
    except FileRefused as error:
        raise InvalidArgument.field("chunk", str(error), reason="BAD_FILE") from None
    if header is None:
        raise InvalidArgument.field(
            "chunk", "the file is empty; its first line must name the columns", reason="BAD_FILE"
        )
    return header


def read_columns(
    connection: Connection, runtime: Runtime, config: pb.ImportContactsConfig, header: Row
) -> Columns:
    """Return what the columns of a file mean; raises InvalidArgument (BAD_COLUMNS)."""
    if header.problem:
        raise InvalidArgument.field("chunk", f"the first line {header.problem}", reason="BAD_COLUMNS")
    mapping = dict(config.columns)
    names = attribute_names(header.cells, mapping)
    definitions = registry.of(runtime.db).attributes(connection, names)
    try:
        return Columns(header.cells, mapping, definitions, config.default_region, runtime.clock.now())
    except HeaderRefused as error:
        field = "config.columns" if mapping else "chunk"
        raise InvalidArgument.field(field, str(error), reason="BAD_COLUMNS") from None


def error_page(runtime: Runtime, operation_id: UUID, after: int, limit: int) -> tuple[list[RowError], bool]:
    """Return the rows that an import refused, by line, and whether there are more; raises NotFound."""
    with runtime.db.read() as connection:
        found = store.error_page(connection, operation_id, after, limit + 1)
        if not found and not store.exists(connection, operation_id):
            raise NotFound.resource(format_name("operations", operation_id))
    return found[:limit], len(found) > limit
