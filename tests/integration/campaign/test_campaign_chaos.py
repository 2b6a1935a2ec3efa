"""A small chaos run: senders, database and mail server are killed, and every message is accounted for."""

from __future__ import annotations

from pathlib import Path

from tests.chaos.campaign.run import draw_kills, run, tally

MESSAGES, SENDERS, KILLS, SEED = 600, 2, 3, 4


def test_nothing_is_lost_or_doubled_when_anything_is_killed(tmp_path: Path) -> None:
    kills = draw_kills(SEED, MESSAGES, SENDERS, KILLS)
    assert {kill.victim.split()[0] for kill in kills} == {"sender", "PostgreSQL", "SMTP"}
    found = run(tmp_path, messages=MESSAGES, kills=kills, senders=SENDERS, seconds=120)
    assert [check for check in found.checks(MESSAGES) if not check.ok] == [], found


def test_the_same_seed_kills_the_same() -> None:
    assert draw_kills(1, 20_000, 3, 20) == draw_kills(1, 20_000, 3, 20) != draw_kills(2, 20_000, 3, 20)


def test_the_tally_notices_each_kind_of_wrong() -> None:
    states = {
        "a": "sent",
        "sent-not-received": "sent",
        "b": "unknown",
        "c": "unknown",
        "forgotten": "planned",
        "denied": "failed",
        "twice": "sent",
        "refused": "suppressed",
    }
    found = tally(states, {"a": 1, "b": 1, "denied": 1, "twice": 2}, in_flight=2)
    assert (found.planned, found.sent, found.unknown) == (8, 3, 2)
    assert (found.lost, found.doubled, found.denied) == (2, 1, 1)
    violated = {check.name for check in found.checks(8) if not check.ok}
    assert violated == {"lost", "doubled", "received but denied", "sent"}
    assert found.line() == "planned 8, sent 3, unknown 2, lost 2, doubled 1"
