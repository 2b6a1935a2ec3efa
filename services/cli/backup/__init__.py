"""`rapport backup`: make and check backups, keep the list of erased people, and release sending after a restore."""

from __future__ import annotations

from services.cli.backup.commands import app

__all__ = ["app"]
