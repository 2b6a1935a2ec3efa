"""`rapport restore`: bring a backup back."""

from __future__ import annotations

from services.cli.backup.commands import restore

__all__ = ["restore"]
