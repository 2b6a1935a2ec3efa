"""Results drawn in the terminal: a funnel of bars, money by currency, and the groups of an experiment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from services.cli.segments.insight_drawing import amount, bar, percent
from services.cli.words import counted

_LOST = ("held_out", "suppressed", "cancelled", "failed", "unknown", "waiting")


def _table(title: str, *columns: str) -> Table:
    table = Table(title=Text(title))
    for name in columns:
        table.add_column(name, justify="right" if name else "left", no_wrap=True)
    return table


def funnel(answer: Any) -> Group:
    """Return the funnel: a bar for each part, as long as its share of the audience."""
    table = _table(f"{answer.origin}: {answer.audience} in its audience", "", "messages", "share", "")
    for label, count, style in _parts(answer):
        share = count / answer.audience if answer.audience else 0.0
        table.add_row(Text(label), str(count), percent(share), Text(bar(share), style))
    notes = []
    if not answer.engagement_known:
        notes.append("opens and clicks are not tracked")
    if answer.scanner_count:
        notes.append(
            f"machines opened or clicked {counted(answer.scanner_count, 'time')}, which counts nowhere"
        )
    if answer.pending_count:
        notes.append(
            f"{counted(answer.pending_count, 'opening or click', 'openings and clicks')} to be decided on"
        )
    if answer.outdated_conversions:
        notes.append(
            f"{answer.outdated_conversions} parts of orders follow a former rule; RecomputeAttribution renews them"
        )
    return Group(table, *(Text(note, "dim") for note in notes))


def _parts(answer: Any) -> Iterator[tuple[str, int, str]]:
    yield "audience", answer.audience, "blue"
    for name in _LOST:
        if count := getattr(answer, name):
            yield f"  {name.replace('_', ' ')}", count, "yellow"
        if name == "suppressed":
            for reason, number in sorted(
                answer.suppressed_by_reason.items(), key=lambda item: (-item[1], item[0])
            ):
                yield f"    {reason}", number, "dim"
    yield "sent", answer.sent, "blue"
    for name in ("bounced", "soft_bounced"):
        if count := getattr(answer, name):
            yield f"  {name.replace('_', ' ')}", count, "yellow"
    yield "delivered", answer.delivered, "blue"
    for name in ("complained", "unsubscribed"):
        if count := getattr(answer, name):
            yield f"  {name}", count, "yellow"
    if answer.engagement_known:
        yield "opened", answer.opened, "blue"
        yield "clicked", answer.clicked, "blue"
    yield "converted", answer.converted, "green"


def money(answer: Any) -> Group:
    """Return revenue beside cost: a line for each currency, then for each channel where there are several."""
    table = _table(
        "attributed revenue",
        "",
        "currency",
        "orders",
        "gross",
        "returned",
        "revenue",
        "cost",
        "profit",
        "ROI",
    )
    sources = [("all", answer.money)]
    if len(answer.channels) > 1:
        sources += [(channel.channel, channel.money) for channel in answer.channels]
    for label, items in sources:
        for item in items:
            figures = (item.gross, item.returned, item.revenue, item.cost, item.profit)
            roi = percent(float(item.roi)) if item.roi else "-"
            table.add_row(Text(label), item.currency_code, str(item.orders), *map(amount, figures), roi)
    return Group(table)


_GROUPS = ("", "assigned", "sent", "converted", "rate", "95 %", "uplift", "for each contact")


def experiment(answer: Any) -> Group:
    """Return the groups of an experiment, and what their figures mean in words."""
    state = "final" if answer.final else "not final"
    table = _table(f"experiment, {state}", *_GROUPS)
    for arm in answer.arms:
        winner = bool(arm.variant) and arm.variant == answer.experiment.winner
        _group(table, arm, arm.variant or "held out", "bold green" if winner else "")
    if answer.HasField("all_variants"):
        _group(table, answer.all_variants, "all variants", "dim")
    return Group(table, *(Text(line) for line in answer.summary))


def hold_out(answer: Any) -> Group:
    """Return those of the global hold-out beside all others, and what their figures mean in words."""
    start, end = (stamp.ToDatetime().date().isoformat() for stamp in (answer.start_time, answer.end_time))
    table = _table(f"hold-out of {answer.hold_out.percent:g} %, {start} to {end}", *_GROUPS)
    _group(table, answer.reached, "written to")
    _group(table, answer.held_out, "held out")
    return Group(table, *(Text(line) for line in answer.summary))


def journey(answer: Any) -> Group:
    """Return the hold-out of a journey and the ways of its splits, and what their figures mean in words."""
    tables = []
    if answer.HasField("hold_out"):
        table = _table("the journey and its hold-out", *_GROUPS)
        for arm in answer.hold_out.arms:
            _group(table, arm.result, "held out" if not arm.result.variant else "on the journey")
        tables.append(table)
    for split in answer.splits:
        table = _table(f"split {split.step}", *_GROUPS, "goals")
        for arm in split.arms:
            _group(table, arm.result, arm.result.variant or "no part", "", str(arm.goal_count))
        tables.append(table)
    return Group(*tables, *(Text(line) for line in answer.summary))


def _group(table: Table, arm: Any, name: str, style: str = "", *more: str) -> None:
    interval = f"{percent(arm.conversion_interval.low)} to {percent(arm.conversion_interval.high)}"
    uplift = Text("")
    if arm.HasField("conversion_uplift"):
        found = arm.conversion_uplift
        colour = ("green" if found.difference > 0 else "red") if found.significant else ""
        uplift = Text(f"{found.difference * 100:+.2f} points{' *' if found.significant else ''}", colour)
    spent = ", ".join(f"{item.per_contact:,.4g} {item.currency_code}" for item in arm.revenue)
    table.add_row(
        Text(name, style),
        str(arm.assigned),
        str(arm.sent),
        str(arm.converted),
        percent(arm.conversion_rate),
        interval,
        uplift,
        spent or "-",
        *more,
    )
