"""Lines that name no customer: kept, so that they are counted and not lost."""

from __future__ import annotations

from collections.abc import Sequence

from services.kit.runtime import Runtime
from services.sales.domain import UnattributedLine
from services.sales.store import unattributed as store


def record_unattributed_lines(runtime: Runtime, lines: Sequence[UnattributedLine]) -> tuple[int, int]:
    """Keep lines, all or none; return how many were new and how many known by (source, external_id)."""
    with runtime.db.transaction() as connection:
        recorded = store.insert_new(connection, lines, runtime.clock.now())
    return recorded, len(lines) - recorded
