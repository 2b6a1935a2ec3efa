"""Guards: every setting is described, documented in the README, and read in one place only."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from services.kit.config import Settings

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_setting_is_described_and_in_the_readme(name: str):
    assert Settings.model_fields[name].description
    assert f"`RAPPORT_{name.upper()}`" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_readme_names_no_setting_that_does_not_exist():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`RAPPORT_([A-Z0-9_]+)`", text))
    known = {name.upper() for name in Settings.model_fields}
    assert {name for name in named - known if not name.startswith("PLUGIN_")} == set()
