"""`rapport segments test`: rule tests from a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rapport.segmentation.v1 import segmentation_pb2 as pb
from rapport_client import connect
from rapport_client import errors as client_errors
from rapport_client.config import locate
from rich.table import Table
from rich.text import Text

from services.cli.console import console, print_error
from services.kit.config import load_settings
from services.kit.errors import FieldViolation, InvalidArgument
from services.kit.supervise.probes import tcp

app = typer.Typer()


@app.command("test")
def run_tests(
    file: Annotated[
        Path,
        typer.Argument(
            help="cases in YAML, as services/segmentation/RULES.md describes them",
            exists=True,
            dir_okay=False,
        ),
    ],
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="print one JSON array of {name, sql, cel, expected, ok} and nothing else"
        ),
    ] = False,
) -> None:
    """Run rule tests: each case by SQL and by CEL's own evaluator. Status 1: one failed; 2: the file is wrong.

    They run in the stack of this folder, or that RAPPORT_ADDRESS names; where none is up, on a database of their own.
    """
    try:
        request = pb.TestRulesRequest(cases=_content(file), file_name=str(file)[-500:])
        results, where = _run(request)
    except (InvalidArgument, client_errors.InvalidArgument) as error:
        for problem in [item.description for item in error.violations] or [error.message]:
            print_error(problem)
        raise typer.Exit(2) from error
    if as_json:
        typer.echo(json.dumps([_row(item) for item in results], ensure_ascii=False, indent=2))
    else:
        _draw(results, where)
    if not all(item.ok for item in results):
        raise typer.Exit(1)


def _content(file: Path) -> str:
    try:
        content = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise _wrong(f"{file}, line {line}: this is not UTF-8") from error
    if not content.strip():
        raise _wrong(f"{file}, line 1: the file is empty: write `cases:` with a list below it")
    return content


def _wrong(message: str) -> InvalidArgument:
    return InvalidArgument(message, reason="INVALID_CASES", violations=[FieldViolation("cases", message)])


def _run(request: pb.TestRulesRequest) -> tuple[list[Any], str]:
    """Return the results, and where the cases ran."""
    if _stack_is_up():
        with connect() as rapport:
            return list(rapport.segmentation.test_rules(request).results), "in the running stack"
    # Only now: it takes as long to import as the rest of the command line.
    from services.cli.segments import alone

    return alone.test_rules(request), "on a database of their own, as no stack is up"


def _stack_is_up() -> bool:
    """Tell whether to ask a running service. An address that somebody gave must answer; a stack may have been stopped.

    Asked without gRPC, whose threads do not go together with the starting of a database server in this process.
    """
    if load_settings().address:
        return True
    try:
        host, _, port = locate().api("segmentation").rpartition(":")
        return tcp(host.strip("[]"), int(port))()
    except ValueError:
        return False


def _verdict(number: int) -> str:
    return pb.RuleVerdict.Name(number).removeprefix("RULE_VERDICT_").lower()


def _row(item: Any) -> dict[str, Any]:
    return {
        "name": item.name,
        "sql": _verdict(item.sql),
        "cel": _verdict(item.cel),
        "expected": _verdict(item.expected),
        "ok": item.ok,
    }


def _draw(results: list[Any], where: str) -> None:
    table = Table("name", "sql", "cel", "expected", "ok")
    for item in results:
        row = _row(item)
        words = [Text(row[key]) for key in ("name", "sql", "cel", "expected")]
        table.add_row(*words, Text("ok", "green") if item.ok else Text("no", "bold red"))
    console.print(table)
    for item in results:
        notes = [item.message] if item.message else []
        if item.cel_limited:
            notes.append(
                "CEL's evaluator reached its limit of steps; the plain interpreter answered in its place"
            )
        for note in notes:
            lines = f"{item.name} (line {item.line}): {note}".splitlines()
            console.print("\n    ".join(lines), markup=False, highlight=False, soft_wrap=True)
    failed = sum(not item.ok for item in results)
    console.print(
        f"{len(results)} cases {where}: {len(results) - failed} ok, {failed} failed", highlight=False
    )
