"""Imports of files."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
from rapport.contacts.v1 import contacts_pb2 as pb

from services.contacts.api.base import Methods
from services.contacts.domain.imports.errors import RowError
from services.contacts.usecases import imports
from services.kit.errors import InvalidArgument
from services.kit.names import parse_name


class ImportMethods(Methods):
    """Answer the RPCs on imports."""

    def ImportContacts(
        self, request_iterator: Iterator[pb.ImportContactsRequest], context: grpc.ServicerContext
    ) -> pb.ImportContactsResponse:
        """Take a file and start its import."""
        first = next(request_iterator, None)
        if first is None or first.WhichOneof("part") != "config":
            raise InvalidArgument.field(
                "config", "must come first: the first message holds the configuration"
            )
        operation = imports.start(self._runtime, first.config, _chunks(request_iterator))
        return pb.ImportContactsResponse(operation=operation)

    def ListImportErrors(
        self, request: pb.ListImportErrorsRequest, context: grpc.ServicerContext
    ) -> pb.ListImportErrorsResponse:
        """List refused rows by line."""
        key = parse_name(request.operation, "operations", "operation")
        place, size = self._page(request, 100)
        found, more = imports.error_page(self._runtime, key, place["line"] if place else 0, size)
        return pb.ListImportErrorsResponse(
            errors=map(_encode_error, found),
            next_page_token=self._token(request, more, line=found[-1].line) if more else "",
        )


def _chunks(requests: Iterator[pb.ImportContactsRequest]) -> Iterator[bytes]:
    for request in requests:
        if request.WhichOneof("part") != "chunk":
            raise InvalidArgument.field(
                "chunk", "is missing: after the configuration come pieces of the file only"
            )
        yield request.chunk


def _encode_error(error: RowError) -> pb.ImportError:
    return pb.ImportError(line=error.line, column=error.column, reason=error.reason, row=error.row)
