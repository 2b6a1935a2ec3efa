"""file.lines: each message is one line, on disk before it counts, once, whoever writes and whatever is torn."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import rapport_builtin.file
from rapport_builtin.file import adapter as adapter_module
from rapport_sdk import OutboundMessage, Outcome
from rapport_testing import ChannelContract, assert_plugin_conforms
from rapport_testing.channels import Behaviour, Received

from services.kit.plugins import OpenChannel, PluginManager

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def environment(path: Path, **values: str) -> dict[str, str]:
    return {f"RAPPORT_PLUGIN_FILE_{name}": value for name, value in {"PATH": str(path), **values}.items()}


def open_channel(path: Path, **values: str) -> OpenChannel:
    manager = PluginManager(["file"], environment=environment(path, **values))
    manager.load()
    return manager.open_channel("file.lines")


def batch(*numbers: int, text: str = "Hello") -> list[OutboundMessage]:
    return [OutboundMessage(message_id=f"m{number}", to="a@b.test", text=text) for number in numbers]


def send(path: Path, *numbers: int, **values: str) -> list[Outcome]:
    channel = open_channel(path, **values)
    try:
        return [result.outcome for result in channel.send(batch(*numbers), now=NOW)]
    finally:
        channel.close()


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []


def written(path: Path) -> Counter[str]:
    """Count the ids in all files."""
    files = [path, *(item for item in path.parent.glob(f"{path.name}.*") if item.suffix[1:].isdigit())]
    return Counter(line["message_id"] for file in files for line in lines(file))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "messages.jsonl"


class Disk:
    """Stand in for a provider: the file, and a disk that is full on command."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def behave(self, behaviour: Behaviour, to: str | None = None) -> None:
        raise NotImplementedError("a file takes all or nothing")

    def received(self) -> list[Received]:
        return [
            Received(line["message_id"], line["to"], line["text"], line["text"].encode())
            for line in lines(self.path)
        ]

    def stop(self) -> None:
        self.path.rename(self.path.with_suffix(".away"))
        self.path.mkdir()

    def start(self) -> None:
        self.path.rmdir()
        self.path.with_suffix(".away").rename(self.path)


class TestContract(ChannelContract):
    @pytest.fixture
    def channel_name(self) -> str:
        return "file.lines"

    @pytest.fixture
    def channel_server(self, path: Path) -> Disk:
        return Disk(path)

    @pytest.fixture
    def channel_environment(self, path: Path) -> Mapping[str, str]:
        return environment(path)

    # There is no connection that could be lost, and no recipient that could be refused: what can go wrong is a write,
    # at its beginning, in its midst or at its end, and then the whole batch is temporary.
    @pytest.fixture(params=["write", "half", "fsync"])
    def broken(self, request: pytest.FixtureRequest) -> Any:
        write = os.write

        def half(file: int, data: bytes) -> int:
            return write(file, data[:10]) if len(data) > 10 and not wrote else fail()

        def fail(*_: object) -> int:
            raise OSError(28, "No space left on device")

        wrote: list[int] = []

        def once(file: int, data: bytes) -> int:
            if wrote:
                fail()
            wrote.append(half(file, data))
            return wrote[0]

        name = "fsync" if request.param == "fsync" else "write"
        return patch.object(adapter_module.os, name, once if request.param == "half" else fail)

    def test_every_attempt_carries_the_same_id(
        self, open_channel: OpenChannel, channel_server: Disk, broken: Any
    ) -> None:
        message = self.message(self.addresses[0], "m0")
        with broken:
            assert self.outcomes(open_channel, message) == [Outcome.TEMPORARY]
        assert channel_server.received() == []
        assert self.outcomes(open_channel, message) == [Outcome.ACCEPTED]
        assert [item.message_id for item in channel_server.received()] == ["m0"]

    def test_a_refused_message_does_not_change_the_others(  # type: ignore[override]
        self, open_channel: OpenChannel, channel_server: Disk, broken: Any
    ) -> None:
        first, second, third = self.batch()
        assert self.outcomes(open_channel, first) == [Outcome.ACCEPTED]
        with broken:
            results = open_channel.send([second, third], now=NOW)
        assert [result.outcome for result in results] == [Outcome.TEMPORARY] * 2
        assert all("No space left" in result.reason for result in results)
        assert [item.message_id for item in channel_server.received()] == ["m0"]

    def test_connection_lost_before_handing_over_is_temporary(  # type: ignore[override]
        self, open_channel: OpenChannel, channel_server: Disk
    ) -> None:
        channel_server.path.parent.write_text("a file where the folder belongs")
        assert self.outcomes(open_channel, self.batch()[0]) == [Outcome.TEMPORARY]

    def test_connection_lost_after_handing_over_is_unknown(  # type: ignore[override]
        self, open_channel: OpenChannel, channel_server: Disk
    ) -> None:
        # The writer died after its line was on disk and before it could answer: the next attempt writes none.
        assert self.outcomes(open_channel, self.batch()[0]) == [Outcome.ACCEPTED]
        assert self.outcomes(open_channel, *self.batch()) == [Outcome.ACCEPTED] * 3
        assert [item.message_id for item in channel_server.received()] == ["m0", "m1", "m2"]


def test_plugin_conforms() -> None:
    assert assert_plugin_conforms(rapport_builtin.file, "file").name == "file"


def test_an_id_is_written_once_across_restarts_batches_and_files(path: Path) -> None:
    assert send(path, 1, 2, 2) == [Outcome.ACCEPTED] * 3
    assert send(path, 2, 3, MAX_BYTES="1") == [Outcome.ACCEPTED] * 2
    assert send(path, 1, 2, 3, 4, MAX_BYTES="1") == [Outcome.ACCEPTED] * 4
    assert written(path) == {"m1": 1, "m2": 1, "m3": 1, "m4": 1}
    assert [line["message_id"] for line in lines(Path(f"{path}.1"))] == ["m1", "m2"]
    assert [line["message_id"] for line in lines(Path(f"{path}.2"))] == ["m3"]
    assert [line["message_id"] for line in lines(path)] == ["m4"]


def test_the_index_follows_from_the_files(path: Path) -> None:
    send(path, 1)
    send(path, 2, MAX_BYTES="1")
    index = Path(f"{path}.ids")
    index.unlink()
    assert send(path, 1, 2, 3) == [Outcome.ACCEPTED] * 3
    index.write_bytes(b"this is no table, and longer than the hundred bytes that a header has" * 20)
    assert send(path, 1, 2, 3, 4) == [Outcome.ACCEPTED] * 4
    assert written(path) == {"m1": 1, "m2": 1, "m3": 1, "m4": 1}


def test_an_index_that_breaks_while_it_is_open_is_made_anew(path: Path) -> None:
    channel = open_channel(path)
    channel.send(batch(1), now=NOW)
    table = sqlite3.connect(f"{path}.ids")
    table.execute("DROP TABLE written")
    table.close()
    [broken] = channel.send(batch(2), now=NOW)
    assert broken.outcome is Outcome.TEMPORARY
    assert "no such table" in broken.reason
    assert [item.outcome for item in channel.send(batch(1, 2), now=NOW)] == [Outcome.ACCEPTED] * 2
    channel.close()
    assert written(path) == {"m1": 1, "m2": 1}


@pytest.mark.parametrize("torn", [b"{", b'{"message_id": "m2", "te', b"x" * 200_000])
def test_a_torn_last_line_goes(path: Path, torn: bytes) -> None:
    send(path, 1)
    with path.open("ab") as file:
        file.write(torn)
    assert send(path, 2) == [Outcome.ACCEPTED]
    assert [line["message_id"] for line in lines(path)] == ["m1", "m2"]


def test_a_line_of_a_writer_that_died_before_its_index_is_known(path: Path) -> None:
    channel = open_channel(path)
    channel.send(batch(1), now=NOW)
    [line] = path.read_bytes().splitlines(keepends=True)
    with path.open("ab") as file:
        file.write(line.replace(b'"m1"', b'"m2"'))
    assert [item.outcome for item in channel.send(batch(2, 3), now=NOW)] == [Outcome.ACCEPTED] * 2
    channel.close()
    assert written(path) == {"m1": 1, "m2": 1, "m3": 1}


_WRITER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from rapport_builtin.file.adapter import FileAdapter
from rapport_sdk import ChannelContext, OutboundMessage, Outcome
settings = {"path": sys.argv[1], "max_bytes": 4000}
adapter = FileAdapter(settings)
for start in range(0, 60, 3):
    batch = [OutboundMessage(message_id=f"m{number}", to="a@b.test", text="x") for number in range(start, start + 3)]
    results = adapter.send(batch, ChannelContext(datetime(2026, 1, 1, tzinfo=UTC), settings))
    assert {result.outcome for result in results} == {Outcome.ACCEPTED}
"""


def test_processes_that_write_the_same_at_once_write_each_once(path: Path) -> None:
    command = [sys.executable, "-c", _WRITER, str(path)]
    running = [subprocess.Popen(command) for _ in range(3)]
    assert [process.wait(120) for process in running] == [0, 0, 0]
    assert written(path) == {f"m{number}": 1 for number in range(60)}
    assert Path(f"{path}.1").exists()
