"""`rapport demo`: a stack of its own, the main job on it, and the report."""

from __future__ import annotations

import json
import random
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from services.cli.console import console, errors
from services.cli.documents import write_text
from services.cli.processes import all_ports, replicas_of
from services.cli.progress import StartView
from services.cli.stack import Stack, private_folder
from services.demo.generate import generate
from services.demo.job import DemoFailed, Job
from services.demo.mailbox import Mailbox
from services.demo.records import DataError, Dataset
from services.demo.report import draw, read_base, read_rest
from services.demo.retail import load_retail
from services.kit.clock import write_clock
from services.kit.config import Settings, load_settings
from services.kit.postgres import PostgresError
from services.kit.postgres.errors import folder_error
from services.kit.supervise.errors import SupervisorError
from services.kit.supervise.events import Event, EventKind
from services.kit.supervise.ports import port_problem


def demo(
    data: Annotated[
        Path | None, typer.Option(help="UCI Online Retail, CSV or gzip; default: generated data")
    ] = None,
    seed: Annotated[int, typer.Option(help="of everything that is drawn by chance")] = 1,
    customers: Annotated[int, typer.Option(min=200, max=200_000, help="how many to generate")] = 2000,
) -> None:
    """Run the main job on a stack of its own and print the report; the stack and its data are gone afterwards.

    Of a run that fails the logs stay.
    """
    settings = load_settings()
    target = settings.data_dir / "demo.json"
    began = time.monotonic()
    try:
        with console.status("reading the data …"):
            dataset = load_retail(data) if data is not None else generate(seed=seed, customers=customers)
        # A run that fails must not leave the report of an earlier one; a file that cannot be read is no run.
        target.unlink(missing_ok=True)
        report = _run(settings, dataset, seed, time.monotonic() - began)
    except (DataError, DemoFailed) as error:
        errors.print(f"rapport demo: {error}", markup=False, soft_wrap=True)
        raise typer.Exit(1) from error
    console.print(draw(report, dataset.currency))
    try:
        write_text(target, json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    except OSError as error:
        raise folder_error(settings.data_dir, error) from error
    console.print(f"the same as JSON: {target}", markup=False, soft_wrap=True)


def _run(base: Settings, dataset: Dataset, seed: int, reading_seconds: float) -> dict[str, Any]:
    private_folder(base.data_dir.absolute())
    folder = base.data_dir.absolute() / "demo"
    clock = folder / "clock"
    settings = base.model_copy(
        update={
            "data_dir": folder,
            "base_port": free_base_port(base.host),
            "clock": f"file:{clock}",
            "time_zone": dataset.time_zone,
            "address": "",
            "events_address": "",
            "database_url": "",
            **{
                name: ""
                for name in Settings.model_fields
                if name.endswith("_database_url") and name != "database_url"
            },
        }
    )
    mailbox = Mailbox()
    view = _JobView()
    mailbox.start()
    stack = Stack(
        settings,
        environment={
            "RAPPORT_PLUGIN_EMAIL_SMTP_HOST": mailbox.host,
            "RAPPORT_PLUGIN_EMAIL_SMTP_PORT": str(mailbox.port),
            "RAPPORT_PLUGIN_EMAIL_SMTP_SECURITY": "none",
            "RAPPORT_ADDRESS": "",
            "RAPPORT_EVENTS_ADDRESS": "",
        },
        on_event=view.tell,
        throwaway=True,
    )
    report: dict[str, Any] = {}
    opened = False
    try:
        with stack, stack.supervisor.signals():
            opened = True
            _clear(stack)
            write_clock(clock, dataset.now)
            began = time.monotonic()
            with StartView() as start_view:
                view.start_view = start_view
                stack.start()
                view.start_view = None
            starting_seconds = time.monotonic() - began
            with stack.client(timeout=60) as rapport, view.progress:
                job = Job(
                    rapport,
                    dataset,
                    mailbox,
                    set_clock=lambda instant: write_clock(clock, instant),
                    inbound_mail=(settings.inbound_mail_host, settings.inbound_mail_port),
                    view=view,
                    seed=seed,
                )
                outcome = job.run(after_segments=lambda: report.update(read_base(rapport)))
                report.update(read_rest(rapport))
            report["seconds"] = {
                "data": round(reading_seconds, 2),
                "start": round(starting_seconds, 2),
                **outcome.seconds,
            }
            report["seconds_in_all"] = round(sum(report["seconds"].values()), 2)
            report["currency"] = dataset.currency
            if outcome.mails_doubled:
                raise DemoFailed(f"the customers' server received {outcome.mails_doubled} mails twice")
    except Exception:
        if opened:  # otherwise the folder is another demo's, which runs
            _keep_only_logs(stack)
        raise
    finally:
        mailbox.stop()
    stack.destroy_database()
    shutil.rmtree(folder, ignore_errors=True)
    if "seconds" not in report:
        raise typer.Exit(130)
    return report


def _keep_only_logs(stack: Stack) -> None:
    """Remove the database and the rest of a demo that failed, and say where its logs are."""
    try:
        with stack:
            _clear(stack, logs=False)
    except (SupervisorError, PostgresError, OSError):
        # Another demo has begun, and clears the folder itself; or it cannot be cleared, and the next one says why.
        return
    errors.print(f"rapport demo: the logs are in {stack.supervisor.logs}", markup=False, soft_wrap=True)


def _clear(stack: Stack, *, logs: bool = True) -> None:
    """Remove what a demo that failed or was killed has left; the stack must be open, so that none is running."""
    stack.destroy_database()
    for path in (*stack.folder.iterdir(), *(stack.supervisor.logs.iterdir() if logs else ())):
        if path.name in ("supervisor.lock", "supervisor.log", "logs"):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


class _JobView:
    """Draw the start, then the job's steps; say only what goes wrong once the job runs."""

    def __init__(self) -> None:
        self.start_view: StartView | None = None
        self.progress = Progress(
            SpinnerColumn(finished_text="✓"),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
        )

    def tell(self, event: Event) -> None:
        """Take an event of the supervisor."""
        if self.start_view is not None:
            self.start_view.tell(event)
        elif event.kind in (EventKind.EXITED, EventKind.FAILED, EventKind.RESTARTING):
            self.progress.console.print(f"{event.name}: {event.kind.value} {event.detail}", markup=False)

    @contextmanager
    def step(self, name: str, total: int) -> Iterator[Callable[[int], None]]:
        """Draw a step as a bar; where nobody watches, as a line when it is done."""
        task = self.progress.add_task(name, total=total or None)
        yield lambda count: self.progress.advance(task, count)
        count = int(self.progress.tasks[task].completed) or 1
        self.progress.update(task, total=total or count, completed=total or count)
        if not console.is_terminal:
            console.print(f"{name}: done", markup=False)


def free_base_port(host: str, replicas: int = 1) -> int:
    """Return a base port from which all ports of a stack are free now; another one each time."""
    # Below the ports that systems give to outgoing connections, and drawn, so that two that look at the same
    # moment find different ones.
    bases = list(range(12_000, 32_000, 50))
    random.shuffle(bases)
    for base in bases:
        settings = load_settings(host=host, inbound_mail_host=host, base_port=base)
        uses = [use.port for found in all_ports(settings, replicas).values() for use in found]
        held = [one.own_base_port for one in replicas_of(settings, replicas)]
        if not any(port_problem(host, port) for port in (*held, *uses)):
            return base
    raise OSError("no free range of ports on this machine")
