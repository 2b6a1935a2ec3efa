"""Requests over kept connections to checked addresses, bounded in time and size."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import SplitResult, urljoin

import httpcore

from rapport_builtin.web.targets import TargetRefused, Targets, TargetUnknown

_MOST_HOPS = 3
_IDLE_SECONDS = 30.0
_PORTS = {"http": 80, "https": 443}


class NotSent(Exception):
    """Say why the server certainly did not get the request."""


class Lost(Exception):
    """Say why it is not known whether the server acted on the request."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Hold what a server answered: status, headers by lower-case name, and the beginning of the body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class WebClient:
    """Send requests; used by one thread at a time.

    Redirects that keep method and body (307, 308) are followed by hand, three at most, each to an address that is
    checked like the first. TLS verifies the name in the URL, though the connection goes to a resolved address.
    seconds: for all of a request, its redirects included. most_bytes: what is read of an answer.
    """

    def __init__(self, targets: Targets, *, seconds: float, most_bytes: int, ca_file: str = "") -> None:
        self._targets = targets
        self._seconds = seconds
        self._most_bytes = most_bytes
        self._backend = _Backend(targets)
        self._tls = _context(ca_file)
        self._pool = self._new_pool()

    def request(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send a request and return the answer; raises TargetRefused, NotSent or Lost."""
        self._backend.deadline = time.monotonic() + self._seconds
        parts = self._targets.parse(url)
        for _ in range(_MOST_HOPS + 1):
            answer = self._once(method, parts, headers, body)
            location = answer.headers.get("location", "")
            if answer.status not in (307, 308) or not location:
                return answer
            following = self._targets.parse(urljoin(parts.geturl(), location))
            if parts.scheme == "https" and following.scheme != "https":
                raise TargetRefused("the server redirects from https to http")
            parts = following
        raise TargetRefused(f"more than {_MOST_HOPS} redirects")

    def close(self) -> None:
        """Close all connections; requests open new ones."""
        self._pool.close()
        self._pool = self._new_pool()

    def _new_pool(self) -> httpcore.ConnectionPool:
        return httpcore.ConnectionPool(
            ssl_context=self._tls,
            max_connections=8,
            keepalive_expiry=_IDLE_SECONDS,
            http1=True,
            http2=False,
            network_backend=self._backend,
        )

    def _once(self, method: str, parts: SplitResult, headers: Mapping[str, str], body: bytes) -> Answer:
        sent: list[str] = []

        def trace(name: str, _info: Mapping[str, Any]) -> None:
            # From here on the server may have all of the request.
            if name == "http11.send_request_body.started":
                sent.append(name)

        port = parts.port or _PORTS[parts.scheme]
        host = parts.hostname or ""
        shown = f"[{host}]" if ":" in host else host
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        given = {
            "Host": shown if port == _PORTS[parts.scheme] else f"{shown}:{port}",
            "Content-Length": str(len(body)),
            "Accept-Encoding": "identity",
            "User-Agent": "Rapport",
            **headers,
        }
        left = self._backend.deadline - time.monotonic()
        timeout = {"connect": left, "read": left, "write": left, "pool": left}
        url = httpcore.URL(
            scheme=parts.scheme.encode(), host=host.encode(), port=port, target=target.encode()
        )
        try:
            if left <= 0:
                raise httpcore.ConnectTimeout("no time is left")
            with self._pool.stream(
                method,
                url,
                headers=list(given.items()),
                content=body,
                extensions={"timeout": timeout, "trace": trace},
            ) as response:
                found = {
                    name.decode("latin-1").lower(): value.decode("latin-1")
                    for name, value in response.headers
                }
                return Answer(response.status, found, self._beginning(response.iter_stream()))
        except (TargetRefused, TargetUnknown) as error:
            if isinstance(error, TargetRefused):
                raise
            raise NotSent(str(error)) from error
        except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, OSError) as error:
            text = f"{parts.hostname}: {type(error).__name__}: {error}"[:300]
            if sent:
                raise Lost(f"connection lost before the answer: {text}") from error
            raise NotSent(text) from error

    def _beginning(self, chunks: Iterable[bytes]) -> bytes:
        """Read as much of a body as is wanted; the status has come already, so what goes wrong changes nothing."""
        body = b""
        with suppress(httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError):
            for chunk in chunks:
                body += chunk
                if len(body) >= self._most_bytes:
                    break
        return body[: self._most_bytes]


@lru_cache(maxsize=8)
def _context(ca_file: str) -> ssl.SSLContext:
    # Reading the authorities takes longer than many requests.
    return ssl.create_default_context(cafile=ca_file or None)


class _Backend(httpcore.NetworkBackend):
    """Connect to the address that was checked, and let no read or write outlast the request."""

    def __init__(self, targets: Targets) -> None:
        self._targets = targets
        self._inner = httpcore.SyncBackend()
        self.deadline = 0.0

    def left(self, timeout: float | None) -> float:
        """Return the seconds that an operation may take."""
        left = self.deadline - time.monotonic()
        return max(0.001, left if timeout is None else min(timeout, left))

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Resolve, check, and connect to one of the very addresses that were checked."""
        problem: Exception | None = None
        for address in self._targets.resolve(host, port, self.left(timeout)):
            try:
                stream = self._inner.connect_tcp(address, port, self.left(timeout), None, socket_options)
                return _Stream(stream, self)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                problem = error
        assert problem is not None, "at least one address is tried"
        raise problem

    def sleep(self, seconds: float) -> None:
        """Wait between attempts, which are not made."""
        raise NotImplementedError


class _Stream(httpcore.NetworkStream):
    def __init__(self, inner: httpcore.NetworkStream, backend: _Backend) -> None:
        self._inner = inner
        self._backend = backend

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self._backend.deadline <= time.monotonic():
            # A server that sends a byte now and then would never meet a limit of each read.
            raise httpcore.ReadTimeout("the answer took too long")
        return self._inner.read(max_bytes, self._backend.left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, self._backend.left(timeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        tls = self._inner.start_tls(ssl_context, server_hostname, self._backend.left(timeout))
        return _Stream(tls, self._backend)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)
