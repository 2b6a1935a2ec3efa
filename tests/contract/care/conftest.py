"""Care over a real port."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.care import free_base_port
from tests.support.postgres import DatabaseFactory
from tests.support.stack import Served, serve


@pytest.fixture(scope="module")
def served(make_module_database: DatabaseFactory) -> Iterator[Served]:
    """Care with the agent ana, and the default queue main with a promise around the clock."""
    url = make_module_database.with_tables("care")
    settings = {"base_port": free_base_port(), "default_deadline_seconds": 3.0}
    with serve("care", url, settings=settings) as running:
        running.client.create_agent(agent_id="ana", agent={"display_name": "Ana", "available": True})
        running.client.create_queue(
            queue_id="main",
            queue={
                "display_name": "Main",
                "agents": ["agents/ana"],
                "default_queue": True,
                "sla_targets": [{"first_response_minutes": 30, "resolution_minutes": 240}],
            },
        )
        yield running


@pytest.fixture
def care(served: Served) -> Any:
    """The client of care."""
    return served.client
