"""`rapport import`: bring files in, with a dry run and an error file."""

from __future__ import annotations

import csv
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rapport.contacts.v1 import contacts_pb2 as pb
from rapport_client.errors import InvalidArgument as InvalidRequest
from rapport_client.errors import RapportError as ClientError

from services.cli.connection import connect_here
from services.cli.console import console, print_client_error
from services.cli.operations import follow
from services.cli.words import counted
from services.kit.errors import FailedPrecondition, InvalidArgument

app = typer.Typer(help="Import files.", no_args_is_help=True)
CHUNK = 1 << 20
SHOWN_ERRORS = 5
_GZIP = b"\x1f\x8b"


@app.callback()
def _group() -> None:
    """Import files."""  # a callback keeps `contacts` a sub-command even while it is the only one


@app.command("contacts")
def contacts(
    file: Annotated[Path, typer.Argument(help="CSV in UTF-8 with a header line, plain or gzip")],
    column: Annotated[
        list[str] | None,
        typer.Option(
            "--column",
            "-c",
            metavar="HEADER=FIELD",
            help="which field a column goes to, such as Mail=email; Notes= passes a column over; "
            "columns called like a field need none",
        ),
    ] = None,
    region: Annotated[str, typer.Option(help="ISO 3166 region of phone numbers without a country code")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="check all rows, import none")] = False,
    errors_to: Annotated[
        Path | None, typer.Option("--errors", help="where to write refused rows; default: FILE.errors.csv")
    ] = None,
) -> None:
    """Import contacts, merged by their identities; refused rows go to the error file with line and reason."""
    config = pb.ImportContactsConfig(
        columns=_columns(column or ()),
        default_region=region.upper(),
        validate_only=dry_run,
    )
    upload = _Upload(file, config)
    errors_file = _ErrorFile(errors_to or file.with_name(file.name + ".errors.csv"), file)
    with connect_here() as rapport:
        try:
            operation = upload.send(rapport.contacts.import_contacts)
        except InvalidRequest as error:
            named = {"chunk": str(file), "config.columns": "--column", "config.default_region": "--region"}
            print_client_error(error, named)
            raise typer.Exit(1) from error
        console.print(
            f"{operation.name} started; it goes on when this command is stopped", markup=False, soft_wrap=True
        )
        result = follow(rapport.contacts, operation, "importing" if not dry_run else "checking")
        verb = "would be " if dry_run else ""
        console.print(
            f"{counted(result.row_count, 'row')}: {result.created_count} {verb}created, "
            f"{result.updated_count} {verb}updated, {result.unchanged_count} unchanged, {result.error_count} refused",
            soft_wrap=True,
        )
        if result.error_count:
            rows = rapport.contacts.list_import_errors.iterate(operation=operation.name, page_size=1000)
            errors_file.write(rows, result.error_count)
            console.print(f"refused rows: {errors_file.target}", markup=False, soft_wrap=True)
            raise typer.Exit(1)


def _columns(pairs: Iterable[str]) -> dict[str, str]:
    columns: dict[str, str] = {}
    for text in pairs:
        header, separator, field = text.partition("=")
        if not separator or not header:
            raise InvalidArgument(
                f"--column {text!r}: expected HEADER=FIELD, such as Mail=email, or HEADER= to pass it over"
            )
        if header in columns:
            raise InvalidArgument(
                f"--column {text!r}: the column {header!r} goes to {columns[header] or 'nothing'} already"
            )
        columns[header] = field
    return columns


class _Upload:
    """Send a file as the parts of an import request."""

    def __init__(self, file: Path, config: pb.ImportContactsConfig) -> None:
        if not file.is_file():
            what = "is a folder" if file.is_dir() else "no such file"
            raise InvalidArgument(f"{file}: {what}")
        self._stream = file.open("rb")
        if file.suffix == ".gz" and self._stream.peek(2)[:2] not in (b"", _GZIP):
            self._stream.close()
            raise InvalidArgument(f"{file} is named .gz, but is not gzip; is it damaged, or plain CSV?")
        self._config = config
        self._error: OSError | None = None

    def send(self, call: Callable[..., Any]) -> Any:
        """Send everything and return the operation; raises OSError when the file cannot be read."""
        with self._stream:
            try:
                return call(self._parts(), _timeout=3600).operation
            except ClientError:
                # gRPC would say only that the requests ended early.
                if self._error is not None:
                    raise self._error from None
                raise

    def _parts(self) -> Iterator[pb.ImportContactsRequest]:
        yield pb.ImportContactsRequest(config=self._config)
        try:
            while chunk := self._stream.read(CHUNK):
                yield pb.ImportContactsRequest(chunk=chunk)
        except OSError as error:
            self._error = error
            raise


class _ErrorFile:
    """Write the refused rows, whole or not at all; unfit places are refused before anything is sent."""

    def __init__(self, target: Path, source: Path) -> None:
        """Check the place; raises InvalidArgument for one where nothing can or should be written."""
        self.target = target
        # What is no file, such as /dev/stdout, must be written to and not be replaced.
        self._in_place = target.exists() and not target.is_file()
        if target.is_dir():
            raise InvalidArgument(f"the error file {target} is a folder; name a file with --errors")
        if target.exists() and target.samefile(source):
            raise InvalidArgument(
                f"the error file {target} is the file to be imported, and would be overwritten; "
                "name another with --errors"
            )
        try:
            if target.exists() and not os.access(target, os.W_OK):
                raise PermissionError(f"{target} may not be written")
            if not self._in_place:
                with tempfile.TemporaryFile(dir=target.parent):
                    pass
        except OSError as error:
            raise InvalidArgument(
                f"the error file {target} cannot be written ({error.strerror or error}), so nothing was imported; "
                "name another place with --errors"
            ) from error

    def write(self, rows: Iterable[pb.ImportError], count: int) -> None:
        """Write all rows and show the first; raises FailedPrecondition when the place has become unfit."""
        partial = self.target if self._in_place else self.target.with_name(self.target.name + ".partial")
        try:
            with partial.open("w", newline="", encoding="utf-8") as stream:
                writer = csv.writer(stream)
                writer.writerow(["line", "column", "reason", "row"])
                for number, row in enumerate(rows):
                    writer.writerow([row.line, row.column, row.reason, row.row])
                    if number < SHOWN_ERRORS:
                        where = f"line {row.line}, {row.column}" if row.column else f"line {row.line}"
                        console.print(
                            f"  {where}: {row.reason}", markup=False, highlight=False, soft_wrap=True
                        )
            if count > SHOWN_ERRORS:
                console.print(f"  and {count - SHOWN_ERRORS} more", highlight=False)
            if not self._in_place:
                partial.replace(self.target)
        except OSError as error:
            self._drop(partial)
            were = "was" if count == 1 else "were"
            raise FailedPrecondition(
                f"{counted(count, 'row')} {were} refused, but the reasons cannot be written to {self.target} "
                f"({error.strerror or error}); do the same again with another --errors: what was imported stays as "
                "it is",
                reason="ERROR_FILE",
            ) from error
        except BaseException:
            self._drop(partial)
            raise

    def _drop(self, partial: Path) -> None:
        if not self._in_place:
            partial.unlink(missing_ok=True)
