"""`rapport operations`: see, follow and stop long-running work."""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer
from rapport_client import Rapport, ServiceClient
from rapport_client.errors import NotFound as NotFoundThere
from rapport_client.errors import RapportError as ClientError
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column, Table
from rich.text import Text

from services.cli.connection import connect_here
from services.cli.console import console, errors
from services.kit.config import SERVICES
from services.kit.errors import InvalidArgument, NotFound

app = typer.Typer(help="See, follow and stop long-running work.", no_args_is_help=True)

_Name = Annotated[
    str,
    typer.Argument(
        help="operations/… as a command that started it said, its id alone, or a beginning or end of the id that no "
        "other has, of 4 characters or more"
    ),
]
_WHOLE = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PART = re.compile(r"[0-9a-f-]{4,36}")
_NEWEST = 1000
_Service = Annotated[str, typer.Option("--service", help="ask this service only; default: all")]


def follow(service: ServiceClient, operation: Any, label: str) -> Any:
    """Wait for an operation, drawing its progress, and return its typed result.

    Raises the error with which the operation ended. Ctrl-C ends the waiting alone: the command then says how to go on,
    and ends with status 130.
    """
    name = operation if isinstance(operation, str) else operation.name
    try:
        return _follow(service, name, label)
    except KeyboardInterrupt:
        errors.print(
            f"\n{name} goes on. `rapport operations wait {name}` follows it, `show` tells how far it is, "
            "`cancel` stops it.",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
        raise typer.Exit(130) from None


def _follow(service: ServiceClient, name: str, label: str) -> Any:
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as progress:
        task = progress.add_task(label, total=None)

        def draw(state: Any) -> None:
            progress.update(
                task,
                completed=state.progress.completed,
                total=state.progress.total or None,
                description=f"{label}: {state.progress.stage or 'waiting'}",
            )

        return service.wait_operation(name, progress=draw)


@app.command("list")
def list_operations(
    service: _Service = "", limit: Annotated[int, typer.Option(min=1, help="so many of each service")] = 20
) -> None:
    """List the newest operations of each service."""
    # A name is needed whole, or nothing can be asked of it.
    table = Table(Column("operation", no_wrap=True), "service", "kind", "state", "progress", "asked for")
    cut = []
    with connect_here() as rapport:
        for name in _services(service):
            page = rapport.operations(name).list_operations(page_size=min(limit, 1000))
            for operation in page.operations:
                table.add_row(
                    operation.name,
                    name,
                    operation.kind,
                    _state(operation),
                    Text(operation.error.message if operation.HasField("error") else _progress(operation)),
                    operation.create_time.ToJsonString(),
                )
            if page.next_page_token:
                cut.append(name)
    console.print(table)
    if cut:
        errors.print(f"there are older ones: {', '.join(cut)}; raise --limit", highlight=False)


@app.command("show")
def show(name: _Name, service: _Service = "") -> None:
    """Show how far an operation is, or how it ended."""
    with connect_here() as rapport:
        where, operation = _find(rapport, name, service)
    lines = [
        f"{operation.name}: {operation.kind} of {where}, {_state(operation)}",
        f"asked for {operation.create_time.ToJsonString()}",
    ]
    if progress := _progress(operation):
        lines.append(progress)
    if operation.done:
        lines.append(f"ended {operation.end_time.ToJsonString()}")
    if operation.HasField("error"):
        lines.append(operation.error.message)
    elif operation.HasField("response"):
        lines.append(_text(operation))
    _say("\n".join(lines))


@app.command("wait")
def wait(name: _Name, service: _Service = "") -> None:
    """Wait until an operation is done and show its result; exit status 1 when it failed."""
    with connect_here() as rapport:
        where, operation = _find(rapport, name, service)
        follow(rapport.operations(where), operation, operation.kind)
        _say(_text(rapport.operations(where).get_operation(name=operation.name).operation))


@app.command("cancel")
def cancel(name: _Name, service: _Service = "") -> None:
    """Ask an operation to stop; what it has done stays done."""
    with connect_here() as rapport:
        where, operation = _find(rapport, name, service)
        rapport.operations(where).cancel_operation(name=operation.name)
    _say(f"{operation.name} stops at its next checkpoint")


def _services(service: str) -> tuple[str, ...]:
    if service and service not in SERVICES:
        raise InvalidArgument(
            f"no service {service!r}; there are {', '.join(SERVICES)}", reason="UNKNOWN_SERVICE"
        )
    return (service,) if service else SERVICES


def _find(rapport: Rapport, name: str, service: str) -> tuple[str, Any]:
    """Return an operation and its service, which its name does not tell.

    Raises NotFound, InvalidArgument for what is no part of an id, or one of several, and the client's errors.
    """
    id_ = name.removeprefix("operations/").lower()
    if not _WHOLE.fullmatch(id_):
        return _find_by_part(rapport, id_, service)
    full = f"operations/{id_}"
    trouble: ClientError | None = None
    for candidate in _services(service):
        try:
            return candidate, rapport.operations(candidate).get_operation(name=full).operation
        except NotFoundThere:
            continue
        except ClientError as error:
            # It may be there all the same; another service may yet know it.
            trouble = error
    if trouble is not None:
        raise trouble
    raise NotFound.resource(full)


def _find_by_part(rapport: Rapport, part: str, service: str) -> tuple[str, Any]:
    if not _PART.fullmatch(part):
        raise InvalidArgument(
            f"{part!r} is no id of an operation, nor a beginning or end of one, which has 4 characters or more: "
            "`rapport operations list` shows them",
            reason="BAD_OPERATION",
        )
    found: dict[str, tuple[str, Any]] = {}
    # A service that does not answer may have another one, so it ends the search.
    for where in _services(service):
        for operation in rapport.operations(where).list_operations(page_size=_NEWEST).operations:
            id_ = operation.name.removeprefix("operations/")
            if id_.startswith(part) or id_.endswith(part):
                found.setdefault(operation.name, (where, operation))
    if not found:
        raise NotFound(
            f"of the newest {_NEWEST:,} operations of each service none has an id that begins or ends with {part!r}: "
            "`rapport operations list` shows them"
        )
    several = list(found.values())
    if len(several) > 1:
        lines = [f"  {item.name}: {item.kind} of {where}, {_state(item)}" for where, item in several[:10]]
        if len(several) > 10:
            lines.append(f"  and {len(several) - 10} more")
        raise InvalidArgument(
            f"{part!r} is a beginning or end of {len(several)} ids: write more of it\n" + "\n".join(lines),
            reason="AMBIGUOUS_OPERATION",
        )
    return several[0]


def _state(operation: Any) -> str:
    if operation.done:
        return "failed" if operation.HasField("error") else "done"
    return "stopping" if operation.cancel_requested else "running"


def _progress(operation: Any) -> str:
    progress = operation.progress
    of = f" of {progress.total}" if progress.total else ""
    return " ".join(filter(None, (f"{progress.completed}{of}", progress.unit, progress.stage)))


def _text(operation: Any) -> str:
    # As JSON: any service's result, with the names of its fields as the API has them.
    from google.protobuf.json_format import MessageToJson
    from rapport_client.service import result

    answer = result(operation)
    if answer is None:
        return "done"
    return MessageToJson(answer, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


def _say(text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
