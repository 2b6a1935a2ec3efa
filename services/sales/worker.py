"""The worker of sales.

Sales follows nobody: orders, returns and payments come in over its API, and nothing in it falls due by time.
Its worker carries the outbox to the event stream, which the kit does for every worker; so the class holds the
runtime only.
"""

from __future__ import annotations

from services.kit.bus import RuntimeProvider


class Worker:
    """Run the relay of the event stream."""

    name = "sales"
    runtime = RuntimeProvider()
