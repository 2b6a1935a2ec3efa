"""`rapport campaigns`: a module for each subject; this one puts their commands together."""

import typer

from services.cli.campaigns import report, simulate

app = typer.Typer(
    help="See what campaigns and journeys brought, and what they would do.", no_args_is_help=True
)
app.add_typer(report.app)
app.add_typer(simulate.app)


@app.callback()
def campaigns() -> None:
    """See what campaigns and journeys brought."""
