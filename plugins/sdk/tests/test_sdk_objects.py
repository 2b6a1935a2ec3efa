"""Names, values, parameters, event sets: the laws of the SDK's objects."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rapport_sdk import Capabilities, Channel, Parameter, SegmentRule, Settings, SqlContext, Trait
from rapport_sdk.check import object_problems, plugin_problems
from rapport_sdk.names import object_name_problem, plugin_name_problem
from rapport_sdk.rules import bind_parameters
from rapport_sdk.values import VALUE_TYPES, ValueType, value_problem
from sqlalchemy import func, select


@pytest.mark.parametrize("name", ["a", "loyalty", "a_1", "x" * 40])
def test_good_plugin_names(name: str) -> None:
    assert plugin_name_problem(name) is None


@pytest.mark.parametrize("name", ["", "A", "1a", "a-b", "a.b", "x" * 41, "contact", "in", "now", "true", "đ"])
def test_bad_plugin_names(name: str) -> None:
    assert plugin_name_problem(name)


@pytest.mark.parametrize("name", ["a", "a.", ".b", "a.B", "a.b.c", "b.a", "a.1", "a b.c"])
def test_bad_object_names(name: str) -> None:
    assert object_name_problem(name, "a")


values = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(),
)


@given(values)
def test_each_value_has_one_type_but_whole_numbers_are_doubles_too(value: Any) -> None:
    fits = {type_ for type_ in VALUE_TYPES if value_problem(value, type_) is None}
    own: dict[type, set[ValueType]] = {
        bool: {"bool"},
        int: {"int", "double"},
        float: {"double"},
        str: {"string"},
    }
    assert fits == (set() if isinstance(value, str) and "\x00" in value else own[type(value)])


@pytest.mark.parametrize("type_", VALUE_TYPES)
def test_unknown_is_of_every_type(type_: ValueType) -> None:
    assert value_problem(None, type_) is None


@given(st.lists(st.sampled_from(VALUE_TYPES), max_size=4), st.data())
def test_arguments_that_fit_are_bound_by_position(types: list[ValueType], data: st.DataObject) -> None:
    of: dict[ValueType, st.SearchStrategy[Any]] = {
        "bool": st.booleans(),
        "int": st.integers(-(2**63), 2**63 - 1),
        "double": st.floats(allow_nan=False, allow_infinity=False) | st.integers(-1000, 1000),
        "string": st.text(st.characters(exclude_characters="\x00")),
    }
    given_ = [data.draw(of[type_]) for type_ in types]
    parameters = [Parameter(f"p{number}", type_) for number, type_ in enumerate(types)]
    bound = bind_parameters("a.b", parameters, given_)
    assert list(bound.values()) == given_
    assert list(bound) == [parameter.name for parameter in parameters]


def test_objects_that_are_fit() -> None:
    rule = SegmentRule("a.rule", "bool", value=lambda ctx, params: None, doc="d")  # type: ignore[arg-type, return-value]
    trait = Trait("a.trait", {"a_x": "int"}, lambda ctx: {}, timedelta(hours=1), doc="d")
    channel = Channel("a.channel", Capabilities("email"), lambda settings: None, doc="d")  # type: ignore[arg-type, return-value]
    in_python = Trait(
        "a.other", {"a_x": "int"}, doc="d", compute=lambda ctx, profiles: [None for _ in profiles]
    )
    both = replace(in_python, value=lambda ctx: {})
    fit = ((SegmentRule, rule), (Trait, trait), (Trait, in_python), (Trait, both), (Channel, channel))
    for kind, item in fit:
        assert object_problems("a", kind, [item]) == []


BAD: list[tuple[type, dict[str, Any], str]] = [
    (SegmentRule, {"when_gone": "false"}, "when_gone 'false'"),
    (SegmentRule, {"events": "order.placed"}, "events 'order.placed' must be a tuple"),
    (SegmentRule, {"parameters": (Parameter("N", "int"),)}, "parameter 'N'"),
    (SegmentRule, {"parameters": (Parameter("n", "money"),)}, "type 'money'"),  # type: ignore[arg-type]
    (SegmentRule, {"parameters": (Parameter("n", "int", choices=("x",)),)}, "choice 'x' is a str"),
    (SegmentRule, {"parameters": (Parameter("n", "int"),) * 2}, "two parameters have the same name"),
    (SegmentRule, {"value": 5}, "value is not a function"),
    (SegmentRule, {"matches": lambda ctx: []}, "matches must take (ctx, params, profiles)"),
    (SegmentRule, {"version": True}, "version True"),
    (Trait, {"refresh": timedelta(seconds=1)}, "a minute at least"),
    (Trait, {"value": None}, "give value (SQL), compute (Python) or both"),
    (Trait, {"value": 5}, "value is not a function"),
    (Trait, {"compute": lambda profiles: []}, "compute must take (ctx, profiles)"),
    (Trait, {"events": ["order.placed"]}, "must be a tuple of event types"),
    (Trait, {"columns": {}}, "columns is empty"),
    (Trait, {"columns": {"a_X": "int"}}, "begin with 'a_'"),
    (Trait, {"columns": {"a_x": "date"}}, "type 'date'"),
    (Channel, {"capabilities": None}, "must be a Capabilities"),
    (Channel, {"capabilities": Capabilities("E Mail")}, "address_kind"),
    (Channel, {"capabilities": Capabilities("email", max_batch=0)}, "max_batch"),
    (Channel, {"capabilities": Capabilities("email", url_schemes="https")}, "url_schemes"),
    (Channel, {"capabilities_of": lambda: None}, "capabilities_of must take (settings)"),
    (Channel, {"open": lambda: None}, "open must take (settings)"),
]


@pytest.mark.parametrize(("kind", "fields", "problem"), BAD, ids=[problem for _, _, problem in BAD])
def test_objects_that_are_not_fit(kind: type, fields: dict[str, Any], problem: str) -> None:
    fit: dict[type, dict[str, Any]] = {
        SegmentRule: {"returns": "bool", "value": lambda ctx, params: None},
        Trait: {"columns": {"a_x": "int"}, "value": lambda ctx: {}, "refresh": timedelta(hours=1)},
        Channel: {"capabilities": Capabilities("email"), "open": lambda settings: None},
    }
    item = kind(**{"name": "a.x", "doc": "d", **fit[kind], **fields})
    found = object_problems("a", kind, [item])
    assert len(found) == 1
    assert problem in found[0]


def test_a_plugin_with_a_bad_name_is_not_looked_at_further() -> None:
    assert plugin_problems("contact", object()) == [
        "plugin name 'contact' is a word of the rule language: choose another",
        "implements no hook",
    ]


class TestContext:
    def make(self) -> SqlContext:
        return SqlContext(Settings({}), ("order.placed",), batch=False)

    def test_events_must_be_declared(self) -> None:
        with pytest.raises(
            ValueError, match=r"'page.visited' are read but not declared.*declared: order.placed"
        ):
            self.make().events("page.visited")

    def test_where_leaves_the_set_it_was_called_on_alone(self) -> None:
        ctx = self.make()
        orders = ctx.events("order.placed")
        big = orders.where(orders.c.amount > 100)
        assert str(select(orders.count())) != str(select(big.count()))
        assert "amount" not in str(select(orders.count()))

    def test_per_contact_needs_an_aggregate(self) -> None:
        with pytest.raises(ValueError, match="at least one aggregate"):
            self.make().events("order.placed").per_contact()

    def test_several_aggregates_share_one_scan(self) -> None:
        orders = self.make().events("order.placed")
        found = orders.per_contact(n=func.count(), total=func.sum(orders.c.amount))
        assert str(select(found.n, found.total)).count("sdk.event") == 1
