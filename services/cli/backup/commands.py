"""The commands of `rapport backup`, and `rapport restore`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from typer.core import TyperGroup

from services.cli.backup import creating, erasures, releasing, restoring
from services.cli.backup.places import live_databases, target_databases
from services.cli.backup.restoring import Backup
from services.cli.backup.views import DatabasesView, say
from services.cli.console import console
from services.kit.backup.manifest import Manifest
from services.kit.clock import parse_clock
from services.kit.config import SERVICES, load_settings
from services.kit.errors import FailedPrecondition, InvalidArgument


class _Group(TyperGroup):
    """Take what is no command for the folder of a backup to be made: `rapport backup FOLDER`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put `create` before arguments that begin with no command."""
        if args and args[0] not in self.commands and args[0] != "--help":
            args = ["create", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(cls=_Group, no_args_is_help=True, help="Make and check backups of all databases.")


@app.command()
def create(
    folder: Annotated[Path, typer.Argument(help="folder to make; its name must be free")],
    wait: Annotated[
        float, typer.Option(min=0, help="seconds to wait for a moment between long writes")
    ] = 300.0,
    dated: Annotated[
        bool, typer.Option("--dated", help="Make it in the folder, called after the time.")
    ] = False,
    keep: Annotated[
        int, typer.Option(min=0, help="with --dated: so many stay, older ones are deleted; 0: all stay")
    ] = 0,
) -> None:
    """Write a backup of all databases as they were at one moment, while the stack goes on.

    Writes wait for that moment, some tenths of a second. `rapport backup FOLDER` does the same.
    """
    if keep and not dated:
        raise InvalidArgument(
            "--keep goes with --dated alone: other folders' names do not tell which is older"
        )
    settings = load_settings()
    now = parse_clock(settings.clock).now()
    target = creating.dated(folder, now) if dated else folder
    for path in creating.sweep(folder) if dated else ():
        say(f"{path}: deleted, as whoever made it was killed")
    with live_databases(settings) as urls, DatabasesView(urls) as view:
        made = creating.create(
            urls,
            target,
            now=now,
            patience_seconds=wait,
            report=view.tell,
            on_wait=say,
        )
    console.print(_drawn(made))
    say(f"{target}: {made.size:,} bytes; writes waited {made.held_seconds * 1000:.0f} ms")
    say("Not in it: the secret key, tokens and other files of the stack, and settings. Keep these too.")
    if keep:
        for path in creating.prune(folder, keep):
            say(f"{path}: deleted")


@app.command()
def verify(folder: Annotated[Path, typer.Argument(help="folder of a backup")]) -> None:
    """Check that a backup is whole, fits together, and can be restored by this release."""
    found = restoring.open_backup(folder)
    console.print(_drawn(found.manifest))
    say(
        f"{folder} is whole: {found.manifest.size:,} bytes of {found.manifest.create_time:%Y-%m-%d %H:%M:%S %Z}"
    )


@app.command("erasures")
def keep_erasures(
    file: Annotated[Path, typer.Argument(help="list to make, or to add to")],
) -> None:
    """Add who was erased to a list that is kept beside the backups, and without which none is restored.

    Run it often: who was erased after the last time comes back with a restore.
    """
    settings = load_settings()
    with live_databases(settings) as urls:
        found = erasures.read_database(urls["contacts"], parse_clock(settings.clock).now())
    done = erasures.append(file, found)
    say(f"{file}: {done.total} erased contacts, {done.new} of them new")


@app.command()
def release(
    send: Annotated[
        bool, typer.Option("--send", help="Send what was due; some of it may have been sent before.")
    ] = False,
    now: Annotated[
        bool, typer.Option("--now", help="Do not wait until all is planned that was due.")
    ] = False,
    wait: Annotated[float, typer.Option(min=0, help="seconds to wait for that")] = 60.0,
) -> None:
    """Let messages go out again after a restore.

    Those that were due may have been sent after the backup. They become `unknown`: `rapport campaigns
    unknown` sends those of a campaign again, or says that they were sent.
    """
    settings = load_settings()
    with live_databases(settings) as urls:
        due, doubted = releasing.release(
            urls,
            parse_clock(settings.clock),
            send=send,
            patience_seconds=wait,
            on_wait=say,
            at_once=now,
        )
    say(f"sending goes on; {due} messages were due, {doubted} of them are unknown now")


def restore(
    folder: Annotated[Path, typer.Argument(help="folder of a backup")],
    erased: Annotated[
        Path | None, typer.Option("--erasures", help="list of erased people, of `rapport backup erasures`")
    ] = None,
    without_erasures: Annotated[
        bool, typer.Option("--without-erasures", help="People who were erased since the backup come back.")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Delete what is in the databases; otherwise they must be empty.")
    ] = False,
    no_hold: Annotated[
        bool, typer.Option("--no-hold", help="Send at once: nothing was sent since the backup was made.")
    ] = False,
    without_broker: Annotated[
        bool, typer.Option("--without-broker", help="No queue on RabbitMQ is left from before.")
    ] = False,
) -> None:
    """Bring a backup back into the databases of a stack that is stopped.

    Whoever was erased stays erased, event streams begin a new timeline, and no message goes out before `rapport backup
    release`. No process starts on databases that were restored in part.
    """
    if erased is not None and without_erasures:
        raise InvalidArgument("name a list with --erasures, or --without-erasures, not both")
    settings = load_settings()
    clock = parse_clock(settings.clock)
    with console.status("reading the backup …"):
        backup = restoring.open_backup(folder)
    _require_broker(backup, settings.amqp_url, without=without_broker)
    known = None if erased is None else erasures.read_list(erased)
    with target_databases(settings) as urls:
        living = restoring.living_erasures(urls, clock) if replace and not without_erasures else None
        if living is not None:
            known = living if known is None else known.joined(living)
        _require_erasures(backup, known, without=without_erasures)
        with DatabasesView(urls) as view:
            done = restoring.restore(
                backup,
                urls,
                settings,
                clock,
                erasures=known,
                replace=replace,
                hold_sending=not no_hold,
                report=view.tell,
                before=lambda: restoring.delete_queues(settings) if settings.amqp_url else None,
            )
    head = backup.manifest.services["contacts"].head
    for service in SERVICES:
        fork = done.forks[service]
        say(f"{service}: timeline {fork.after} from position {fork.position} on")
    if known is not None and head.timeline in known.known:
        complete = known.known[head.timeline].time
        say(f"erased again: {done.erased}; the list is complete up to {complete:%Y-%m-%d %H:%M:%S %Z}")
    if done.held:
        say("No message goes out before `rapport backup release`.")


def _require_erasures(backup: Backup, known: erasures.Erasures | None, *, without: bool) -> None:
    if without:
        return
    if known is None:
        raise FailedPrecondition(
            "who was erased after the backup is not in it: name the list with --erasures FILE, or let these people "
            "come back with --without-erasures",
            reason="NO_ERASURES",
        )
    head = backup.manifest.services["contacts"].head
    if not known.covers(head):
        raise FailedPrecondition(
            "the list of erasures was last brought up to date before the backup was made, so whoever was erased after "
            "it is not on it: name a newer list, or let these people come back with --without-erasures",
            reason="OLD_ERASURES",
        )


def _require_broker(backup: Backup, amqp_url: str, *, without: bool) -> None:
    # Its own subscription at each source tells of the publisher, whose name alone has a slash.
    used = any("/" in name for part in backup.manifest.services.values() for name in part.cursors)
    if used and not amqp_url and not without:
        raise FailedPrecondition(
            "the stack of the backup had its events on RabbitMQ, whose queues may hold what is undone: set "
            "RAPPORT_AMQP_URL, so that they are deleted, or say --without-broker when there are none",
            reason="BROKER_UNKNOWN",
        )


def _drawn(found: Manifest) -> Table:
    table = Table(box=None, header_style="bold")
    for column in ("service", "schema", "event log up to", "rows", "bytes"):
        table.add_column(column, justify="left" if column in ("service", "schema") else "right")
    for service, part in found.services.items():
        rows = sum(part.rows.values())
        table.add_row(service, part.revision, f"{part.head.position:,}", f"{rows:,}", f"{part.bytes:,}")
    return table
