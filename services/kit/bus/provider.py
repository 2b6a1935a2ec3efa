"""The process's runtime, injected into nameko services."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nameko.extensions import DependencyProvider

from services.kit.bus.host import CONFIG_KEY

if TYPE_CHECKING:
    from services.kit.runtime import Runtime


class RuntimeProvider(DependencyProvider):  # type: ignore[misc]
    """Give a worker its runtime: `runtime = RuntimeProvider()` in the class, then `self.runtime.db`."""

    if TYPE_CHECKING:

        def __get__(self, instance: object, owner: type) -> Runtime: ...

    def get_dependency(self, worker_ctx: Any) -> Runtime:
        """Return the runtime of this process."""
        runtime: Runtime = self.container.config[CONFIG_KEY].runtime
        return runtime
