"""Guards: what the API declares has a comment that says more than its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.comments import Commented, declared, says_nothing

ROOT = Path(__file__).resolve().parents[3]
PROTOS = sorted((ROOT / "protos" / "rapport").glob("*/v1/*.proto"))


def found() -> list[Commented]:
    return [item for path in PROTOS for item in declared(path)]


def test_the_api_is_found():
    assert len(PROTOS) >= 10
    paths = {item.path for item in found()}
    assert {
        "Case.subject",
        "Campaign.State.STATE_DRAFT",
        "CareService.CreateCase",
        "JourneyStep.action.wait",
    } <= paths
    assert len(paths) > 700


@pytest.mark.parametrize("path", PROTOS, ids=lambda path: str(path.relative_to(ROOT / "protos" / "rapport")))
def test_every_comment_says_something(path: Path):
    # A message may be called by its name: what it is for is said by its RPC, and what it holds by its fields.
    empty = [
        f"{path.name}:{item.line} {item.path}: {item.text!r}"
        for item in declared(path)
        if item.kind != "message" and says_nothing(item)
    ]
    assert not empty, "say form, limits, units, and what empty or zero means"


@pytest.mark.parametrize(
    ("declaration", "comment", "empty"),
    [
        ("string topic = 1;", "", True),
        ("string topic = 1;", "The topic.", True),
        ("string topic = 1;", "The topic of the thing.", True),
        ("repeated Thing things = 1;", "Its things.", True),
        ("string product_code = 1;", "The code of a product.", True),
        ("map<string, Thing> by_name = 1;", "Things by name.", True),
        ("string topic = 1;", 'The topic, such as "marketing".', False),
        ("string topic = 1;", "At most 16 characters.", False),
    ],
)
def test_the_guard_tells_words_from_content(tmp_path: Path, declaration: str, comment: str, empty: bool):
    path = tmp_path / "x.proto"
    path.write_text(f"message Thing {{\n  // {comment}\n  {declaration}\n}}\n")
    [_, item] = declared(path)
    assert says_nothing(item) is empty
