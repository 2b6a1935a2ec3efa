"""`rapport campaigns`: a module for each subject; this one puts their commands together."""

import typer

from services.cli.campaigns import report

app = typer.Typer(help="See what campaigns and journeys brought.", no_args_is_help=True)
app.add_typer(report.app)


@app.callback()
def campaigns() -> None:
    """See what campaigns and journeys brought."""
