"""How the database connections of this process are used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from weakref import WeakSet

from prometheus_client import REGISTRY
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import Engine, QueuePool


class Pools(Collector):
    """Show the pools of engines, summed up, for as long as they live."""

    def __init__(self) -> None:
        self._engines: WeakSet[Engine] = WeakSet()

    def watch(self, engine: Engine) -> None:
        """Count the connections of an engine too."""
        self._engines.add(engine)

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Return the metrics without their values."""
        return self.collect()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield how many connections there are, and may be."""
        pools = [engine.pool for engine in list(self._engines) if isinstance(engine.pool, QueuePool)]
        used = GaugeMetricFamily(
            "rapport_database_pool_connections", "Open database connections, by their use.", labels=["state"]
        )
        used.add_metric(["in_use"], sum(pool.checkedout() for pool in pools))
        used.add_metric(["idle"], sum(pool.checkedin() for pool in pools))
        yield used
        yield GaugeMetricFamily(
            "rapport_database_pool_size",
            "Database connections that this process may have.",
            value=sum(pool.size() for pool in pools),
        )


POOLS = Pools()
REGISTRY.register(POOLS)
