"""Errors of the supervisor."""

from __future__ import annotations


class SupervisorError(Exception):
    """Says which process or folder failed, why, and what to do about it."""


class StopRequested(KeyboardInterrupt):
    """Raised in the main thread when a signal asks the whole stack to stop."""
