"""Filters for people: money, numbers, dates in the contact's zone, names."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.campaign.domain.rendering import BadTemplate, CompiledContent, Content

NOW = datetime(2026, 3, 1, 20, 5, tzinfo=UTC).astimezone(ZoneInfo("Asia/Ho_Chi_Minh"))


def render(text: str, language: str = "", **context: Any) -> str:
    return CompiledContent(Content(language, "s", text, "")).render({"now": NOW, **context}).text


@pytest.mark.parametrize(
    ("text", "language", "value", "wanted"),
    [
        ("{{ v | money('VND') }}", "vi", 1234567, "1.234.567\u00a0VND"),
        ("{{ v | money('usd') }}", "en-GB", "1234.565", "1,234.57\u00a0USD"),
        ("{{ v | money }}", "fr", {"amount": 1234.5, "currency_code": "EUR"}, "1\u00a0234,50\u00a0EUR"),
        ("{{ v | money }}", "", {"units": 5, "nanos": 500_000_000, "currency_code": "KWD"}, "5.500\u00a0KWD"),
        ("{{ v | money }}", "", Decimal("-0.005"), "-0.01"),
        ("{{ v | money }}", "", None, ""),
        ("{{ v | number }}", "vi", 1234567.25, "1.234.567,25"),
        ("{{ v | number(0) }}", "", 2.5, "3"),
        ("{{ v | date }}", "vi", datetime(2026, 3, 1, 20, tzinfo=UTC), "02/03/2026"),
        ("{{ v | date }}", "", "2026-03-01T20:00:00+00:00", "2026-03-02"),
        ("{{ v | date('d.M.yy') }}", "", date(2026, 3, 1), "1.3.26"),
        ("{{ v | time }}", "", datetime(2026, 3, 1, 20, 5, tzinfo=UTC), "03:05"),
        ("{{ v | datetime }}", "de", datetime(2026, 3, 1, 20, 5, tzinfo=UTC), "02.03.2026 03:05"),
        ("{{ v | title }}", "vi", "nguyễn thị ánh", "Nguyễn Thị Ánh"),
        ("{{ v | title }}", "vi", "NGUYE\u0302\u0303N VA\u0306N DU\u031bO\u031bNG", "Nguyễn Văn Dương"),
        ("{{ v | title }}", "", "o'neil-smith", "O'Neil-Smith"),
        ("{{ v | capitalize }}", "vi", "đƯỜNG lê lợi", "Đường lê lợi"),
        ("{{ v | fallback('friend') }}", "", "  ", "friend"),
        ("{{ w | fallback('friend') }}", "", 1, "friend"),
        ("{{ v | default('friend') }}", "", "Lan", "Lan"),
    ],
)
def test_values_are_written_for_people(text: str, language: str, value: Any, wanted: str) -> None:
    assert render(text, language, v=value) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "{{ 'a' | money }}",
        "{{ true | number }}",
        "{{ 'NaN' | number }}",
        "{{ '1e999999999' | number }}",
        "{{ 1 | number(1000000000) }}",
        "{{ 'tomorrow' | date }}",
        "{{ 5 | time }}",
        "{{ now | date('d' * 5000) }}",
    ],
)
def test_what_is_no_value_of_the_kind_is_refused(text: str) -> None:
    with pytest.raises(BadTemplate, match="text, line 1"):
        render(text)


@settings(max_examples=40)
@given(st.decimals(min_value=-(10**15), max_value=10**15, places=2))
def test_an_amount_reads_back(amount: Decimal) -> None:
    for language, group, point in [("vi", ".", ","), ("", ",", "."), ("fr", "\u00a0", ",")]:
        text = render("{{ v | money }}", language, v=amount)
        assert Decimal(text.replace(group, "").replace(point, ".")) == amount


def test_titles_in_html_stay_escaped() -> None:
    made = CompiledContent(Content("", "s", "t", "<p>{{ v | escape | title }}</p>")).render({"v": "a & b<c"})
    assert made.html == "<p>A &amp; B&lt;c</p>"
