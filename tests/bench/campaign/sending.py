"""A campaign through the whole path, beside the bare loop, by turns on the same mail server."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from statistics import median

import psutil

from tests.bench.campaign import parts
from tests.bench.campaign.bare import Bare
from tests.bench.campaign.sink import Sink, open_sink
from tests.bench.campaign.stack import EVERYBODY, Stack
from tests.bench.report import Figure
from tests.support.campaign import make_campaign, plan

_LOOK_SECONDS = 0.02


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
        stack.bind()
        running = [psutil.Process(sender.process.pid) for sender in stack.start_senders(senders, sink.port)]
        _one_campaign(stack, sink, "warm-up", everybody[:500])
        spent: Counter[str] = Counter()
        spent_bare: Counter[str] = Counter()
        for number in range(rounds):
            before = parts.cpu_of_bare(loop.pid, sink.pid)
            bare.append(loop.send(each) / each)
            spent_bare.update(parts.between(before, parts.cpu_of_bare(loop.pid, sink.pid)))
            stack.members.names = everybody[number * each : (number + 1) * each]
            seconds, used = _one_campaign(stack, sink, f"round-{number}", stack.members.names)
            spent.update(used)
            ours.append(seconds / each)
            memory[(number + 1) / rounds] = max(process.memory_info().rss for process in running)
            say(
                f"{(number + 1) * each:>9,} mails: ours {1 / ours[-1]:,.0f}/s, bare loop {1 / bare[-1]:,.0f}/s, "
                f"sender {memory[(number + 1) / rounds] / 1e6:.0f} MB"
            )
        say(f"ours: {parts.words(spent, each * rounds)}")
        say(f"bare loop: {parts.words(spent_bare, each * rounds)}")
        loop.close()
        stack.stop_senders()
        stack.unbind()
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


def _one_campaign(stack: Stack, sink: Sink, key: str, names: Sequence[str]) -> tuple[float, Counter[str]]:
    """Plan a campaign to some and return the seconds until all of it is sent, and the CPU seconds of each part."""
    stack.members.names = names
    make_campaign(stack.runtime, key, segment=EVERYBODY)
    plan(stack.runtime, key)
    before = stack.cpu(sink.pid)
    started = time.perf_counter()
    stack.wait_until_sent(_LOOK_SECONDS)
    seconds = time.perf_counter() - started
    return seconds, parts.between(before, stack.cpu(sink.pid))
