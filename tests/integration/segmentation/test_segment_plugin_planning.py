"""What only Python can answer is asked of those alone whom the rest leaves open; OR and NOT stay right."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.kit.plugins import PluginHost
from services.kit.plugins.breaker import Breakers
from services.segmentation.usecases import plugin_changes, previewing
from tests.plugins.plugin_sources import write_plugin
from tests.support.postgres import DatabaseFactory
from tests.support.segmentation import World, contact, contact_id, world

SHOP = """
def letters(ctx, params, profiles):
    if any(profile.locality == "nobody asks here" for profile in profiles):
        raise RuntimeError("somebody asked")
    return [None if profile.region_code is None else len(profile.region_code) for profile in profiles]

def first(ctx, params, profiles):
    return [None if profile.region_code is None else profile.region_code[:1] for profile in profiles]

@hookimpl
def rapport_segment_rules():
    return [
        SegmentRule(name="shop.letters", returns="int", matches=letters, doc="letters"),
        SegmentRule(name="shop.first", returns="string", matches=first, doc="the first letter"),
    ]
"""

PEOPLE: list[dict[str, Any]] = [
    {"region_code": region, "has_email": email, "gender": gender}
    for region in ("", "VN", "USA", "V")
    for email in (False, True)
    for gender in ("", "f")
]
"""Some without a region: what plugins say of them is unknown; some without a gender."""


@pytest.fixture(scope="module")
def seg(make_module_database: DatabaseFactory, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The service with a plugin whose rules have no SQL form, and people of all sorts."""
    folder = tmp_path_factory.mktemp("plugins")
    module = write_plugin(folder, SHOP)
    host = PluginHost(
        ["shop"], modules={"shop": module}, paths=[str(folder)], breakers=Breakers(threshold=10**6)
    )
    with world(make_module_database.with_tables("segmentation"), plugins=host) as made:
        plugin_changes.notice_plugins(made.service)
        made.deliver(*(contact(contact_id(number), **fields) for number, fields in enumerate(PEOPLE)))
        yield made
    host.close()


def members(seg: World, rule: str) -> set[int]:
    found = previewing.evaluate_rule(seg.service, rule=rule, sample=1000)
    assert found.members == len(found.sample)
    return {number for number in range(len(PEOPLE)) if contact_id(number) in found.sample}


def test_nobody_is_asked_whose_answer_the_rest_decides(seg: World) -> None:
    unasked = contact_id(99)
    seg.deliver(contact(unasked, region_code="XX", locality="nobody asks here", has_email=True))
    try:
        vietnamese = {number for number, fields in enumerate(PEOPLE) if fields["region_code"] == "VN"}
        rule = 'contact.region_code == "VN" && shop.letters(contact) == 2'
        assert members(seg, rule) == vietnamese
        seg.define("asked", rule)
        assert seg.members("asked") == {contact_id(number) for number in vietnamese}
        found = previewing.evaluate_rule(
            seg.service, rule="contact.has_email || shop.letters(contact) == 3", sample=1000
        )
        assert unasked in found.sample
        for asking in ("shop.letters(contact) == 2", "!(contact.has_phone || shop.letters(contact) == 3)"):
            with pytest.raises(Exception, match="somebody asked"):
                members(seg, asking)
    finally:
        seg.deliver(contact(unasked, revision=2, region_code="XX", has_email=True))


Truth = bool | None
ATOMS: dict[str, Any] = {
    "shop.letters(contact) == 2": lambda p: None if not p["region_code"] else len(p["region_code"]) == 2,
    "shop.letters(contact) > 1": lambda p: None if not p["region_code"] else len(p["region_code"]) > 1,
    'shop.first(contact) == "V"': lambda p: None if not p["region_code"] else p["region_code"][0] == "V",
    "contact.has_email": lambda p: p["has_email"],
    'contact.region_code == "USA"': lambda p: p["region_code"] == "USA",
    "contact.gender.size() > 0": lambda p: None if not p["gender"] else True,
}


def _not(a: Truth) -> Truth:
    return None if a is None else not a


def _and(a: Truth, b: Truth) -> Truth:
    return False if a is False or b is False else None if a is None or b is None else True


def _or(a: Truth, b: Truth) -> Truth:
    return _not(_and(_not(a), _not(b)))


def _choose(c: Truth, a: Truth, b: Truth) -> Truth:
    return None if c is None else a if c else b


def _joined(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    def lift(text: str, combine: Any) -> Any:
        return lambda *given: (
            text.format(*(item[0] for item in given)),
            lambda person: combine(*(item[1](person) for item in given)),
        )

    return st.one_of(
        st.builds(lift("!({})", _not), parts),
        st.builds(lift("({} && {})", _and), parts, parts),
        st.builds(lift("({} || {})", _or), parts, parts),
        st.builds(lift("({} ? {} : {})", _choose), parts, parts, parts),
        st.builds(lift("(({}) == ({}))", lambda a, b: None if None in (a, b) else a == b), parts, parts),
    )


RULES = st.recursive(st.sampled_from(list(ATOMS.items())), _joined, max_leaves=8)


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(rule=RULES)
def test_or_and_not_stay_right(seg: World, rule: Any) -> None:
    text, meaning = rule
    assert members(seg, text) == {n for n, person in enumerate(PEOPLE) if meaning(person) is True}, text
