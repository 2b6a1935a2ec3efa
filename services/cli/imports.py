"""`rapport import`: bring files in, with a dry run and an error file."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rapport.contacts.v1 import contacts_pb2 as pb
from rapport_client import connect

from services.cli.console import console
from services.cli.operations import follow
from services.kit.errors import InvalidArgument

app = typer.Typer(help="Import files.", no_args_is_help=True)
CHUNK = 1 << 20


@app.callback()
def _group() -> None:
    """Keep `contacts` a sub-command even while it is the only one."""


@app.command("contacts")
def contacts(
    file: Annotated[Path, typer.Argument(help="CSV in UTF-8 with a header line, plain or gzip")],
    column: Annotated[
        list[str] | None,
        typer.Option(
            "--column", "-c", metavar="HEADER=FIELD", help="which field a column goes to, such as Mail=email"
        ),
    ] = None,
    region: Annotated[str, typer.Option(help="ISO 3166 region of phone numbers without a country code")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="check all rows, import none")] = False,
    errors_to: Annotated[
        Path | None, typer.Option("--errors", help="where to write refused rows; default: FILE.errors.csv")
    ] = None,
) -> None:
    """Import contacts, merged by their identities; refused rows go to the error file with line and reason."""
    if not file.is_file():
        raise InvalidArgument(f"{file}: no such file")
    config = pb.ImportContactsConfig(
        columns=dict(_pair(text) for text in column or ()),
        default_region=region.upper(),
        validate_only=dry_run,
    )
    with connect() as rapport:
        operation = rapport.contacts.import_contacts(_parts(file, config), _timeout=3600).operation
        console.print(f"{operation.name} started; it goes on when this command is stopped", markup=False)
        result = follow(rapport.contacts, operation, "importing" if not dry_run else "checking")
        verb = "would be " if dry_run else ""
        console.print(
            f"{result.row_count} rows: {result.created_count} {verb}created, {result.updated_count} {verb}updated, "
            f"{result.unchanged_count} unchanged, {result.error_count} refused"
        )
        if result.error_count:
            target = errors_to or file.with_name(file.name + ".errors.csv")
            rows = rapport.contacts.list_import_errors.iterate(operation=operation.name, page_size=1000)
            _write_errors(target, rows)
            console.print(f"refused rows: {target}", markup=False, soft_wrap=True)
            raise typer.Exit(1)


def _pair(text: str) -> tuple[str, str]:
    header, separator, field = text.partition("=")
    if not separator or not header or not field:
        raise InvalidArgument(f"--column {text!r}: expected HEADER=FIELD, such as Mail=email")
    return header, field


def _parts(file: Path, config: pb.ImportContactsConfig) -> Iterator[pb.ImportContactsRequest]:
    yield pb.ImportContactsRequest(config=config)
    with file.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            yield pb.ImportContactsRequest(chunk=chunk)


def _write_errors(target: Path, rows: Iterator[pb.ImportError]) -> None:
    with target.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["line", "column", "reason", "row"])
        for row in rows:
            writer.writerow([row.line, row.column, row.reason, row.row])
