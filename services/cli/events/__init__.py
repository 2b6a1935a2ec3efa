"""`rapport events`: what became of the events that travel between services."""

from __future__ import annotations

import typer

from services.cli.events.dead_letters import app as dead_letters

app = typer.Typer(help="See what became of events that travel between services.", no_args_is_help=True)
app.add_typer(dead_letters, name="dead-letters")
