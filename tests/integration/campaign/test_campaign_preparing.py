"""Making ready: what is wrong with one message, or with what it is to carry, is a matter of that message alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from services.campaign.domain.hours import Hours, Span
from services.campaign.usecases import audience
from services.kit.clock import FixedClock
from services.kit.errors import InvalidArgument
from tests.support.campaign import NOW, make_campaign, make_pool, plan
from tests.support.campaign_limits import FAST, Hall, drain, open_hall
from tests.support.campaign_simulations import know_channels, simulate_campaign, summary
from tests.support.postgres import DatabaseFactory

NIGHT = Hours(quiet=(Span(22 * 60, 8 * 60),))


@pytest.fixture(scope="module")
def open_one(make_module_database: DatabaseFactory) -> Iterator[Hall]:
    url = make_module_database.with_tables("campaign")
    with open_hall(url, FixedClock(NOW)) as made:
        yield made


@pytest.fixture
def hall(open_one: Hall) -> Hall:
    open_one.empty()
    know_channels(open_one.runtime, open_one.manager)
    return open_one


def outcomes(hall: Hall) -> Counter[tuple[str, str]]:
    return Counter((row.state, row.reason.partition(":")[0]) for row in hall.rows())


def test_coupons_that_expire_meanwhile_are_not_sent(hall: Hall) -> None:
    """A simulation and the sender say the same."""
    hall.world.add(2, time_zone="Pacific/Auckland")
    hall.world.add(time_zone="Europe/Berlin")
    hall.policy(hours=NIGHT)
    make_pool(hall.runtime, expire_time=NOW + timedelta(hours=1))
    make_campaign(hall.runtime, channel=FAST, coupon_pool_id="gift")
    found = summary(hall.runtime, simulate_campaign(hall.runtime))
    assert found["refused_by_reason"] == {"COUPON_POOL_EXPIRED": "2"}
    plan(hall.runtime)
    drain(hall.sender())
    assert isinstance(hall.runtime.clock, FixedClock)
    hall.runtime.clock.instant = max(row.due_time for row in hall.rows())
    drain(hall.sender())
    assert outcomes(hall) == {("sent", ""): 1, ("failed", "COUPON_POOL_EXPIRED"): 2}


@pytest.mark.parametrize(
    "error", [KeyError("time"), InvalidArgument("must lie between the years 1 and 9999")]
)
def test_a_contact_of_whom_no_template_can_be_told_holds_up_no_other(
    hall: Hall, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    people = hall.world.add(5)
    real = audience.template_context

    def askew(runtime: Any, recipient: Any, **options: Any) -> dict[str, Any]:
        if recipient.contact == people[2]:
            raise error
        return real(runtime, recipient, **options)

    monkeypatch.setattr(audience, "template_context", askew)
    hall.campaign(people)
    drain(hall.sender())
    assert outcomes(hall) == {("sent", ""): 4, ("failed", "RENDER_FAILED"): 1}
    assert len(hall.tape.of(FAST)) == 4
