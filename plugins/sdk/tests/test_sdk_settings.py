"""Settings: types, defaults, errors, secrets."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from rapport_sdk import REQUIRED, Setting, Settings
from rapport_sdk.settings import read_settings

PARSED = [
    (str, " a b ", "a b"),
    (bool, "Yes", True),
    (bool, "off", False),
    (int, "-5", -5),
    (float, "1.5", 1.5),
    (Decimal, "0.10", Decimal("0.10")),
    (tuple, "a, b,,c ", ("a", "b", "c")),
]
REFUSED = [
    (bool, "maybe", "'maybe' is not true or false"),
    (int, "1.5", "'1.5' is not a whole number"),
    (float, "nan", "'nan' is not a number"),
    (float, "1e999", "'1e999' is not a number"),
    (Decimal, "x", "'x' is not a decimal number"),
    (Decimal, "Infinity", "'Infinity' is not a decimal number"),
]


@pytest.mark.parametrize(("type_", "text", "value"), PARSED)
def test_values(type_: type, text: str, value: Any) -> None:
    found = read_settings("acme", (Setting("x", type_, doc="d"),), {"RAPPORT_PLUGIN_ACME_X": text})
    assert found["x"] == value
    assert type(found["x"]) is type_


@pytest.mark.parametrize(("type_", "text", "problem"), REFUSED)
def test_bad_values_name_the_variable(type_: type, text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=f"RAPPORT_PLUGIN_ACME_X: {problem}"):
        read_settings("acme", (Setting("x", type_, doc="d"),), {"RAPPORT_PLUGIN_ACME_X": text})


@pytest.mark.parametrize("environment", [{}, {"RAPPORT_PLUGIN_ACME_X": ""}, {"RAPPORT_PLUGIN_ACME_X": "  "}])
def test_unset_and_empty_take_the_default(environment: dict[str, str]) -> None:
    assert read_settings("acme", (Setting("x", int, 7, doc="d"),), environment)["x"] == 7
    with pytest.raises(ValueError, match=r"RAPPORT_PLUGIN_ACME_X must be set \(the x\)"):
        read_settings("acme", (Setting("x", int, doc="the x"),), environment)


def test_all_problems_are_told_at_once() -> None:
    declared = (Setting("a", int, doc="d"), Setting("b", int, 1, doc="d"))
    with pytest.raises(ValueError, match=r"ACME_A must be set.*; .*ACME_B: 'x'"):
        read_settings("acme", declared, {"RAPPORT_PLUGIN_ACME_B": "x"})


def test_choices() -> None:
    setting = Setting("mode", str, "fast", choices=("fast", "safe"), doc="d")
    assert setting.parse("safe") == "safe"
    with pytest.raises(ValueError, match="'slow' is not one of fast, safe"):
        setting.parse("slow")


def test_secrets_are_neither_shown_nor_repeated() -> None:
    settings = Settings({"key": "hunter2", "n": 1}, frozenset({"key"}))
    assert repr(settings) == "Settings({'key': '***', 'n': 1})"
    with pytest.raises(ValueError, match="the value is not") as caught:
        Setting("key", int, secret=True, doc="d").parse("hunter2")
    assert "hunter2" not in str(caught.value)
    choice = Setting("key", str, secret=True, choices=("a",), doc="d")
    with pytest.raises(ValueError, match="is not one of") as caught:
        choice.parse("hunter2")
    assert "hunter2" not in str(caught.value)


def test_undeclared_names_say_what_there_is() -> None:
    with pytest.raises(KeyError, match=r"'y' is not declared by rapport_settings; declared: x"):
        Settings({"x": 1})["y"]


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        (Setting("Bad", int, 1, doc="d"), "lower case"),
        (Setting("x", list, doc="d"), "type must be one of"),
        (Setting("x", int, True, doc="d"), "the default True is not a whole number"),
        (Setting("x", int, 1, choices=(2,), doc="d"), "not one of its choices"),
        (Setting("x", int, 1), "say in doc"),
    ],
)
def test_bad_declarations(setting: Setting, problem: str) -> None:
    assert problem in (setting.problem() or "")


def test_required_is_shown_as_such() -> None:
    assert repr(REQUIRED) == "REQUIRED"
