"""The web process: `rapport run campaign web`.

It answers the links of messages, which anybody can reach: put it behind a reverse proxy that has the certificate.
Any number may run. The reports of providers are read by the plugins of their channels, so it is expendable like a
sender: when a plugin hangs, the process ends with status 75, and whoever started it starts it again.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
import threading
from collections.abc import Sequence

import uvicorn
from rapport_sdk import CallbackRequest, DeliveryReport
from sqlalchemy.exc import OperationalError

from services.campaign.usecases.hits import HitBuffer
from services.campaign.web_connections import Impatient
from services.campaign.webapp import WebApp
from services.kit import log, revisions
from services.kit.config import Settings, load_settings
from services.kit.errors import FailedPrecondition, RapportError, Unavailable
from services.kit.metrics import MetricsServer
from services.kit.parent import watch_parent
from services.kit.plugins import OpenChannel, PluginManager
from services.kit.plugins.metrics import note_plugins
from services.kit.runtime import Runtime, make_runtime
from services.kit.setting_names import warn_of_stray_settings
from services.kit.stop import StopSignal

STUCK = 75
"""Exit status of a process whose plugin hung."""

DEADLINE_SECONDS = 60.0
_TURN_SECONDS = 5.0
_CONNECTIONS = 1_000
_KEEP_ALIVE_SECONDS = 5
_HEADER_BYTES = 16 << 10

_log = log.get_logger("web")


class PluginCallbacks:
    """Read reports with the plugins' adapters, one at a time for each channel, as these demand."""

    def __init__(self, runtime: Runtime, manager: PluginManager, deadline: float = DEADLINE_SECONDS) -> None:
        self._runtime = runtime
        self._manager = manager
        self._deadline = deadline
        self._turns = {name: threading.Lock() for name in manager.catalog.channels}
        self._open: dict[str, OpenChannel] = {}

    def accepts(self, channel: str) -> bool:
        """Say whether a channel understands reports."""
        record = self._manager.catalog.channels.get(channel)
        return record is not None and record.callbacks

    def parse(self, channel: str, request: CallbackRequest) -> list[DeliveryReport]:
        """Return the reports; raises PluginError when they cannot be read, Unavailable when others take too long."""
        turn = self._turns[channel]
        if not turn.acquire(timeout=_TURN_SECONDS):
            raise Unavailable(f"{channel} is busy with other reports", reason="CHANNEL_BUSY")
        # No deadline of a thread can be enforced but by the end of its process.
        end = threading.Timer(self._deadline, self._give_up, [channel])
        end.daemon = True
        end.start()
        try:
            found = self._open.get(channel) or self._manager.open_channel(channel)
            self._open[channel] = found
            return found.parse_callback(request, now=self._runtime.clock.now())
        finally:
            end.cancel()
            turn.release()

    def close(self) -> None:
        """Close the channels."""
        for channel in self._open.values():
            channel.close()

    def _give_up(self, channel: str) -> None:
        sys.stderr.write(f"campaign web: {channel} reads a report for {self._deadline:.0f} s, ending\n")
        sys.stderr.flush()
        os._exit(STUCK)


class WebProcess:
    """Serve the pages, with health and metrics on a port of their own, until `stop`."""

    def __init__(
        self,
        runtime: Runtime,
        manager: PluginManager,
        *,
        port: int | None = None,
        metrics_port: int | None = None,
    ) -> None:
        """Describe it; ports: None for those of the settings, 0 for free ones."""
        settings = runtime.settings
        self._grace = settings.shutdown_grace_seconds
        self.hits = HitBuffer(runtime)
        self._callbacks = PluginCallbacks(runtime, manager)
        self._app = WebApp(runtime, self.hits, self._callbacks)
        self._host = settings.web_host
        self._socket_port = settings.web_port if port is None else port
        metrics = settings.metrics_port("campaign", "web") if metrics_port is None else metrics_port
        self._metrics = MetricsServer(settings.host, metrics, self._healthy)
        self.metrics_port = self._metrics.port
        self._server = uvicorn.Server(
            uvicorn.Config(
                self._app.asgi,
                host=self._host,
                port=self._socket_port,
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=bool(settings.web_proxies),
                forwarded_allow_ips=list(settings.web_proxies),
                limit_concurrency=_CONNECTIONS,
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
                h11_max_incomplete_event_size=_HEADER_BYTES,
                timeout_graceful_shutdown=max(1, int(self._grace)),
                http=Impatient,
                ws="none",
            )
        )
        self._thread = threading.Thread(target=self._serve, name="web", daemon=True)
        self.port = 0

    def start(self) -> None:
        """Serve; raises FailedPrecondition (PORT_IN_USE)."""
        try:
            family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
            listening = socket.create_server((self._host, self._socket_port), family=family, backlog=512)
            # Sockets made this way name no protocol, and asyncio leaves Nagle's delay on: 40 ms for each answer
            # with a body.
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            self._metrics.stop()
            raise FailedPrecondition(
                f"cannot answer links on {self._host}:{self._socket_port}: {error.strerror or error}; "
                "stop the process that uses the port, or set RAPPORT_BASE_PORT or RAPPORT_WEB_HOST",
                reason="PORT_IN_USE",
            ) from error
        self.port = listening.getsockname()[1]
        self._listening = listening
        self._metrics.start()
        self.hits.start()
        self._thread.start()

    def stop(self) -> None:
        """Take no more, answer what is under way within the grace, and write what was seen."""
        self._server.should_exit = True
        self._thread.join(self._grace + 2)
        self.hits.stop(self._grace)
        self._callbacks.close()
        self._metrics.stop()

    def _serve(self) -> None:
        # Not in the main thread, so signals stay with `run`.
        self._server.run(sockets=[self._listening])

    def _healthy(self) -> bool:
        """Say whether pages are answered; links with an address of their own and pixels need no database."""
        return self._server.started and not self._server.should_exit


def run(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT. Returns the exit status."""
    stop = StopSignal()
    runtime = make_runtime("campaign", "web", settings)
    try:
        revisions.require_current("services.campaign", runtime.db.engine)
        manager = PluginManager(settings.plugins_allow, settings.plugins_required, dict(os.environ))
        note_plugins(manager.load())
        process = WebProcess(runtime, manager)
        process.start()
        _log.info("serving", port=process.port, metrics_port=process.metrics_port)
        stop.wait()
        _log.info("stopping", grace_seconds=settings.shutdown_grace_seconds)
        process.stop()
        _log.info("stopped")
    finally:
        runtime.close()
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the web process from the command line; settings come from the environment."""
    argparse.ArgumentParser(
        prog="python -m services.campaign.web", description="Answer the links of messages."
    ).parse_args(arguments)
    try:
        settings = load_settings()
        log.configure(settings.log_level, settings.log_format, service="campaign", role="web")
        warn_of_stray_settings()
        watch_parent(settings.shutdown_grace_seconds + 5)
        return run(settings)
    except OperationalError as error:
        sys.stderr.write(f"campaign web: cannot reach the database: {log.safe_summary(error)}\n")
        return 1
    except RapportError as error:
        sys.stderr.write(f"campaign web: {error.message}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
