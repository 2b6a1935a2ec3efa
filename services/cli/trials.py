"""Rules and traits of plugins, tried on made-up contacts before real ones meet them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

from rapport_sdk import Profile

from services.kit.plugins import PluginError, PluginHost, RuleRecord, TraitRecord
from services.kit.plugins.catalog import PluginRecord

_NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
EXAMPLES = (
    Profile(
        UUID(int=1), has_email=False, has_phone=False, create_time=_NOW, order_count=0, total_spent=Decimal(0)
    ),
    Profile(
        UUID(int=2),
        kind="person",
        has_email=True,
        has_phone=True,
        language_code="en",
        region_code="VN",
        locality="Da Nang",
        latitude=16.07,
        longitude=108.22,
        time_zone="Asia/Ho_Chi_Minh",
        birth_date=date(1990, 2, 28),
        gender="female",
        lifecycle_stage="customer",
        create_time=datetime(2024, 1, 1, tzinfo=UTC),
        first_order_time=datetime(2024, 2, 1, tzinfo=UTC),
        last_order_time=datetime(2026, 2, 1, tzinfo=UTC),
        order_count=3,
        total_spent=Decimal("120.50"),
        tags=("vip",),
        consents={"email_marketing": "granted"},
        revision=7,
    ),
)
"""Of one contact nothing is known, of the other much; neither has events, custom attributes or traits."""


@dataclass(frozen=True)
class Trials:
    """Tell what failed, by name of the object, and which rules could not be tried for want of arguments."""

    failed: dict[str, str]
    untried: tuple[str, ...]


def try_out(host: PluginHost, plugins: Iterable[PluginRecord]) -> Trials:
    """Compile the SQL forms of all rules and traits that are loaded, and ask their Python forms about EXAMPLES.

    Rules with arguments are tried with the first of their choices; without choices nobody knows what they take.
    """
    failed: dict[str, str] = {}
    untried: list[str] = []
    for item in _readers(plugins):
        parameters = item.parameters if isinstance(item, RuleRecord) else ()
        if not all(parameter.choices for parameter in parameters):
            untried.append(item.name)
            continue
        params = [parameter.choices[0] for parameter in parameters]
        try:
            if item.has_sql:
                host.compile_sql(item.name, params)
            if item.has_python and isinstance(item, RuleRecord):
                host.matches(item.name, params, EXAMPLES, _NOW)
            elif item.has_python:
                host.compute(item.name, EXAMPLES, _NOW)
        except PluginError as error:
            failed[item.name] = error.problem
    return Trials(failed, tuple(untried))


def _readers(plugins: Iterable[PluginRecord]) -> Iterator[RuleRecord | TraitRecord]:
    for plugin in plugins:
        if plugin.state == "ok":
            yield from (item for item in plugin.objects if isinstance(item, (RuleRecord, TraitRecord)))
