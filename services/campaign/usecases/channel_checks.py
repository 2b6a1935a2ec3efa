"""Whether the channels that something sends by would take its messages now."""

from __future__ import annotations

from collections.abc import Iterable

from services.campaign.channels import channel_problem
from services.campaign.domain.circuit import CLOSED
from services.campaign.store import circuits
from services.kit.log import safe_text
from services.kit.runtime import Runtime

UNAVAILABLE = "CHANNEL_UNAVAILABLE"
"""Begins the reasons and warnings of channels that cannot be opened, or do not take messages now."""


def problems(runtime: Runtime, channels: Iterable[str]) -> list[str]:
    """Return in words why channels would not take messages now, each at most once.

    A channel that its plugin cannot open, such as for a setting that is missing, is told as a sender would tell it; of
    one that can be opened, what the living senders found when they last tried.
    """
    with runtime.db.read() as connection:
        rows = circuits.read_all(connection)
    told = []
    for name in sorted(set(channels)):
        problem = channel_problem(runtime, name)
        if not problem:
            failing = (row for row in rows if row.channel == name and not row.domain and row.state != CLOSED)
            problem = next((row.problem for row in failing), "").removeprefix(f"{UNAVAILABLE}: ")
        if problem:
            told.append(f"{UNAVAILABLE}: {name}: {safe_text(problem)}"[:500])
    return told
