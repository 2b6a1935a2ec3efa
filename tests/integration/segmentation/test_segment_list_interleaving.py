"""Changes of lists, snapshots, increments and rebuilds at the same time end where a rebuild from scratch would."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.segmentation.usecases import applying
from services.segmentation.usecases.applying import Wish
from tests.integration.segmentation.test_segment_interleaving import at_once
from tests.integration.segmentation.test_segment_lists import make_list, put, take
from tests.support.postgres import DatabaseFactory
from tests.support.segmentation import NOW, World, contact, contact_id, order, world
from tests.support.segmentation_scratch import agrees_with_scratch

PEOPLE = [contact_id(number) for number in range(200, 206)]
RULES = {
    "local": 'in_segment("segments/one") && contact.region_code == "VN"',
    "buyers": 'events.order_placed.size() > 0 && !in_segment("segments/two")',
    "top": 'in_segment("segments/local") || in_segment("segments/buyers")',
    "quiet": '!in_segment("segments/top")',
}

person = st.sampled_from(PEOPLE)
changes = st.lists(
    st.tuples(st.sampled_from(["one", "two"]), st.booleans(), st.lists(person, min_size=1, max_size=4)),
    max_size=8,
)
facts = st.lists(
    st.lists(st.tuples(person, st.integers(1, 6), st.sampled_from(["VN", "US"])), min_size=1, max_size=5),
    max_size=5,
)
chores = st.lists(st.sampled_from(["rebuild", "snapshot", "apply", "apply back"]), max_size=5)


@pytest.fixture(scope="module")
def shared(make_module_database: DatabaseFactory) -> Iterator[World]:
    """The service on a database that the examples share, emptied before each."""
    with world(make_module_database.with_tables("segmentation")) as made:
        yield made


def apply(seg: World, rules: dict[str, str]) -> None:
    wishes = [Wish(id_, id_, "rule", rule, "", False, id_) for id_, rule in rules.items()]
    with seg.db.transaction() as connection:
        applying.apply_set(seg.service, connection, wishes, [])
    seg.rebuild(*rules)


@given(changes, changes, facts, chores, st.integers(0, 2**32 - 1))
@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
def test_any_interleaving_with_lists_ends_like_a_rebuild_from_scratch(
    shared: World,
    first: list[tuple[str, bool, list[object]]],
    second: list[tuple[str, bool, list[object]]],
    batches: list[list[tuple[object, int, str]]],
    work: list[str],
    seed: int,
) -> None:
    seg = shared
    seg.empty()
    seg.deliver(*(contact(key) for key in PEOPLE))
    make_list(seg, "one")
    make_list(seg, "two")
    apply(seg, RULES)
    draw = random.Random(seed)

    def change(items: list[tuple[str, bool, list[object]]]) -> Callable[[], None]:
        def run() -> None:
            for id_, entered, keys in items:
                put(seg, id_, *keys, entered=entered, historical=draw.random() < 0.5)  # type: ignore[arg-type]

        return run

    def deliver() -> None:
        for batch in batches:
            seg.deliver(
                *(contact(key, revision=revision + 1, region_code=region) for key, revision, region in batch),  # type: ignore[arg-type]
                *(order(key, NOW) for key, revision, _ in batch if revision % 2),  # type: ignore[arg-type]
            )

    def do_chores() -> None:
        for at, chore in enumerate(work):
            if chore == "rebuild":
                seg.rebuild()
            elif chore == "snapshot":
                take(seg, segment_id=f"then{at}", segment=f"segments/{draw.choice(['one', 'top', 'quiet'])}")
            elif chore == "apply":
                apply(seg, {"local": 'contact.region_code == "US"', "quiet": '!in_segment("segments/one")'})
            else:
                apply(seg, RULES)

    def others() -> None:
        apply(seg, {"local": 'contact.region_code == "US"'})
        apply(seg, RULES)

    at_once(change(first), change(second), deliver, do_chores, others)
    agrees_with_scratch(seg)
