"""`rapport segments`: a module for each subject; this one puts their commands together."""

import typer

from services.cli.segments import code, definitions, explain, history, insight, lists, testing

app = typer.Typer(help="Make, see and evaluate segments.", no_args_is_help=True)
app.add_typer(definitions.app)
app.add_typer(lists.app)
app.add_typer(history.app)
app.add_typer(explain.app)
app.add_typer(testing.app)
app.add_typer(code.app)
app.add_typer(insight.app, name="insight")
