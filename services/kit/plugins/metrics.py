"""What Prometheus learns of plugins."""

from __future__ import annotations

from prometheus_client import Gauge

from services.kit.plugins.catalog import Catalog

QUARANTINED = Gauge(
    "rapport_plugin_quarantined",
    "1 for a plugin that this process wanted to load and could not, 0 for one that it loaded.",
    ["plugin"],
)


def note_plugins(catalog: Catalog) -> None:
    """Show which plugins are quarantined; those that are not allowed are none of this process's."""
    for record in catalog.plugins:
        if record.state != "not_allowed":
            QUARANTINED.labels(record.name).set(record.state == "quarantined")
