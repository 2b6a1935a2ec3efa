"""Simulations drawn in the terminal: what would become of messages, why, and when the others leave."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from services.cli.segments.insight_drawing import bar, percent

_MOST_LINES = 48


def parts(simulation: Any) -> Iterator[RenderableType]:
    """Yield what a simulation found, part by part."""
    found = simulation.summary
    yield _decisions(simulation)
    if found.hours:
        yield _hours(found)
    if found.channels:
        yield _channels(found)
    if found.groups:
        yield _groups(found)
    if found.steps:
        yield _steps(found)
    yield Group(
        Text(f"{simulation.name}, kept until {_shown(simulation.expire_time)}; nothing was sent", "dim"),
        *(Text(f"- {text}", "dim") for text in found.assumptions),
    )


def _table(title: str, *columns: str) -> Table:
    table = Table(title=Text(title))
    for name in columns:
        table.add_column(name, justify="right" if name else "left", no_wrap=True)
    return table


def _decisions(simulation: Any) -> Table:
    found = simulation.summary
    title = f"{simulation.origin or 'simulation'} from {_shown(simulation.start_time)}"
    table = _table(title, "", "messages", "share", "")

    def line(label: str, count: int, style: str) -> None:
        share = count / found.message_count if found.message_count else 0.0
        table.add_row(Text(label), f"{count:,}", percent(share), Text(bar(share), style))

    line("all", found.message_count, "blue")
    line("would be sent", found.send_count, "green")
    for label, number, reasons, style in (
        ("would be refused", found.refuse_count, found.refused_by_reason, "red"),
        ("would still wait", found.wait_count, found.waiting_by_reason, "yellow"),
    ):
        if number:
            line(label, number, style)
        for reason, count in _sorted(reasons):
            line(f"  {reason}", count, "dim")
    if found.deferred_by_reason:
        line("would wait a while", max(found.deferred_by_reason.values()), "yellow")
    for reason, count in _sorted(found.deferred_by_reason):
        line(f"  {reason}", count, "dim")
    return table


def _hours(found: Any) -> Table:
    """Draw a line for each hour; for each day when there are too many."""
    counts: dict[datetime, int] = {
        hour.start_time.ToDatetime(tzinfo=UTC): hour.send_count for hour in found.hours
    }
    unit = "hour"
    if len(counts) > _MOST_LINES:
        unit, days = "day", dict[datetime, int]()
        for at, count in counts.items():
            day = at.replace(hour=0)
            days[day] = days.get(day, 0) + count
        counts = days
    table = _table(f"sent in each {unit} (UTC)", "", "messages", "")
    most = max(counts.values())
    for at, count in list(counts.items())[:_MOST_LINES]:
        text = f"{at:%a %Y-%m-%d}" if unit == "day" else f"{at:%a %Y-%m-%d %H:%M}"
        table.add_row(Text(text), f"{count:,}", Text(bar(count / most), "blue"))
    if len(counts) > _MOST_LINES:
        rest = sum(list(counts.values())[_MOST_LINES:])
        table.add_row(Text("later"), f"{rest:,}", Text(""))
    return table


def _channels(found: Any) -> Table:
    table = _table(
        "channels", "", "messages", "sent", "held up by limits", "at the longest", "drained in", "cost"
    )
    for item in found.channels:
        cost = f"{_amount(item.cost)} {item.cost.currency_code}" if item.HasField("cost") else "-"
        table.add_row(
            Text(item.channel),
            f"{item.message_count:,}",
            f"{item.send_count:,}",
            f"{item.rate_limited_count:,}",
            _length(item.longest_rate_wait),
            _length(item.drain_time),
            cost,
        )
    return table


def _groups(found: Any) -> Table:
    table = _table("groups of the experiment", "", "messages", "share", "sent")
    for item in found.groups:
        label = "held out" if item.held_out else item.variant or "wait for the winner"
        share = item.message_count / found.message_count
        table.add_row(Text(label), f"{item.message_count:,}", percent(share), f"{item.send_count:,}")
    return table


def _steps(found: Any) -> Table:
    title = f"{found.start_count:,} would have started; " + ", ".join(
        f"{count:,} {outcome}" for outcome, count in _sorted(found.outcomes)
    )
    table = _table(title, "", "reached", "still there", "left the journey", "ways")
    for step in found.steps:
        ways = ", ".join(f"{way.edge or 'on'} → {way.next}: {way.count:,}" for way in step.exits)
        table.add_row(
            Text(step.step),
            f"{step.entered_count:,}",
            f"{step.waiting_count:,}",
            f"{step.dropped_count:,}",
            Text(ways),
        )
    return table


def _sorted(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _shown(stamp: Any) -> str:
    return f"{stamp.ToDatetime(tzinfo=UTC):%Y-%m-%d %H:%M} UTC"


def _length(duration: Any) -> str:
    length: timedelta = duration.ToTimedelta()
    return "-" if not length else str(timedelta(seconds=round(length.total_seconds())))


def _amount(money: Any) -> str:
    return f"{money.units + money.nanos / 1e9:,.2f}"
