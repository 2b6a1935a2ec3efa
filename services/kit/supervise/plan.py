"""The order in which processes start and stop."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from services.kit.supervise.errors import SupervisorError
from services.kit.supervise.spec import ProcessSpec


def check_plan(specs: Sequence[ProcessSpec], running: Collection[str] = ()) -> None:
    """Raise SupervisorError for bad or repeated names, shared ports, unknown or circular dependencies."""
    names: set[str] = set(running)
    for spec in specs:
        if not re.fullmatch(r"[a-z0-9][a-z0-9_.-]*", spec.name) or spec.name == "supervisor":
            raise SupervisorError(
                f"{spec.name!r} cannot name a process: use small letters, digits, - _ and ."
            )
        if spec.name in names:
            raise SupervisorError(f"two processes are called {spec.name!r}")
        if not spec.argv:
            raise SupervisorError(f"{spec.name} has no command")
        names.add(spec.name)
    ports: dict[int, str] = {}
    for spec in specs:
        for name in spec.after:
            if name not in names:
                raise SupervisorError(f"{spec.name} starts after {name!r}, which is not there")
        for use in spec.ports:
            if use.port in ports:
                raise SupervisorError(
                    f"{spec.name} and {ports[use.port]} are both to use port {use.port}; change {use.setting}"
                )
            ports[use.port] = spec.name
    waves(specs)


def waves(specs: Sequence[ProcessSpec]) -> list[list[str]]:
    """Return the names in groups: each group depends only on earlier ones. SupervisorError names a circle."""
    left = {spec.name: set(spec.after) for spec in specs}
    for needs in left.values():
        needs &= set(left)
    groups: list[list[str]] = []
    while left:
        free = [name for name, needs in left.items() if not needs]
        if not free:
            raise SupervisorError(f"these processes wait for each other: {', '.join(left)}")
        groups.append(free)
        for name in free:
            del left[name]
        for needs in left.values():
            needs.difference_update(free)
    return groups


def stop_order(specs: Sequence[ProcessSpec]) -> list[list[str]]:
    """Return the groups in which to stop: the reverse of starting, within a group too."""
    return [list(reversed(group)) for group in reversed(waves(specs))]
