"""The last release's code, for the tests that run it beside this one's."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.released import extract


@pytest.fixture(scope="session")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the last release's tree."""
    return extract(tmp_path_factory.mktemp("released"))
