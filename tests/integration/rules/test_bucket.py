"""Buckets: stable for ever, even, nested, and the same in SQL and in CEL's evaluator."""

from __future__ import annotations

import random
from collections import Counter
from uuid import UUID

import pytest
from sqlalchemy import Connection, text

from services.segmentation.rules import Outcome, Profile, compile_rule
from services.segmentation.rules.buckets import MAX_BUCKETS, bucket_of
from tests.integration.rules import store
from tests.integration.rules.vocabulary import NOW, REGISTRY

# Never to be changed: whoever is in a test group today must be in it tomorrow.
GOLDEN = (
    ("spring-2026", 100, "00000000-0000-0000-0000-000000000000", 76),
    ("spring-2026", 100, "6ba7b810-9dad-11d1-80b4-00c04fd430c8", 78),
    ("spring-2026", 10_000, "6ba7b810-9dad-11d1-80b4-00c04fd430c8", 7889),
    ("autumn", 100, "6ba7b810-9dad-11d1-80b4-00c04fd430c8", 13),
    ("thử nghiệm", 2, "ffffffff-ffff-ffff-ffff-ffffffffffff", 1),
)


def sql_buckets(connection: Connection, salt: str, count: int, ids: list[UUID]) -> list[int]:
    """Return buckets by the SQL function, the hash made there too."""
    rows = connection.execute(
        text(
            "SELECT rule_bucket(sha256(convert_to(:s, 'UTF8') || uuid_send(i)), :c) "
            "FROM unnest(CAST(:i AS uuid[])) WITH ORDINALITY AS u(i, n) ORDER BY n"
        ),
        {"s": salt, "c": count, "i": ids},
    )
    return [row[0] for row in rows]


@pytest.mark.parametrize(("salt", "count", "key", "bucket"), GOLDEN)
def test_golden_values(rule_tables: Connection, salt: str, count: int, key: str, bucket: int) -> None:
    assert bucket_of(salt, count, UUID(key)) == bucket
    assert sql_buckets(rule_tables, salt, count, [UUID(key)]) == [bucket]


def made_ids(count: int) -> list[UUID]:
    """Return random ids, the same ones each time."""
    made = random.Random(20260301)
    return [UUID(int=made.getrandbits(128)) for _ in range(count)]


def test_they_are_spread_evenly_and_independently(rule_tables: Connection) -> None:
    ids = made_ids(100_000)
    first = sql_buckets(rule_tables, "first", 100, ids)
    assert first[:1000] == [bucket_of("first", 100, i) for i in ids[:1000]]
    # Chi-squared with 99 degrees of freedom is above 149 once in a thousand.
    sizes = Counter(first)
    assert set(sizes) == set(range(100))
    assert sum((n - 1000) ** 2 / 1000 for n in sizes.values()) < 149
    # Another salt divides each tenth of the first again into even tenths; 99 degrees of freedom again.
    second = sql_buckets(rule_tables, "second", 10, ids)
    pairs = Counter((a // 10, b) for a, b in zip(first, second, strict=True))
    assert sum((pairs[a, b] - 1000) ** 2 / 1000 for a in range(10) for b in range(10)) < 149


def test_ids_in_order_are_spread_too() -> None:
    """As ids that carry the time of their making are."""
    sizes = Counter(bucket_of("x", 10, UUID(int=(0x0192 << 112) + n)) for n in range(20_000))
    assert sum((sizes[b] - 2000) ** 2 / 2000 for b in range(10)) < 28


def test_finer_buckets_lie_within_coarser_ones() -> None:
    for key in made_ids(2000):
        fine = bucket_of("x", MAX_BUCKETS, key)
        assert fine // 100 == bucket_of("x", 100, key)
        assert fine // 10 == bucket_of("x", 1000, key)


def test_in_every_engine(rule_tables: Connection) -> None:
    people = store.with_ids([Profile()] * 300)
    ids = store.put(rule_tables, REGISTRY, people)
    for rule_text, members in (
        ('bucket("spring-2026") < 10', {i for i in ids if bucket_of("spring-2026", 100, i) < 10}),
        ('bucket("e\\u0301", 3) == 2', {i for i in ids if bucket_of("é", 3, i) == 2}),
    ):
        rule = compile_rule(rule_text, REGISTRY)
        assert 0 < len(members) < len(ids)
        assert store.members_by_rebuild(rule_tables, rule, NOW) == members
        assert {
            i for i, p in zip(ids, people, strict=True) if rule.evaluate(p, NOW) is Outcome.MEMBER
        } == members
        assert {
            i for i, p in zip(ids, people, strict=True) if rule.interpret(p, NOW) is Outcome.MEMBER
        } == members
        assert not rule.time_dependent


def test_a_profile_without_an_id_has_no_bucket() -> None:
    rule = compile_rule('bucket("a") < 100', REGISTRY)
    assert rule.evaluate(Profile(), NOW) is Outcome.UNKNOWN
    assert rule.interpret(Profile(), NOW) is Outcome.UNKNOWN
