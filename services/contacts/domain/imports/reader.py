"""Reading CSV (RFC 4180, UTF-8, optionally gzip) from pieces of bytes, row by row, with exact places."""

from __future__ import annotations

import csv
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from services.contacts.domain.imports.errors import LONGEST_ROW, FileRefused

_BOM = b"\xef\xbb\xbf"
_GZIP = b"\x1f\x8b"
_INFLATED = 1 << 20
LONGEST_LINE = 1 << 20


@dataclass(frozen=True, slots=True)
class Place:
    """Hold where the next row begins: its offset in the uncompressed file, and the lines before it."""

    offset: int = 0
    lines: int = 0


START = Place()


@dataclass(slots=True)
class Row:
    """Hold a row: the line where it starts, its cells, the lines it consists of, and what is wrong with it."""

    line: int
    cells: list[str]
    parts: tuple[str, ...] = ()
    problem: str = ""

    @property
    def raw(self) -> str:
        """Return the row as it stands in the file, without its last line break, cut at 10,000 characters."""
        return "".join(self.parts).rstrip("\r\n").replace("\0", "\ufffd")[:LONGEST_ROW]


def inflate(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield a file's bytes, unpacked when it is gzip (one or several members), in pieces of at most 1 MiB.

    Raises FileRefused when the compression is damaged or cut off.
    """
    pieces = iter(pieces)
    head = b""
    for piece in pieces:
        head += piece
        if len(head) >= 2:
            break
    if head[:2] != _GZIP:
        if head:
            yield head
        yield from pieces
        return
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
    rest: bytes = head
    try:
        while True:
            while rest:
                data = unpacker.decompress(rest, _INFLATED)
                if data:
                    yield data
                rest = unpacker.unconsumed_tail
                if unpacker.eof:
                    # Another member may follow, or the zeros with which tapes are filled.
                    rest = unpacker.unused_data.lstrip(b"\0")
                    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
                    started = bool(rest)
                else:
                    started = True
            following = next(pieces, None)
            if following is None:
                break
            if not started:
                following = following.lstrip(b"\0")
            rest = following
    except zlib.error as error:
        raise FileRefused(f"the gzip file is damaged: {error}") from None
    if started:
        raise FileRefused("the gzip file is cut off: its end is missing")


class Reader:
    """Iterate over the rows of a file.

    A row that is no valid CSV or UTF-8 comes with its problem, and the next one follows. Blank lines are
    passed over. `place` tells where the next row begins, once a row was read; a reader that starts there
    goes on with that row.
    """

    def __init__(self, pieces: Iterable[bytes], start: Place = START) -> None:
        """pieces: the file, from its beginning, uncompressed."""
        self._pieces = iter(pieces)
        self._skip = start.offset
        self._offset = start.offset
        self._lines = start.lines
        self._parts: list[str] = []
        self._problem = ""
        self._long = False

    @property
    def place(self) -> Place:
        """Return where the next row begins."""
        return Place(self._offset, self._lines)

    def __iter__(self) -> Iterator[Row]:
        # strict: a stray quote is an error of its row instead of a silent guess.
        rows = csv.reader(self._decoded(), strict=True)
        parts = self._parts
        while True:
            parts.clear()
            line = self._lines + 1
            try:
                cells = next(rows)
            except StopIteration:
                return
            except csv.Error as error:
                # csv has dropped the line at fault; what follows it is a row of its own.
                yield Row(line, [], tuple(parts), self._take_problem() or f"is no valid CSV: {error}")
                continue
            if self._problem:
                yield Row(line, [], tuple(parts), self._take_problem())
            elif cells:
                yield Row(line, cells, tuple(parts))

    def _take_problem(self) -> str:
        problem, self._problem = self._problem, ""
        return problem

    def _decoded(self) -> Iterator[str]:
        keep = self._parts.append
        for data in self._split():
            self._offset += len(data)
            self._lines += 1
            try:
                text = data.decode()
            except UnicodeDecodeError:
                self._problem = self._problem or "is not valid UTF-8; save the file as UTF-8"
                text = data.decode(errors="replace")
            keep(text)
            yield text

    def _split(self) -> Iterator[bytes]:
        """Yield lines with their line breaks; of a line beyond the limit only the beginning."""
        rest = b""
        first = self._offset == 0
        for piece in self._skipped():
            data = rest + piece
            if first:
                if len(data) < len(_BOM):
                    rest = data
                    continue
                first = False
                if data.startswith(_BOM):
                    data = data[len(_BOM) :]
                    self._offset += len(_BOM)
            lines = data.split(b"\n")
            rest = lines.pop()
            for line in lines:
                yield self._cut(line + b"\n")
            if len(rest) > LONGEST_LINE:
                self._offset += len(rest) - LONGEST_LINE
                rest = rest[:LONGEST_LINE]
                self._long = True
        if first and rest.startswith(_BOM):
            self._offset += len(_BOM)
            rest = rest[len(_BOM) :]
        if rest:
            yield self._cut(rest)

    def _cut(self, line: bytes) -> bytes:
        if self._long or len(line) > LONGEST_LINE:
            self._long = False
            self._problem = f"has a line of more than {LONGEST_LINE} bytes"
            if len(line) > LONGEST_LINE:
                self._offset += len(line) - LONGEST_LINE
                line = line[:LONGEST_LINE]
        return line

    def _skipped(self) -> Iterator[bytes]:
        for piece in self._pieces:
            if self._skip >= len(piece):
                self._skip -= len(piece)
                continue
            yield piece[self._skip :] if self._skip else piece
            self._skip = 0
