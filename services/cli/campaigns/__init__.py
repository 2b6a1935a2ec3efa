"""`rapport campaigns`: a module for each subject; this one puts their commands together."""

import typer

from services.cli.campaigns import code, report, simulate, unknown

app = typer.Typer(
    help="Keep campaigns and journeys in files, see what they would do, and what they brought.",
    no_args_is_help=True,
)
app.add_typer(code.app)
app.add_typer(report.app)
app.add_typer(simulate.app)
app.add_typer(unknown.app)
