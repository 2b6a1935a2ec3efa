"""The report of the main job: every figure is read back through the API."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from rapport_client import Rapport
from rapport_client.money import from_money
from rich.console import Group, RenderableType
from rich.table import Table

from services.demo import definitions


def shortest(amount: Decimal) -> str:
    """Write a number exactly, without exponent and without zeros at the end."""
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def read_base(rapport: Rapport) -> dict[str, Any]:
    """Read the figures that must be taken before the first live order: sales and segments."""
    summary = rapport.sales.get_sales_summary()
    revenue = sum((from_money(item.revenue) for item in summary.currencies), Decimal(0))
    return {
        "customers": rapport.contacts.count_contacts().contact_count,
        "orders": summary.order_count,
        "returns": summary.return_count,
        "lines_without_customer": summary.unattributed_line_count,
        "revenue": shortest(revenue),
        "segments": {
            key: rapport.segmentation.get_segment(name=f"segments/{key}").segment.member_count
            for key in sorted(definitions.SEGMENTS)
        },
    }


def read_rest(rapport: Rapport) -> dict[str, Any]:
    """Read the figures of the campaign, the coupons, the journey and the cases."""
    counts = rapport.campaign.get_campaign(name=f"campaigns/{definitions.CAMPAIGN}").campaign.counts
    journey = rapport.campaign.get_journey(name=f"journeys/{definitions.JOURNEY}").journey
    pools = list(rapport.campaign.list_coupon_pools.iterate())
    care = rapport.care.get_care_summary()
    return {
        "messages": {
            "audience": counts.audience,
            "sent": counts.sent,
            "suppressed": counts.suppressed,
            "failed": counts.failed,
            "duplicates": counts.duplicates,
        },
        "coupons": {
            "issued": sum(pool.issued_count for pool in pools),
            "redeemed": sum(pool.redeemed_count for pool in pools),
        },
        "journeys": {"started": journey.started_count, "thanked": journey.counts.sent},
        "cases": {
            "opened": care.opened_count,
            "resolved": care.resolved_count,
            "breached": care.breached_count,
        },
    }


def draw(report: dict[str, Any], currency: str) -> RenderableType:
    """Return the report as tables, segments with bars."""
    figures = Table("figure", "value", title="What happened", title_justify="left")
    figures.columns[1].justify = "right"
    for key in ("customers", "orders", "returns", "lines_without_customer"):
        figures.add_row(key.replace("_", " "), f"{report[key]:,}")
    figures.add_row("revenue before returns", f"{report['revenue']} {currency}")
    for group in ("messages", "coupons", "journeys", "cases"):
        for key, value in report[group].items():
            figures.add_row(f"{group}: {key}", f"{value:,}")
    segments = Table("segment", "members", "", "rule", title="Segments", title_justify="left")
    segments.columns[1].justify = "right"
    largest = max(report["segments"].values(), default=0) or 1
    for key, count in report["segments"].items():
        segments.add_row(key, f"{count:,}", "█" * round(24 * count / largest), definitions.SEGMENTS[key][0])
    seconds = Table("step", "seconds", title="How long it took", title_justify="left")
    seconds.columns[1].justify = "right"
    for key, value in report["seconds"].items():
        seconds.add_row(key, f"{value:.2f}")
    seconds.add_row("in all", f"{sum(report['seconds'].values()):.2f}", style="bold")
    return Group(figures, segments, seconds)
