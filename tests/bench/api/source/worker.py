"""The source's worker."""

from __future__ import annotations


class Worker:
    """Relay, and do nothing else."""

    name = "sales"
