"""The segmentation service on an empty database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.postgres import DatabaseFactory
from tests.support.segmentation import World, world


@pytest.fixture
def seg(make_database: DatabaseFactory) -> Iterator[World]:
    """The service without plugins, at NOW."""
    with world(make_database.with_tables("segmentation")) as made:
        yield made
