"""The UCI Online Retail file, which is not part of the repository."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

PATH_VARIABLE = "RAPPORT_TEST_ONLINE_RETAIL"
REQUIRE_VARIABLE = "RAPPORT_TEST_REQUIRE_DATA"
_BESIDE = Path(__file__).resolve().parents[3] / "shared" / "data" / "online_retail" / "online_retail.csv.gz"


def real_retail() -> Path:
    """Return the path of the file.

    Without the file the test is skipped, or fails when RAPPORT_TEST_REQUIRE_DATA is 1, so that a build that
    must run it cannot lose it in silence.
    """
    path = Path(os.environ.get(PATH_VARIABLE) or _BESIDE)
    if not path.is_file():
        message = f"needs the UCI Online Retail file, which is not at {path}; name it in {PATH_VARIABLE}"
        if os.environ.get(REQUIRE_VARIABLE) == "1":
            pytest.fail(message, pytrace=False)
        pytest.skip(message)
    return path
