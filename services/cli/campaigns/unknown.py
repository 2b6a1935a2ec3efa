"""`rapport campaigns unknown`: messages that may have been sent, and what somebody decides on them."""

from __future__ import annotations

from itertools import islice
from typing import Annotated, Any

import typer
from rapport_client import Rapport
from rich.table import Table

from services.cli.connection import connect_here
from services.cli.console import console
from services.cli.segments.times import instant
from services.kit.errors import InvalidArgument

app = typer.Typer()
SHOWN = 50
_DONE = {"SENT": "taken for sent", "FAILED": "taken for failed", "RETRY": "planned again"}


@app.command("unknown")
def unknown(
    name: Annotated[
        str,
        typer.Argument(
            help="campaigns/… or journeys/…; an id alone is a campaign's; requests: the messages of neither"
        ),
    ],
    sent: Annotated[bool, typer.Option("--sent", help="they were sent: the mail server has them")] = False,
    failed: Annotated[bool, typer.Option("--failed", help="they were not sent, and are not to be")] = False,
    retry: Annotated[
        bool, typer.Option("--retry", help="send them again; who got one already gets it twice")
    ] = False,
    channel: Annotated[str, typer.Option("--channel", help="only those by this channel")] = "",
    before: Annotated[str, typer.Option("--before", help="only those planned before this time")] = "",
    comment: Annotated[str, typer.Option("--comment", help="how that is known; kept with the decision")] = "",
    decided: Annotated[
        bool, typer.Option("--decided", help="show who decided on such messages, and when")
    ] = False,
) -> None:
    """Show the messages whose state is unknown, or decide on all of them: --sent, --failed or --retry."""
    chosen = [key for key, given in (("SENT", sent), ("FAILED", failed), ("RETRY", retry)) if given]
    if len(chosen) + decided > 1:
        raise InvalidArgument("--sent, --failed, --retry and --decided exclude each other")
    origin = name if "/" in name or name == "requests" else f"campaigns/{name}"
    which = {"origin": origin, "channel": channel, "planned_before": instant(before, "--before")}
    with connect_here() as rapport:
        if decided:
            _show_decided(rapport, origin)
        elif chosen:
            done, left = _decide(rapport, which, chosen[0], comment)
            console.print(f"{done:,} {_DONE[chosen[0]]}, {left:,} left as they are")
        else:
            _show(rapport, which)


def _decide(rapport: Rapport, which: dict[str, Any], resolution: str, comment: str) -> tuple[int, int]:
    """Decide on all, a few thousand at a time; returns on how many, and how many somebody else has in hand."""
    done = 0
    while True:
        answer = rapport.campaign.resolve_messages(
            **which, resolution=f"RESOLUTION_{resolution}", comment=comment
        )
        done += answer.resolved_count
        if not answer.resolved_count or not answer.remaining_count:
            return done, answer.remaining_count


def _show(rapport: Rapport, which: dict[str, Any]) -> None:
    count = rapport.campaign.resolve_messages(
        **which, resolution="RESOLUTION_SENT", validate_only=True
    ).remaining_count
    table = Table("message", "contact", "channel", "planned", "why")
    found = rapport.campaign.list_messages.iterate(**which, state="STATE_UNKNOWN", page_size=SHOWN)
    for message in islice(found, SHOWN):
        table.add_row(
            message.name, message.contact, message.channel, _time(message.create_time), message.reason
        )
    if table.row_count:
        console.print(table)
    console.print(f"{count:,} unknown" + ("; decide by --sent, --failed or --retry" if count else ""))


def _show_decided(rapport: Rapport, origin: str) -> None:
    table = Table("when", "who", "what", "messages", "only", "comment")
    found = rapport.campaign.list_message_resolutions.iterate(origin=origin, page_size=SHOWN)
    for item in islice(found, SHOWN):
        only = [item.message] if item.message else [item.channel] if item.channel else []
        if item.HasField("planned_before"):
            only.append(f"before {_time(item.planned_before)}")
        what = _DONE[_name(item)]
        table.add_row(
            _time(item.resolve_time),
            item.resolver,
            what,
            f"{item.message_count:,}",
            ", ".join(only),
            item.comment,
        )
    console.print(table if table.row_count else "nobody decided anything")


def _name(item: Any) -> str:
    field = item.DESCRIPTOR.fields_by_name["resolution"]
    return str(field.enum_type.values_by_number[item.resolution].name).removeprefix("RESOLUTION_")


def _time(stamp: Any) -> str:
    return str(stamp.ToDatetime().isoformat(sep=" ", timespec="seconds"))
