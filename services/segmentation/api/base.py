"""What the methods of the servicer share."""

from __future__ import annotations

from services.segmentation.context import Service


class Methods:
    """Hold the service for the methods of one subject."""

    def __init__(self, service: Service) -> None:
        """Serve from the context of a process."""
        self._service = service
