"""Which consumers a service has, as its worker declares them."""

from __future__ import annotations

import importlib
from dataclasses import dataclass

from nameko.extensions import ENTRYPOINT_EXTENSIONS_ATTR

from services.kit.bus.subscriptions import Subscription
from services.kit.revisions import package_of


@dataclass(frozen=True, slots=True)
class Consumer:
    """Name a consumer, `<service>.<method>`, its source, and the types of events that it takes; none: all."""

    name: str
    source: str
    types: tuple[str, ...]


def consumers(service: str) -> list[Consumer]:
    """Return the consumers of a service, by name."""
    worker = importlib.import_module(f"{package_of(service)}.worker").Worker
    found = [
        Consumer(f"{service}.{name}", entrypoint.source, entrypoint.types)
        for name in dir(worker)
        for entrypoint in getattr(getattr(worker, name), ENTRYPOINT_EXTENSIONS_ATTR, ())
        if isinstance(entrypoint, Subscription)
    ]
    return sorted(found, key=lambda consumer: consumer.name)
