"""The UCI Online Retail file, which is not part of the repository."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

PATH_VARIABLE = "RAPPORT_TEST_ONLINE_RETAIL"
REQUIRE_VARIABLE = "RAPPORT_TEST_REQUIRE_DATA"


def real_retail() -> Path:
    """Return the path of the file, which RAPPORT_TEST_ONLINE_RETAIL names.

    Without the file the test is skipped, or fails when RAPPORT_TEST_REQUIRE_DATA is 1, so that a build that
    must run it cannot lose it in silence.
    """
    named = os.environ.get(PATH_VARIABLE, "")
    path = Path(named)
    if not named or not path.is_file():
        where = f"is not at {path}" if named else "is not named"
        message = f"needs the UCI Online Retail file, which {where}; name it in {PATH_VARIABLE}"
        if os.environ.get(REQUIRE_VARIABLE) == "1":
            pytest.fail(message, pytrace=False)
        pytest.skip(message)
    return path
