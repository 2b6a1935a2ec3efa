"""Who is in which group, exact amounts, what the funnel adds up to, and the words of verdicts."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from services.campaign.domain.experiments import Experiment, HoldOut, Sample, Variant, assign
from services.campaign.domain.funnel import CameBack, Stood, build
from services.campaign.domain.ledger import STATES
from services.campaign.domain.money import plain, ratio, split, total
from services.campaign.domain.statistics import Amounts
from services.campaign.domain.verdicts import Arm, Spent, judge, winner, words
from tests.support.stack import NOW

CONTACTS = [UUID(int=number) for number in range(1, 8001)]
THREE = (Variant(id="a", weight=2), Variant(id="b"), Variant(id="c"))


def names(experiment: Experiment) -> list[str]:
    return [
        "held" if group.held_out else group.variant.id if group.variant else "rest"
        for group in assign(experiment, CONTACTS)
    ]


def test_groups_are_as_large_as_asked_for_and_always_the_same() -> None:
    from scipy import stats  # takes long, and all processes of a run collect all tests

    experiment = Experiment(campaign_id="spring", variants=THREE, hold_out_percent=10.0, test_percent=40.0)
    found = names(experiment)
    shares = {"held": 0.1, "rest": 0.54, "a": 0.18, "b": 0.09, "c": 0.09}
    counts = Counter(found)
    test = stats.chisquare(
        [counts[key] for key in shares], [share * len(CONTACTS) for share in shares.values()]
    )
    assert test.pvalue > 1e-4
    assert names(experiment) == found


def test_groups_of_two_experiments_have_nothing_to_do_with_each_other() -> None:
    """Nor have the three choices within one: a larger test keeps everybody's variant."""
    from scipy import stats  # takes long, and all processes of a run collect all tests

    first = Experiment(campaign_id="one", variants=THREE)
    pairs = Counter(zip(names(first), names(Experiment(campaign_id="two", variants=THREE)), strict=True))
    table = [[pairs[one, two] for two in "abc"] for one in "abc"]
    assert stats.chi2_contingency(table).pvalue > 1e-4
    small = names(Experiment(campaign_id="one", variants=THREE, test_percent=30.0))
    assert all(one == two for one, two in zip(small, names(first), strict=True) if one != "rest")


@settings(max_examples=50)
@given(st.integers(0, 40), st.lists(st.integers(1, 300), min_size=1, max_size=30))
def test_a_sample_by_arrival_is_the_first_until_each_group_is_full(held_out: int, pages: list[int]) -> None:
    """However they come in pages, the hash places them, and as many as were planned suffice."""
    plan = {"baseline_rate": 0.5, "minimal_effect": 0.3, "power": 0.6}
    item = Experiment(campaign_id="always", variants=THREE[1:], hold_out_percent=held_out, **plan)
    planned = item.planned_per_group
    sizes: Counter[str] = Counter()
    placed, position = [], 0
    for size in pages:
        sample = Sample(item, sizes)
        page = CONTACTS[position : position + size]
        found = sample.place(page)
        placed += found
        sizes.update((group.variant.id if group.variant else "") for group in found if group.tested)
        assert sample.complete == (
            min(sizes[key] for key in ("b", "c", *([""] if held_out else []))) >= planned
        )
        position += size
    tested = sum(group.tested for group in placed)
    assert [group.tested for group in placed] == [True] * tested + [False] * (len(placed) - tested)
    assert placed[:tested] == assign(item, CONTACTS[:tested])
    if tested < len(placed):
        # The last of the sample was the one that was missing.
        last = placed[tested - 1]
        key = last.variant.id if last.variant else ""
        assert sizes[key] == planned
        assert all(not group.held_out and group.variant is None for group in placed[tested:])


def test_who_comes_after_the_decision_gets_the_winner_at_once() -> None:
    late = Variant(id="b", delay=timedelta(days=1))
    item = Experiment(campaign_id="always", variants=(THREE[0], late), winner="b", hold_out_percent=50.0)
    [group] = set(Sample(item, {}).place(CONTACTS[:50]))
    assert group.variant is not None
    assert (group.variant.id, group.variant.delay, group.held_out, group.tested) == (
        "b",
        timedelta(0),
        False,
        False,
    )


def test_ids_that_differ_at_their_end_only_are_two_experiments() -> None:
    one, two = ("x" * 62 + end for end in "ab")
    assert names(Experiment(campaign_id=one, variants=THREE)) != names(
        Experiment(campaign_id=two, variants=THREE)
    )


def test_the_global_hold_out_changes_with_its_period_only() -> None:
    item = HoldOut(percent=10.0, period_days=30, salt="s", start_time=NOW)
    first = [item.holds(key, NOW) for key in CONTACTS]
    assert 700 < sum(first) < 900
    assert [item.holds(key, NOW + timedelta(days=29)) for key in CONTACTS] == first
    later = [item.holds(key, NOW + timedelta(days=30)) for key in CONTACTS]
    assert 30 < sum(one and two for one, two in zip(first, later, strict=True)) < 140
    assert not HoldOut(percent=0.0, period_days=0, salt="s", start_time=NOW).holds(CONTACTS[0], NOW)


@settings(max_examples=60, deadline=None)
@given(st.decimals("-999999999999999999", "999999999999999999", places=9), st.integers(1, 50))
def test_parts_add_up_to_the_amount(amount: Decimal, count: int) -> None:
    found = split(amount, count)
    assert len(found) == count
    assert total(found) == amount
    assert max(found) - min(found) <= Decimal("1e-9")
    assert Decimal(plain(amount)) == amount


def test_amounts_are_written_plainly() -> None:
    assert [plain(Decimal(text)) for text in ("1E+3", "-0.50", "-0.0", "7")] == ["1000", "-0.5", "0", "7"]
    assert (ratio(Decimal(1), Decimal(3)), ratio(Decimal(1), Decimal(0))) == ("0.3333", "")


stood = st.builds(
    Stood,
    channel=st.sampled_from(["email.smtp", "sms"]),
    state=st.sampled_from(STATES),
    reason=st.sampled_from(["", "NO_CONSENT", "HELD_OUT", "HELD_OUT_GLOBAL"]),
    count=st.integers(1, 1000),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(stood, max_size=20))
def test_the_ends_of_a_funnel_add_up_to_its_audience(items: list[Stood]) -> None:
    texts = sum(item.count for item in items if (item.channel, item.state) == ("sms", "sent"))
    found = build(
        origin="campaigns/spring",
        stood=items,
        converted={},
        earned=[],
        budget=(Decimal("0.1"), "EUR"),
        spent={"sms": [(texts * Decimal("0.07"), "EUR")]},
        came_back=CameBack(),
        tracked=False,
        outdated=0,
        now=NOW,
    )
    assert found.audience == sum(item.count for item in items) == sum(found.ends.values())
    assert found.suppressed == sum(found.by_reason.values())
    assert sum(item.sent for item in found.channels) == found.ends["sent"]
    assert found.money[0].cost == Decimal("0.1") + texts * Decimal("0.07")


def arm(variant: str, converted: int, amounts: list[float]) -> Arm:
    spent = Amounts(1000, sum(amounts), sum(value * value for value in amounts), max(amounts, default=0.0))
    return Arm(variant, 1000, 990, converted, {"VND": Spent(Decimal(sum(amounts)), spent, len(amounts))})


def test_verdicts_are_said_in_words_and_not_before_the_end() -> None:
    experiment = Experiment(
        campaign_id="spring", variants=(Variant(id="a"), Variant(id="b")), end_time=NOW, hold_out_percent=5.0
    )
    arms = [arm("a", 50, [10.0] * 50), arm("b", 90, [10.0] * 89 + [5000.0]), Arm("", 1000, 0, 45)]
    early = judge(experiment, arms, final=False)
    assert all(item.conversion is None and not item.revenue for item in early)
    assert len(words(experiment, early, final=False, now=NOW)) == 1
    verdicts = judge(experiment, arms, final=True)
    assert winner(experiment, verdicts)[0] == "b"
    lines = words(experiment, verdicts, final=True, now=NOW)
    assert lines[0].startswith("a and those held out do not differ in conversion beyond chance (98.75 %: ")
    assert lines[2].startswith(
        "b converts 4.00 points more than a (98.75 %: +1.15 to +6.91 points); chance alone"
    )
    assert "one customer brought 85% of it, so trust the interval less" in lines[3]
    level, why = winner(experiment, judge(experiment, [arm("a", 50, []), arm("b", 55, [])], final=True))
    assert (level, why.startswith("a wins as the control")) == ("a", True)
