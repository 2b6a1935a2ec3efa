"""Who made an interaction, and what must be told of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.campaign.domain.interactions import (
    HUMAN,
    SCANNER,
    Signals,
    Told,
    classify_agent,
    corrections,
    decide,
)

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
PERSON: dict[str, Any] = {
    "kind": "click",
    "agent": "browser",
    "after": timedelta(hours=1),
    "burst_links": 1,
    "twin_links": 1,
    "shared_messages": 1,
}


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        ({}, ""),
        ({"after": None}, ""),
        ({"after": timedelta(seconds=3)}, ""),
        ({"agent": "proxy", "kind": "open"}, ""),
        ({"burst_links": 2}, ""),
        ({"shared_messages": 9}, ""),
        ({"agent": "scanner"}, "USER_AGENT"),
        ({"agent": "tool"}, "USER_AGENT"),
        ({"agent": "none"}, "USER_AGENT"),
        ({"agent": "prefetch", "kind": "open"}, "PREFETCH"),
        ({"after": timedelta(seconds=2.9)}, "TOO_SOON"),
        ({"after": timedelta(seconds=-1)}, "TOO_SOON"),
        ({"burst_links": 3}, "MANY_LINKS"),
        ({"twin_links": 2}, "MANY_LINKS"),
        ({"burst_links": 3, "kind": "open"}, ""),
        ({"shared_messages": 10}, "SHARED_SOURCE"),
        ({"shared_messages": 10, "kind": "open"}, ""),
        ({"with_scanner": True}, "WITH_SCANNER"),
    ],
)
def test_machines_are_told_from_people(changed: dict[str, Any], rule: str) -> None:
    assert decide(Signals(**(PERSON | changed))) == (SCANNER if rule else HUMAN, rule)


@pytest.mark.parametrize(
    ("text", "agent"),
    [
        ("", "none"),
        ("Mozilla/5.0", "prefetch"),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36",
            "browser",
        ),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Zalo/24", "browser"),
        ("Microsoft Office/16.0", "browser"),
        (
            "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
            "proxy",
        ),
        ("Mozilla/5.0 (compatible; Googlebot/2.1)", "scanner"),
        ("Mozilla/5.0 (X11) HeadlessChrome/140", "scanner"),
        ("BarracudaCentral", "scanner"),
        ("curl/8.5.0", "tool"),
        ("python-requests/2.32", "tool"),
    ],
)
def test_programs_by_what_they_call_themselves(text: str, agent: str) -> None:
    assert classify_agent(text) == agent


ROWS = st.lists(
    st.builds(
        lambda seconds, human, told: Told(
            uuid4(), NOW + timedelta(seconds=seconds), HUMAN if human else SCANNER, uuid4() if told else None
        ),
        st.integers(0, 5),
        st.booleans(),
        st.booleans(),
    ),
    max_size=6,
)


@settings(max_examples=60, deadline=None)
@given(ROWS)
def test_after_corrections_one_is_told_exactly_when_a_person_was_there(rows: list[Told]) -> None:
    wrong, missing = corrections(rows)
    told: set[UUID] = {row.id for row in rows if row.event_id} - {row.id for row in wrong}
    if missing is not None:
        assert missing.verdict == HUMAN
        assert missing.id not in told
        told.add(missing.id)
    people = {row.id for row in rows if row.verdict == HUMAN}
    assert len(told) == (1 if people else 0)
    assert told <= people
    # Nobody who was told rightly is told anew.
    if missing is not None:
        assert not [row for row in rows if row.verdict == HUMAN and row.event_id]
