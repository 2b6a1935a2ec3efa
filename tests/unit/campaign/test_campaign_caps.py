"""Which caps a message is under when several policies match it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.campaign.domain.decisions import Place, over
from services.campaign.domain.hours import Hours
from services.campaign.domain.ids import TRANSACTIONAL
from services.campaign.domain.policies import Cap, Policies, Policy

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
SCOPES = [(channel, topic) for channel in ("a", "") for topic in ("x", "")]
CAPS = st.lists(
    st.builds(Cap, st.integers(1, 3), st.sampled_from([DAY, 7 * DAY]), st.booleans(), st.booleans()),
    max_size=3,
)
PLACES = st.lists(
    st.builds(
        Place,
        st.integers(0, 200).map(lambda hours: NOW - timedelta(hours=hours)),
        st.sampled_from(["a", "b"]),
        st.sampled_from(["x", "y"]),
    ),
    max_size=8,
)


def policy(
    scope: tuple[str, str], caps: list[Cap], *, defer: bool = False, transactional: bool = False
) -> Policy:
    return Policy(
        id="p",
        channel=scope[0],
        topic=scope[1],
        hours=Hours(),
        caps=tuple(caps),
        transactional=transactional,
        defer=defer,
        revision=1,
        create_time=NOW,
        update_time=NOW,
    )


@given(st.dictionaries(st.sampled_from(SCOPES), CAPS), st.sampled_from(SCOPES), CAPS, PLACES)
def test_one_more_policy_never_lets_a_message_through(
    others: dict[tuple[str, str], list[Cap]], scope: tuple[str, str], caps: list[Cap], places: list[Place]
) -> None:
    others.pop(scope, None)
    before = Policies(policy(key, value) for key, value in others.items())
    after = Policies([policy(key, value) for key, value in others.items()] + [policy(scope, caps)])
    stopped = over(before.caps("a", "x"), places, "a", "x", NOW)
    still = over(after.caps("a", "x"), places, "a", "x", NOW)
    if stopped is not None:
        assert still is not None
        assert still[1] >= stopped[1]
    # Nor does a policy touch what it is not for.
    assert [*after.caps("b", "y")] == [
        *dict.fromkeys(others.get(("", ""), caps if scope == ("", "") else []))
    ]


def test_the_most_specific_policy_says_whether_a_message_waits() -> None:
    found = Policies([policy(("", ""), [Cap(2, DAY)]), policy(("", "x"), [Cap(2, DAY)], defer=True)])
    assert found.caps("a", "x") == (Cap(2, DAY),)
    assert (found.defers("a", "x"), found.defers("a", "y")) == (True, False)


def test_transactional_messages_are_under_the_caps_that_include_them() -> None:
    wide, narrow = policy(("", ""), [Cap(1, DAY)], transactional=True), policy(("a", ""), [Cap(2, DAY)])
    found = Policies([wide, narrow])
    assert found.caps("a", TRANSACTIONAL) == (Cap(1, DAY),)
    assert not found.exempts("a", TRANSACTIONAL)
    exempt = Policies([wide, narrow, policy(("", TRANSACTIONAL), [])])
    assert exempt.caps("a", TRANSACTIONAL) == ()
    assert exempt.exempts("a", TRANSACTIONAL)
    assert Policies([narrow]).exempts("a", TRANSACTIONAL)
