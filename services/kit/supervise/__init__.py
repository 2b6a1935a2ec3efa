"""Keeps processes: start in order, wait until healthy, restart, log, stop, leave nothing behind."""

from services.kit.supervise.errors import StopRequested, SupervisorError
from services.kit.supervise.events import Event, EventKind
from services.kit.supervise.spec import PortUse, ProcessSpec, Resource

__all__ = ["Event", "EventKind", "PortUse", "ProcessSpec", "Resource", "StopRequested", "SupervisorError"]
