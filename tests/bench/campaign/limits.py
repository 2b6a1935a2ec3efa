"""Several senders under one shared rate limit: how near to it they come, from above and from below."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta

import sqlalchemy as sa

from services.campaign.domain.rates import RateLimit, default_burst
from services.campaign.models import message
from services.campaign.usecases import rates
from tests.bench.campaign.sink import open_sink
from tests.bench.campaign.stack import EVERYBODY, Stack
from tests.bench.report import Figure
from tests.support.campaign import CHANNEL, NOW, make_campaign, plan

_BUDGET = 1.02
_LOOK_SECONDS = 0.02


def measure(stack: Stack, rate: int, seconds: int, say: Callable[[str], None]) -> list[Figure]:
    """Return the rate of two and of four senders beside the limit of so many messages a second, and the other way.

    Counted from a tenth of the campaign, when what a quiet limit has saved up is used, to its end.
    """
    everybody = stack.members.names
    if len(everybody) < rate * seconds:
        raise ValueError(f"a limit of {rate}/s over {seconds} s needs {rate * seconds:,} contacts")
    figures: list[Figure] = []
    limit = RateLimit(
        id="bench",
        channels=(CHANNEL,),
        domain="",
        count=rate,
        period=timedelta(seconds=1),
        burst=default_burst(rate),
        revision=0,
        create_time=NOW,
        update_time=NOW,
    )
    for senders in (2, 4):
        stack.forget_messages()
        with open_sink(say) as sink:
            rates.set_limit(stack.runtime, limit, "")
            stack.start_senders(senders, sink.port)
            stack.members.names = everybody[: rate * seconds]
            key = f"limited-{senders}"
            make_campaign(stack.runtime, key, segment=EVERYBODY)
            plan(stack.runtime, key)
            measured = _rate(stack, rate * seconds)
            stack.stop_senders()
        say(f"{senders} senders under {rate}/s sent {measured:,.1f}/s")
        figures += [
            Figure(f"rate of {senders} senders above a shared limit", measured, rate, "/s", _BUDGET),
            Figure(f"a shared limit above the rate of {senders} senders", rate, measured, "/s", _BUDGET),
        ]
    stack.members.names = everybody
    rates.delete_limit(stack.runtime, limit.id, "")
    return figures


def _rate(stack: Stack, messages: int) -> float:
    pause = threading.Event()
    while (begun := _sent(stack)) < messages // 10:
        pause.wait(_LOOK_SECONDS)
    start = time.perf_counter()
    while (done := _sent(stack)) < messages:
        pause.wait(_LOOK_SECONDS)
    return (done - begun) / (time.perf_counter() - start)


def _sent(stack: Stack) -> int:
    query = sa.select(sa.func.count()).where(message.c.state == "sent")
    with stack.runtime.db.read() as connection:
        return int(connection.scalar(query) or 0)
