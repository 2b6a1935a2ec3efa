"""Native threads for everything that blocks: gRPC, the database, a handler's body.

Blocking on the hub's thread would stop all handlers at once, so this is the only way off it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import eventlet
from eventlet import tpool

P = ParamSpec("P")
T = TypeVar("T")

_hub_thread: int | None = None
_ON_HUB = object()


def enable(threads: int) -> None:
    """Declare the calling thread the hub's, and set how many native threads there are."""
    global _hub_thread
    tpool.set_num_threads(threads)
    # Else its threads start with the first call, and stop the hub for as long as any thread is importing something.
    tpool.setup()
    _hub_thread = threading.get_ident()


def native(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function in a native thread while other greenlets run, and return or raise what it does.

    Off the hub's thread (in a native thread already, or in a test) it is an ordinary call.
    """
    if threading.get_ident() != _hub_thread:
        return function(*args, **kwargs)

    def body() -> Any:
        # tpool runs the call in place, on the hub, whenever any thread is importing something just then.
        if threading.get_ident() == _hub_thread:
            return _ON_HUB
        # An outcome that is wrapped cannot be taken for an exception, nor kill the thread as SystemExit
        # would.
        try:
            return (True, function(*args, **kwargs))
        except BaseException as error:
            return (False, error)

    while (outcome := tpool.execute(body)) is _ON_HUB:
        eventlet.sleep(0.001)
    succeeded, value = outcome
    if succeeded:
        result: T = value
        return result
    if isinstance(value, Exception):
        raise value
    raise RuntimeError(f"{function!r} ended its thread: {value!r}") from value
