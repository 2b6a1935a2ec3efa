"""The worker's health and metrics page, served on the hub: a hub that does not turn does not answer."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable
from typing import Any

import eventlet
from eventlet import wsgi
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from services.kit.bus.native import native
from services.kit.errors import FailedPrecondition

_log = logging.getLogger(__name__)


class StatusPage:
    """Serve `/healthz` and `/metrics`.

    The former answers 200 when ready, else 503, with JSON of what each entrypoint does; the latter is for
    Prometheus.
    """

    def __init__(
        self, host: str, port: int, ready: Callable[[], bool], status: Callable[[], dict[str, str]]
    ) -> None:
        self._ready = ready
        self._status = status
        try:
            self._socket = eventlet.listen((host, port), reuse_port=False)
        except OSError as error:
            raise FailedPrecondition(
                f"cannot listen on {host}:{port} for health and metrics: {error.strerror}; "
                "stop the process that has the port, or set RAPPORT_BASE_PORT",
                reason="PORT_IN_USE",
            ) from error
        self._greenlet = eventlet.spawn(
            wsgi.server, self._socket, self._answer, log=_log, log_output=False, keepalive=False, debug=False
        )

    @property
    def port(self) -> int:
        """Return the port that is served."""
        port: int = self._socket.getsockname()[1]
        return port

    def close(self) -> None:
        """Serve no more."""
        self._greenlet.kill()
        self._socket.close()

    def _answer(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        match environ["PATH_INFO"]:
            case "/healthz":
                ready = self._ready()
                body = json.dumps({"ready": ready, "entrypoints": self._status()}, sort_keys=True).encode()
                start_response(
                    "200 OK" if ready else "503 Service Unavailable", [("Content-Type", "application/json")]
                )
            case "/metrics":
                body = native(generate_latest)
                start_response("200 OK", [("Content-Type", CONTENT_TYPE_LATEST)])
            case _:
                body = b"/healthz or /metrics\n"
                start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [body]
