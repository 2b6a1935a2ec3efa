"""A campaign through the whole path, beside the bare loop, by turns on the same mail server."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from statistics import median

import psutil

from tests.bench.campaign.bare import Bare
from tests.bench.campaign.sink import open_sink
from tests.bench.campaign.stack import EVERYBODY, Stack
from tests.bench.report import Figure
from tests.support.campaign import make_campaign, plan

_MILLISECONDS = 0.01


def measure(
    stack: Stack, messages: int, senders: int, rounds: int, say: Callable[[str], None]
) -> list[Figure]:
    """Return the time of a message beside the bare loop's, and the memory of a sender at the end beside the start.

    Each round is a campaign to an equal part of the audience, after as many mails of the bare loop.
    """
    each = messages // rounds
    everybody = stack.members.names
    ours: list[float] = []
    bare: list[float] = []
    memory: dict[float, float] = {}
    with open_sink(say) as sink:
        loop = Bare(sink.port)
        running = [psutil.Process(sender.process.pid) for sender in stack.start_senders(senders, sink.port)]
        _one_campaign(stack, "warm-up", everybody[:500])
        began = _cpu(running)
        for number in range(rounds):
            bare.append(loop.send(each) / each)
            stack.members.names = everybody[number * each : (number + 1) * each]
            seconds = _one_campaign(stack, f"round-{number}", stack.members.names)
            ours.append(seconds / each)
            memory[(number + 1) / rounds] = max(process.memory_info().rss for process in running)
            say(
                f"{(number + 1) * each:>9,} mails: ours {1 / ours[-1]:,.0f}/s, bare loop {1 / bare[-1]:,.0f}/s, "
                f"sender {memory[(number + 1) / rounds] / 1e6:.0f} MB"
            )
        say(f"CPU of the senders {(_cpu(running) - began) / (each * rounds) * 1e6:.0f} µs a message")
        loop.close()
        stack.stop_senders()
    stack.members.names = everybody
    states = stack.states()
    if set(states) != {"sent"}:
        raise RuntimeError(f"not all messages were sent: {states}")
    early = memory[min(memory, key=lambda share: abs(share - 0.2))]
    # The ratios of neighbours in time: what else the machine does slows both.
    ratio = median(mine / other for mine, other in zip(ours, bare, strict=True))
    typical = median(bare)
    return [
        Figure(
            f"a mail through the whole path, {senders} sender(s), beside smtplib with prebuilt bytes, to {sink.name}",
            typical * ratio * 1e6,
            typical * 1e6,
            "µs",
            1.43,
        ),
        Figure(
            "memory of a sender, at the end beside a fifth of the way",
            memory[1.0] / 1e6,
            early / 1e6,
            "MB",
            1.1,
        ),
    ]


def _one_campaign(stack: Stack, key: str, names: object) -> float:
    """Plan a campaign to the members as they are now and return the seconds until all of it is sent."""
    stack.members.names = names  # type: ignore[assignment]
    make_campaign(stack.runtime, key, segment=EVERYBODY)
    plan(stack.runtime, key)
    started = time.perf_counter()
    pause = threading.Event()
    while stack.open_messages():
        pause.wait(_MILLISECONDS)
    return time.perf_counter() - started


def _cpu(processes: list[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)
