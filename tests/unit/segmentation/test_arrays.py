"""Arrays as PostgreSQL writes them."""

from __future__ import annotations

from uuid import UUID

from services.segmentation.store import arrays


def test_elements_are_quoted_where_they_may_mean_something() -> None:
    assert arrays.of_ids([]) == arrays.of_texts([]) == "{}"
    assert arrays.of_ids([UUID(int=1), UUID(int=16)]) == "{" + "0" * 31 + "1," + "0" * 30 + "10}"
    assert arrays.of_numbers([1, -2]) == "{1,-2}"
    assert arrays.of_texts(['a"b', "c\\d", "NULL", "", "é,{}"]) == '{"a\\"b","c\\\\d","NULL","","é,{}"}'
    assert arrays.of_bytes([b"", b"\x00\xff"]) == '{"\\\\x","\\\\x00ff"}'
