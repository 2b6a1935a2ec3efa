"""Insight drawn in the terminal: bars, and heat maps whose colours stand behind the figures."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from rich.console import Group
from rich.padding import Padding
from rich.style import Style
from rich.table import Table
from rich.text import Text

_BAR = 24
_EIGHTHS = " ▏▎▍▌▋▊▉"
_COLD, _HOT = (236, 244, 250), (8, 81, 156)


def bar(share: float, width: int = _BAR) -> str:
    """Return a bar for a share from 0 to 1, to an eighth of a character."""
    eighths = round(min(1.0, max(0.0, share)) * width * 8)
    full, rest = divmod(eighths, 8)
    return "█" * full + (_EIGHTHS[rest] if rest else "")


def heat(text: str, share: float) -> Padding:
    """Return a cell whose colour goes from pale to dark for a share from 0 to 1."""
    share = min(1.0, max(0.0, share))
    red, green, blue = (round(low + (high - low) * share) for low, high in zip(_COLD, _HOT, strict=True))
    style = Style.parse(f"{'white' if share > 0.5 else 'black'} on #{red:02x}{green:02x}{blue:02x}")
    return Padding(Text(text, justify="right"), (0, 1), style=style)


def percent(share: float) -> str:
    """Return a share with one decimal."""
    return f"{share * 100:.1f} %"


def amount(text: str) -> str:
    """Return an exact amount with its thousands apart."""
    return f"{Decimal(text):,}"


def _label(group: Any) -> Text:
    match group.WhichOneof("key"):
        case "value":
            return Text(group.value or '""')
        case "bin":
            low, high = group.bin.low, group.bin.high
            if not low and not high:
                return Text("any number")
            if not low:
                return Text(f"below {high}")
            return Text(f"{low} and above") if not high else Text(f"{low} to below {high}")
        case "missing":
            return Text("(none)", "dim")
    return Text("(others)", "dim")


def distribution(answer: Any) -> Group:
    """Return a table of a distribution, with a bar for each share."""
    table = Table(
        title=Text(
            f"{answer.attribute} of {answer.member_count} members, beside {answer.contact_count} contacts"
        )
    )
    for name in ("", "members", "share", "", "of all", "lift"):
        table.add_column(name, justify="right" if name else "left", no_wrap=True)
    most = max((item.member_share for item in answer.groups), default=0.0) or 1.0
    for item in answer.groups:
        style = ("green" if item.lift > 1 else "red") if item.significant else ""
        lift = f"{item.lift:.2f}" + (" *" if item.significant else "  ")
        table.add_row(
            _label(item),
            str(item.member_count),
            percent(item.member_share),
            Text(bar(item.member_share / most), style or "blue"),
            percent(item.contact_share),
            Text(lift, f"bold {style}" if style else ""),
        )
    notes = [
        "* more than chance would make (95 %, Wilson's interval); of 20 lines without a difference, one has it"
    ]
    if answer.omitted_value_count:
        notes.append(f"{answer.omitted_value_count} more values are left out; --top shows more")
    return Group(table, *(Text(note, "dim") for note in notes))


def cohorts(answer: Any, period: str) -> Group:
    """Return the triangle of retention, darker where more came back."""
    if not answer.cohorts:
        return Group(Text("nobody has such an event in these periods"))
    columns = max(len(cohort.periods) for cohort in answer.cohorts)
    table = Table(title=Text(f"active of each {period}'s cohort, by {period}s after the first"), padding=0)
    table.add_column("cohort ", no_wrap=True)
    table.add_column("contacts", justify="right", no_wrap=True)
    for number in range(columns):
        table.add_column(str(number), justify="right", no_wrap=True)
    # Where everybody is active at first, the rest would all look pale beside it.
    most = max((p.active_share for c in answer.cohorts for p in c.periods[1:]), default=0.0) or 1.0
    for cohort in answer.cohorts:
        start = cohort.start_date[:7] if period == "month" else cohort.start_date
        cells: list[Padding] = []
        for item in cohort.periods:
            mark = "" if item.complete else "…"
            cells.append(heat(f"{item.active_share * 100:.0f}{mark}", item.active_share / most))
        table.add_row(start, f"{cohort.contact_count} ", *cells)
    note = f"percent of the cohort; … is not over yet; {period}s of {answer.time_zone}"
    return Group(table, Text(note, "dim"))


def rfm(answer: Any) -> Group:
    """Return the grid: recency downwards, frequency to the right, both from the best."""
    most = max((cell.contact_count for cell in answer.cells), default=0) or 1
    scores = sorted({cell.frequency for cell in answer.cells}, reverse=True)
    table = Table(title=Text("contacts and what they spent, by recency and frequency (5 is best)"), padding=0)
    table.add_column("", no_wrap=True)
    for score in scores:
        table.add_column(f"frequency {score}", justify="right", no_wrap=True)
    cells = {(cell.recency, cell.frequency): cell for cell in answer.cells}
    for recency in sorted({cell.recency for cell in answer.cells}, reverse=True):
        row = []
        for score in scores:
            cell = cells[recency, score]
            row.append(heat(f"{cell.contact_count}\n{amount(cell.amount)}", cell.contact_count / most))
        table.add_row(f"recency {recency} ", *row)
    when = answer.score_time.ToJsonString() if answer.HasField("score_time") else "never"
    return Group(table, Text(f"{answer.unscored_count} contacts have no scores; computed {when}", "dim"))
