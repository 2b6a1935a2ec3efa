"""`rapport events dead-letters`: events that a consumer could not process."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from google.protobuf.json_format import MessageToDict
from rapport_client import Rapport
from rich.table import Table
from rich.text import Text

from services.cli.connection import connect_here
from services.cli.console import console, errors
from services.cli.words import counted
from services.kit.config import SERVICES
from services.kit.errors import FailedPrecondition, InvalidArgument

app = typer.Typer(
    help="See events that a consumer could not process, put them back to it, or drop them.",
    no_args_is_help=True,
)

_Consumer = Annotated[
    str,
    typer.Argument(help="who could not process them, as `list` shows it, such as campaign.start_from_sales"),
]
_Events = Annotated[list[str] | None, typer.Argument(help="ids of the events, as `list` shows them")]
_AsJson = Annotated[bool, typer.Option("--json", help="print one JSON object and nothing else")]
_IDS_AT_A_TIME = 1000
_LOOK_SECONDS = 0.5
_PATIENCE_SECONDS = 60.0
"""How long `--wait` looks at dead letters of which none is handled."""


@app.command("list")
def list_dead_letters(
    consumer: Annotated[str, typer.Option("--consumer", help="of this consumer only; default: all")] = "",
    limit: Annotated[int, typer.Option(min=1, help="so many of each service")] = 50,
    errors_in_full: Annotated[
        bool, typer.Option("--errors", help="show each error with its traceback, below the list")
    ] = False,
    as_json: _AsJson = False,
) -> None:
    """List dead letters of all services, by consumer and then oldest first."""
    found: list[Any] = []
    more: list[str] = []
    with connect_here() as rapport:
        for service in (_service(consumer),) if consumer else SERVICES:
            letters = list(_first(rapport, service, consumer, limit + 1))
            found += letters[:limit]
            more += [service] if len(letters) > limit else []
    if as_json:
        listed = [MessageToDict(letter, preserving_proto_field_name=True) for letter in found]
        _echo({"dead_letters": listed, "services_with_more": more})
        return
    table = Table("consumer", "event", "type", "failed", "error")
    for letter in found:
        table.add_row(
            Text(letter.consumer),
            Text(letter.event.id, no_wrap=True),
            Text(f"{letter.event.type} of {letter.event.source}"),
            letter.create_time.ToJsonString(),
            Text(_state(letter)),
        )
    console.print(table if found else "no dead letters")
    if errors_in_full:
        for letter in found:
            _say(f"\n{letter.consumer} {letter.event.id}\n{letter.error}")
    if more:
        errors.print(f"there are more of {', '.join(more)}; raise --limit", highlight=False)


@app.command("replay")
def replay(
    consumer: _Consumer,
    events: _Events = None,
    every: Annotated[
        bool, typer.Option("--all", help="all that the consumer has now, in place of ids")
    ] = False,
    wait: Annotated[
        bool,
        typer.Option(
            "--wait",
            help="wait until each had its effect or failed again; status 1 for the latter, or if none is handled "
            "for a minute",
        ),
    ] = False,
    as_json: _AsJson = False,
) -> None:
    """Put dead letters back to their consumer, whose worker handles each event alone, within seconds."""
    service = _service(consumer)
    with connect_here() as rapport:
        client = rapport.events(service)
        # Those that its consumer gives up meanwhile are none of these.
        keys = set(events or ()) or {letter.event.id for letter in _all(rapport, service, consumer)}
        answers = [
            client.replay_dead_letters(consumer=consumer, **part) for part in _parts(events, every=every)
        ]
        done: dict[str, Any] = {
            "replayed": sum(answer.replayed_count for answer in answers),
            "waiting_before": sum(answer.waiting_count for answer in answers),
            "missing": [key for answer in answers for key in answer.missing_event_ids],
        }
        if not as_json:
            _say(f"{counted(done['replayed'], 'dead letter')} put back to {consumer}")
            if done["waiting_before"]:
                _say(f"{done['waiting_before']} had been put back before and still wait for its worker")
            _complain_of(consumer, done["missing"])
        if wait:
            failed = _wait(rapport, service, consumer, keys)
            done["failed_again"] = failed
            if not as_json:
                handled = done["replayed"] + done["waiting_before"] - len(failed)
                _say(f"{handled} of them had their effect, {len(failed)} failed again")
    if as_json:
        _echo(done)
    if done["missing"] or done.get("failed_again"):
        raise typer.Exit(1)


@app.command("drop")
def drop(
    consumer: _Consumer,
    events: _Events = None,
    every: Annotated[
        bool, typer.Option("--all", help="all that the consumer has now, in place of ids")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask; needed where nobody can answer")] = False,
    as_json: _AsJson = False,
) -> None:
    """Delete dead letters for good: their events will have no effect on this consumer."""
    service = _service(consumer)
    parts = list(_parts(events, every=every))
    if as_json and not yes:
        raise typer.BadParameter("--json cannot ask: add --yes")
    if not yes:
        what = "all dead letters" if every else counted(len(events or ()), "dead letter")
        typer.confirm(f"Delete {what} of {consumer} for good?", abort=True)
    with connect_here() as rapport:
        answers = [rapport.events(service).drop_dead_letters(consumer=consumer, **part) for part in parts]
    dropped = sum(answer.dropped_count for answer in answers)
    missing = [key for answer in answers for key in answer.missing_event_ids]
    if as_json:
        _echo({"dropped": dropped, "missing": missing})
    else:
        _say(f"{counted(dropped, 'dead letter')} of {consumer} dropped")
        _complain_of(consumer, missing)
    if missing:
        raise typer.Exit(1)


def _first(rapport: Rapport, service: str, consumer: str, count: int) -> Iterator[Any]:
    """Yield the first dead letters of a service."""
    pages = rapport.events(service).list_dead_letters.iterate(consumer=consumer, page_size=min(count, 1000))
    for _, letter in zip(range(count), pages, strict=False):
        yield letter


def _all(rapport: Rapport, service: str, consumer: str) -> Iterator[Any]:
    """Yield all dead letters of a consumer."""
    yield from rapport.events(service).list_dead_letters.iterate(consumer=consumer, page_size=1000)


def _wait(rapport: Rapport, service: str, consumer: str, keys: set[str]) -> list[str]:
    """Wait until none of the dead letters waits for its consumer any more, and return those that are still there.

    Raises FailedPrecondition (NOT_HANDLED) when none of them was handled for a minute.
    """
    before, until = len(keys) + 1, 0.0
    while True:
        left = [letter for letter in _all(rapport, service, consumer) if letter.event.id in keys]
        waiting = sum(letter.HasField("replay_time") for letter in left)
        if not waiting:
            return [letter.event.id for letter in left]
        if waiting < before:
            before, until = waiting, time.monotonic() + _PATIENCE_SECONDS
        elif time.monotonic() > until:
            raise FailedPrecondition(
                f"{counted(waiting, 'dead letter')} put back to {consumer} still waiting: does the worker of {service} "
                "run, and does this release have a handler of that name? What is put back stays so; `drop` deletes it",
                reason="NOT_HANDLED",
            )
        time.sleep(_LOOK_SECONDS)


def _service(consumer: str) -> str:
    service, dot, handler = consumer.partition(".")
    if service not in SERVICES or not dot or not handler:
        raise InvalidArgument(
            f"no consumer can be called {consumer!r}: write <service>.<handler> as `rapport events dead-letters list` "
            f"shows it, with a service of {', '.join(SERVICES)}",
            reason="UNKNOWN_CONSUMER",
        )
    return service


def _parts(events: list[str] | None, *, every: bool) -> Iterator[dict[str, Any]]:
    """Yield what to ask for, in as many calls as it takes."""
    if every == bool(events):
        raise typer.BadParameter("name events by their ids, or give --all, and not both")
    if every:
        yield {"all": True}
    for at in range(0, len(events or ()), _IDS_AT_A_TIME):
        yield {"event_ids": (events or [])[at : at + _IDS_AT_A_TIME]}


def _state(letter: Any) -> str:
    # The last line of a traceback is what went wrong.
    last = str(letter.error).strip().splitlines()[-1:] or ["unknown"]
    return f"put back, waits for its worker; before: {last[0]}" if letter.HasField("replay_time") else last[0]


def _complain_of(consumer: str, missing: list[str]) -> None:
    for key in missing:
        errors.print(f"{consumer} has no dead letter {key}", markup=False, highlight=False, soft_wrap=True)


def _say(text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _echo(content: dict[str, Any]) -> None:
    typer.echo(json.dumps(content, ensure_ascii=False, indent=2))
