"""Encrypted channels whose certificates may change while a client lives."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import grpc

_LOOK_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Tls:
    """Name the PEM files by which a client checks servers and shows itself.

    ca: who signs the servers' certificates, None for the system's roots; certificate, key: the client's own, both or
    neither, for servers that demand one.
    """

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("a client's certificate needs its key, and a key its certificate")


class ChannelSecurity:
    """Make the credentials of channels, and tell when the files have changed, so that channels must be made anew."""

    def __init__(self, tls: Tls | None, roots: bytes | None) -> None:
        """tls: the files, None for the clear unless `roots` are given; roots: PEM bytes in place of `tls.ca`."""
        self._tls = tls
        self._roots = roots
        self._seen = self._signature()
        self._next_look = time.monotonic() + _LOOK_SECONDS

    def credentials(self) -> grpc.ChannelCredentials | None:
        """Return what a new channel needs, None for one in the clear; raises OSError when a file cannot be read."""
        if self._tls is None:
            return None if self._roots is None else grpc.ssl_channel_credentials(self._roots)
        return grpc.ssl_channel_credentials(
            self._roots or _read(self._tls.ca), _read(self._tls.key), _read(self._tls.certificate)
        )

    def changed(self) -> bool:
        """Tell, once, whether the files are others than those that channels were made with."""
        if self._tls is None or time.monotonic() < self._next_look:
            return False
        self._next_look = time.monotonic() + _LOOK_SECONDS
        present = self._signature()
        if present == self._seen or None in present:
            return False
        self._seen = present
        return True

    def _signature(self) -> tuple[tuple[int, int, int] | None, ...]:
        found: list[tuple[int, int, int] | None] = []
        files = () if self._tls is None else (self._tls.ca, self._tls.certificate, self._tls.key)
        for path in files:
            if path is None:
                continue
            try:
                status = path.stat()
            except OSError:
                found.append(None)
            else:
                found.append((status.st_mtime_ns, status.st_ino, status.st_size))
        return tuple(found)


def _read(path: Path | None) -> bytes | None:
    return None if path is None else path.read_bytes()
