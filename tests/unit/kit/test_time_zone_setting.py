"""The business's time zone is a place that PostgreSQL and Python understand alike."""

from __future__ import annotations

import pytest

from services.kit.config import Settings


def test_a_place_is_taken() -> None:
    assert Settings(time_zone="Asia/Ho_Chi_Minh").time_zone == "Asia/Ho_Chi_Minh"


@pytest.mark.parametrize(("name", "message"), [("CET", "fixed offset"), ("Mars/Base", "no such time zone")])
def test_what_is_no_place_is_refused(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Settings(time_zone=name)
