"""Append messages to a file, each once, whoever else appends to it."""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rapport_sdk import (
    CallbackRequest,
    ChannelContext,
    DeliveryReport,
    OutboundMessage,
    Outcome,
    SendResult,
    Settings,
)

from rapport_builtin.file.index import Index


class FileAdapter:
    """Implement rapport_sdk.ChannelAdapter for a file of JSON lines.

    Any number of processes may append: each holds a lock on `<path>.lock` while it does. Full files are called
    `<path>.1`, `<path>.2`, …, the oldest first, and none is ever deleted. `<path>.ids` holds the ids of all of them, so
    that none is written again; it follows from the files and may be deleted.
    """

    def __init__(self, settings: Settings) -> None:
        self._path = Path(settings["path"]).absolute()
        self._most = settings["max_bytes"]
        if self._most < 0:
            raise ValueError("max_bytes must not be negative")
        self._index: Index | None = None

    def send(self, batch: Sequence[OutboundMessage], ctx: ChannelContext) -> list[SendResult]:
        """Append the batch with one write, and answer once it is on disk.

        Outcomes: accepted, also for an id that is there already; temporary for all when the file cannot be written,
        such as on a full disk, and nothing of the batch is in it then.
        """
        if not batch:
            return []
        try:
            with self._locked() as index:
                known = index.known({message.message_id for message in batch})
                fresh = {item.message_id: item for item in batch if item.message_id not in known}
                if fresh:
                    self._append(b"".join(_line(item, ctx) for item in fresh.values()))
        except (OSError, sqlite3.Error) as error:
            # The next attempt opens the index anew, and makes it anew when it is broken.
            self.close()
            reason = f"{self._path} cannot be written: {getattr(error, 'strerror', None) or error}"
            return [SendResult(Outcome.TEMPORARY, reason=reason)] * len(batch)
        return [SendResult(Outcome.ACCEPTED, item.message_id) for item in batch]

    def parse_callback(self, request: CallbackRequest, ctx: ChannelContext) -> list[DeliveryReport]:
        """Return nothing: a file reports nothing."""
        return []

    def close(self) -> None:
        """Close the index."""
        index, self._index = self._index, None
        if index is not None:
            index.close()

    @contextmanager
    def _locked(self) -> Iterator[Index]:
        """Keep others from the file, which ends with a whole line and is not full, and whose ids are all known."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            _cut_torn_line(self._path)
            if self._index is None:
                self._index = Index(self._path)
            self._index.catch_up()
            if self._most and self._path.exists() and self._path.stat().st_size >= self._most:
                self._index.rotate()
            yield self._index
        finally:
            os.close(lock)

    def _append(self, data: bytes) -> None:
        new = not self._path.exists()
        file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            before = os.fstat(file).st_size
            try:
                rest = memoryview(data)
                while rest:
                    rest = rest[os.write(file, rest) :]
                os.fsync(file)
            except OSError:
                # What is in the file counts as sent, so nothing of it may stay.
                os.ftruncate(file, before)
                raise
        finally:
            os.close(file)
        if new:
            _sync_folder(self._path.parent)


def _line(message: OutboundMessage, ctx: ChannelContext) -> bytes:
    content = {
        # First, so that the index finds it without reading the rest.
        "message_id": message.message_id,
        "time": ctx.now.isoformat(),
        "to": message.to,
        "to_name": message.to_name,
        "subject": message.subject,
        "text": message.text,
        "html": message.html,
        "from_address": message.from_address,
        "from_name": message.from_name,
        "reply_to": message.reply_to,
        "bounce_address": message.bounce_address,
        "headers": dict(message.headers),
        "contact_id": message.contact_id,
        "campaign": message.campaign,
    }
    return json.dumps(content).encode("ascii") + b"\n"


def _cut_torn_line(path: Path) -> None:
    """Remove a last line without an end: its writer died before it answered."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        end = os.fstat(file).st_size
        while end:
            start = max(0, end - 65536)
            piece = os.pread(file, end - start, start)
            if (found := piece.rfind(b"\n")) >= 0:
                end = start + found + 1
                break
            end = start
        if end < os.fstat(file).st_size:
            os.ftruncate(file, end)
            os.fsync(file)
    finally:
        os.close(file)


def _sync_folder(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
