"""The circuit breaker and the pace of a channel, without a clock."""

from __future__ import annotations

from services.campaign.domain.circuit import CLOSED, HALF_OPEN, IN_A_ROW, LONGEST_PAUSE, OPEN, Circuit
from services.campaign.domain.pace import Pace
from services.campaign.domain.policies import Policies
from services.campaign.domain.rates import RateLimits, default_burst, domain_of


def even(low: float, high: float) -> float:
    return (low + high) / 2


def test_a_circuit_opens_after_failures_in_a_row_and_closes_after_one_success() -> None:
    circuit = Circuit(even)
    assert not any(circuit.failed(0, "x") for _ in range(IN_A_ROW - 1))
    assert (circuit.state(0), circuit.places(0, 50)) == (CLOSED, 50)
    assert not circuit.succeeded()
    assert [circuit.failed(0, "x") for _ in range(IN_A_ROW)][-1]
    assert (circuit.state(0.49), circuit.places(0.49, 50), circuit.wait(0.2)) == (OPEN, 0, 0.3)
    assert (circuit.state(0.5), circuit.places(0.5, 50), circuit.places(0.5, 0)) == (HALF_OPEN, 1, 0)
    assert circuit.succeeded()
    assert (circuit.state(0.5), circuit.failures, circuit.problem) == (CLOSED, 0, "")


def test_each_failure_of_a_probe_doubles_the_pause_up_to_a_limit() -> None:
    circuit = Circuit(even)
    now, pauses = 0.0, []
    circuit.trip(now, "gone")
    for _ in range(9):
        pauses.append(circuit.wait(now))
        now += pauses[-1]
        assert circuit.failed(now, "gone")
    assert pauses[:4] == [0.5, 1, 2, 4]
    assert pauses[-1] == LONGEST_PAUSE
    circuit.hold(now)
    assert circuit.places(now, 1) == 0, "while a probe is under way no other goes"


def test_pauses_differ_between_senders() -> None:
    assert len({round(Circuit().trip(0, "gone"), 6) for _ in range(20)}) > 1


def test_a_pace_follows_the_channel() -> None:
    fast = Pace()
    assert fast.at_once == 2
    fast.took(2, 0.001)
    assert fast.at_once >= 50
    slow = Pace()
    slow.took(2, 2.0)
    assert slow.at_once == 1
    # A provider that takes as long for one message as for fifty gets more and more of them.
    even_call = Pace()
    for _ in range(8):
        even_call.took(even_call.at_once, 0.15)
    assert even_call.at_once >= 50
    middling = Pace()
    for _ in range(20):
        middling.took(middling.at_once, middling.at_once * 0.1)
    assert 0.2 <= middling.at_once * 0.1 <= 0.6


def test_domains_and_bursts() -> None:
    assert [domain_of(text) for text in ("A@Mail.Test.", "a@b@c.test", "+4912345", "")] == [
        "mail.test",
        "c.test",
        "",
        "",
    ]
    assert [default_burst(rate) for rate in (5000, 100, 4, 1 / 60)] == [1000, 20, 1, 1]
    assert RateLimits(()).of_domain("x", "mail.test") == ()
    assert Policies(()).of("x", "news") is None
