"""Where the CPU time of a mail goes: to the senders, their renderers, the database, contacts, the mail server."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable

import psutil


def cpu(senders: Iterable[int], contacts: int, postmaster: int, sink: int) -> Counter[str]:
    """Return the CPU seconds so far of the living processes of each part, given by their process ids.

    Sessions of the database server count for the service whose database they use, its other processes for themselves.
    """
    used: Counter[str] = Counter()
    for pid in senders:
        process = psutil.Process(pid)
        used["sender"] += _seconds(process)
        for child in process.children(recursive=True):
            used["renderer"] += _seconds(child)
    for process in [psutil.Process(contacts), *psutil.Process(contacts).children(recursive=True)]:
        used["contacts API"] += _seconds(process)
    used["mail server"] += _seconds(psutil.Process(sink))
    for process in psutil.Process(postmaster).children():
        title = " ".join(process.cmdline())
        name = next((name for name in ("contacts", "campaign") if f"bench_{name}" in title), "")
        used[f"database of {name}" if name else "database, the rest"] += _seconds(process)
    me = os.times()
    used["benchmark itself"] += me.user + me.system
    return used


def cpu_of_bare(loop: int, sink: int) -> Counter[str]:
    """Return the CPU seconds so far of the bare loop and its mail server."""
    return Counter({"loop": _seconds(psutil.Process(loop)), "mail server": _seconds(psutil.Process(sink))})


def between(before: Counter[str], after: Counter[str]) -> Counter[str]:
    """Return what each part used in between; sessions that ended meanwhile are left out."""
    return Counter({name: max(0.0, seconds - before[name]) for name, seconds in after.items()})


def words(spent: Counter[str], messages: int) -> str:
    """Return the CPU time of one of so many messages by part, in words."""
    micro = {name: seconds / messages * 1e6 for name, seconds in spent.most_common()}
    listed = ", ".join(f"{name} {one:.0f}" for name, one in micro.items())
    return f"CPU of a message: {sum(micro.values()):.0f} µs ({listed})"


def _seconds(process: psutil.Process) -> float:
    try:
        return sum(process.cpu_times()[:2])
    except psutil.NoSuchProcess:
        return 0.0
