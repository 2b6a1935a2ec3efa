"""Ask the Python form of a trait about all contacts, batch by batch."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import Engine

from services.kit.plugins.answers import TraitAnswer
from services.kit.plugins.catalog import TraitRecord
from services.kit.plugins.errors import PluginTimeout
from services.kit.plugins.host import PluginHost
from services.kit.plugins.sql import next_contacts, read_profiles


def run_trait_batches(
    source: Engine,
    host: PluginHost,
    record: TraitRecord,
    *,
    now: datetime,
    size: int = 500,
    role: str | None = None,
    timeout: float = 3600.0,
) -> Iterator[list[TraitAnswer]]:
    """Ask the Python form of a trait about every contact and yield the answers of each batch, by contact id.

    source: an engine; the contacts of a batch are read in short transactions of their own, and none is open
    while the plugin works or the caller does. A contact that comes meanwhile may be left out. size: contacts
    in a batch. role: as for run_plugin_select. timeout: seconds for all of it, that of the caller between two
    batches included; the host's deadline is for each batch. Raises PluginError, even in the midst of the
    batches: throw away what came before.
    """
    deadline = time.monotonic() + timeout
    after = None
    while contact_ids := next_contacts(source, after, size, role=role):
        if time.monotonic() >= deadline:
            raise PluginTimeout(
                record.plugin, record.name, f"took longer than {timeout:g} s for all contacts"
            )
        profiles = read_profiles(source, contact_ids, record.events, now=now, role=role)
        yield host.compute(record.name, profiles, now)
        after = contact_ids[-1]
