"""`rapport import`: bring files in, with a dry run and an error file."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rapport.contacts.v1 import contacts_pb2 as pb
from rapport_client.errors import RapportError as ClientError

from services.cli.connection import connect_here
from services.cli.console import console
from services.cli.operations import follow
from services.kit.errors import InvalidArgument

app = typer.Typer(help="Import files.", no_args_is_help=True)
CHUNK = 1 << 20


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
    target = errors_to or file.with_name(file.name + ".errors.csv")
    with connect_here() as rapport:
        operation = upload.send(rapport.contacts.import_contacts)
        console.print(
            f"{operation.name} started; it goes on when this command is stopped", markup=False, soft_wrap=True
        )
        result = follow(rapport.contacts, operation, "importing" if not dry_run else "checking")
        verb = "would be " if dry_run else ""
        console.print(
            f"{result.row_count} rows: {result.created_count} {verb}created, {result.updated_count} {verb}updated, "
            f"{result.unchanged_count} unchanged, {result.error_count} refused",
            soft_wrap=True,
        )
        if result.error_count:
            rows = rapport.contacts.list_import_errors.iterate(operation=operation.name, page_size=1000)
            _write_errors(target, rows)
            console.print(f"refused rows: {target}", markup=False, soft_wrap=True)
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


def _write_errors(target: Path, rows: Iterable[pb.ImportError]) -> None:
    """Write the refused rows, whole or not at all."""
    partial = target.with_name(target.name + ".partial")
    try:
        with partial.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow(["line", "column", "reason", "row"])
            for row in rows:
                writer.writerow([row.line, row.column, row.reason, row.row])
        partial.replace(target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
