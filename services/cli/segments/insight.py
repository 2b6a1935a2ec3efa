"""`rapport segments insight`: what is special about a segment."""

from __future__ import annotations

import json
import re
from enum import StrEnum
from typing import Annotated, Any

import typer
from rapport.segmentation.v1 import insight_pb2 as pb

from services.cli.connection import connect_here
from services.cli.console import console
from services.cli.segments import insight_drawing as drawing
from services.cli.segments.names import segment_name

app = typer.Typer(help="See what is special about a segment.", no_args_is_help=True)

_TARGET_HELP = "the id or name of a segment, or a rule in CEL"
# One bare word is no rule, but for the two that every engine knows.
_ID = re.compile(r"(?!(?:true|false)$)[a-z][a-z0-9_-]*")
_Target = Annotated[str, typer.Argument(help=_TARGET_HELP)]
_OptionalTarget = Annotated[str, typer.Option("--of", help=f"{_TARGET_HELP}; default: all contacts")]
_AsJson = Annotated[bool, typer.Option("--json", help="print the answer as JSON and nothing else")]


class Period(StrEnum):
    """The periods of the calendar."""

    week = "week"
    month = "month"
    year = "year"


class CohortPeriod(StrEnum):
    """The periods that cohorts may have."""

    week = "week"
    month = "month"


def _aim(request: Any, target: str) -> Any:
    if target.startswith("segments/") or _ID.fullmatch(target):
        request.segment = segment_name(target)
    elif target:
        request.rule = target
    return request


def _number(period: StrEnum) -> Any:
    return pb.CalendarPeriod.Value(f"CALENDAR_PERIOD_{period.value.upper()}")


def _limits(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",") if part.strip()]
    except ValueError as error:
        raise typer.BadParameter("expected numbers with commas between, such as 10,100,1000") from error


@app.command("distribution")
def distribution(
    target: _Target,
    attribute: Annotated[
        str,
        typer.Argument(
            help="what follows contact. in rules, such as region_code, tags or traits.rfm_recency"
        ),
    ],
    limits: Annotated[
        str, typer.Option("--limits", help="limits of bins for a number, ascending, such as 10,100,1000")
    ] = "",
    bins: Annotated[
        int, typer.Option(min=1, max=100, help="without limits, into so many bins of about equal size")
    ] = 10,
    top: Annotated[int, typer.Option(min=1, max=1000, help="at most so many values or periods")] = 20,
    period: Annotated[Period, typer.Option(help="how times are grouped")] = Period.month,
    as_json: _AsJson = False,
) -> None:
    """Count a segment by an attribute beside all contacts, with lift: 2 means twice as frequent as among all."""
    request = pb.GetDistributionRequest(
        attribute=attribute,
        bin_limits=_limits(limits),
        bin_count=bins,
        value_count=top,
        period=_number(period),
    )
    with connect_here() as rapport:
        answer = rapport.segmentation.get_distribution(_aim(request, target))
    if as_json:
        _echo(_distribution(answer))
    else:
        console.print(drawing.distribution(answer))


@app.command("cohorts")
def cohorts(
    target: _OptionalTarget = "",
    first: Annotated[
        str, typer.Option(help="type of event whose first one makes the cohort")
    ] = "order.placed",
    active: Annotated[
        str, typer.Option(help="type of event that makes active; default: that of the first")
    ] = "",
    period: Annotated[CohortPeriod, typer.Option(help="length of a period")] = CohortPeriod.month,
    count: Annotated[int, typer.Option(min=1, max=120, help="so many cohorts, the newest")] = 12,
    as_json: _AsJson = False,
) -> None:
    """Draw how many of those who came in the same month or week came back in each that followed."""
    request = pb.GetCohortRetentionRequest(
        first_event_type=first, active_event_type=active, period=_number(period), cohort_count=count
    )
    with connect_here() as rapport:
        answer = rapport.segmentation.get_cohort_retention(_aim(request, target))
    if as_json:
        _echo(_cohorts(answer))
    else:
        console.print(drawing.cohorts(answer, period.value))


@app.command("rfm")
def rfm(target: _OptionalTarget = "", as_json: _AsJson = False) -> None:
    """Draw contacts by recency and frequency of their orders, with what they spent."""
    with connect_here() as rapport:
        answer = rapport.segmentation.get_rfm_grid(_aim(pb.GetRfmGridRequest(), target))
    if as_json:
        _echo(_rfm(answer))
    else:
        console.print(drawing.rfm(answer))


def _echo(value: Any) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2))


def _distribution(answer: Any) -> dict[str, Any]:
    groups = []
    for item in answer.groups:
        key = item.WhichOneof("key")
        value = (
            {"low": item.bin.low or None, "high": item.bin.high or None}
            if key == "bin"
            else getattr(item, key)
        )
        groups.append(
            {
                key: value,
                "members": item.member_count,
                "contacts": item.contact_count,
                "member_share": item.member_share,
                "contact_share": item.contact_share,
                "lift": item.lift,
                "member_share_low": item.member_share_low,
                "member_share_high": item.member_share_high,
                "significant": item.significant,
            }
        )
    return {
        "attribute": answer.attribute,
        "type": answer.type,
        "members": answer.member_count,
        "contacts": answer.contact_count,
        "as_of": answer.as_of_time.ToJsonString(),
        "omitted_values": answer.omitted_value_count,
        "groups": groups,
    }


def _cohorts(answer: Any) -> dict[str, Any]:
    return {
        "as_of": answer.as_of_time.ToJsonString(),
        "time_zone": answer.time_zone,
        "cohorts": [
            {
                "start": cohort.start_date,
                "contacts": cohort.contact_count,
                "periods": [
                    {
                        "start": item.start_date,
                        "active": item.active_count,
                        "share": item.active_share,
                        "amount": item.amount,
                        "complete": item.complete,
                    }
                    for item in cohort.periods
                ],
            }
            for cohort in answer.cohorts
        ],
    }


def _rfm(answer: Any) -> dict[str, Any]:
    scored = answer.HasField("score_time")
    return {
        "as_of": answer.as_of_time.ToJsonString(),
        "scored_at": answer.score_time.ToJsonString() if scored else None,
        "unscored": answer.unscored_count,
        "cells": [
            {
                "recency": cell.recency,
                "frequency": cell.frequency,
                "contacts": cell.contact_count,
                "amount": cell.amount,
            }
            for cell in answer.cells
        ],
    }
