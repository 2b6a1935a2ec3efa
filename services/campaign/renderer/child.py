"""The child process that renders templates: `python -m services.campaign.renderer.child SOCKET ALIVE PROGRESS NICE`.

Batches come over the socket: four bytes of length, then a pickle, which only the parent writes. Nothing that comes from
here is trusted, so answers are an index in JSON and the texts behind it, in one piece of UTF-8: texts in JSON would
cost five times as much. With them goes how long each group of jobs took; what has no time left is answered as late, so
that a slow group holds up no other. PROGRESS is a file of two numbers in shared memory: which item of the batch
is in work, and whether it is being compiled or rendered. So the parent knows, without a word from here, what hangs or
killed us.
"""

from __future__ import annotations

import json
import math
import mmap
import os
import pickle
import socket
import sys
import time
from collections import OrderedDict
from dataclasses import astuple
from typing import Any

from services.campaign.domain.rendering import BadTemplate, CompiledContent, Content
from services.campaign.domain.template_bounds import MAX_SECONDS
from services.campaign.renderer.frames import COMPILING, HEADER, IDLE, LATE, PROGRESS, RENDERING
from services.kit.expendable import allow_cpu, end_with_parent, limit_memory

MEMORY_BYTES, DATA_BYTES = 1 << 30, 256 << 20
CPU_SECONDS = 8
ANSWER_CHARACTERS = 16_000_000
"""An answer that grew beyond this ends early; the parent asks for the rest."""


class Child:
    """Serve the parent."""

    def __init__(self, connection: socket.socket, progress: mmap.mmap) -> None:
        self._connection = connection
        self._progress = progress
        self._compiled: OrderedDict[int, CompiledContent] = OrderedDict()
        self._sources: dict[int, Content] = {}
        self._armed = 0.0
        self._seconds = 0.0
        self._warm = False
        self._rendered: set[int] = set()

    def serve(self) -> None:
        """Answer batches until the parent closes the connection."""
        reader = self._connection.makefile("rb")
        while header := reader.read(HEADER.size):
            request = pickle.loads(reader.read(HEADER.unpack(header)[0]))
            texts: list[str] = []
            index = json.dumps(self._answer(texts, *request)).encode()
            answer = HEADER.pack(len(index)) + index + "".join(texts).encode("utf-8", "surrogatepass")
            PROGRESS.pack_into(self._progress, 0, 0, IDLE)
            self._connection.sendall(HEADER.pack(len(answer)) + answer)

    def _answer(
        self,
        texts: list[str],
        sources: dict[int, tuple[str, ...]],
        forget: bool,
        mark: str,
        jobs: list[Any],
        limits: tuple[float, float] | None,
    ) -> list[Any]:
        if forget:
            self._compiled.clear()
            self._rendered.clear()
            self._sources.clear()
        for key, source in sources.items():
            self._sources[key] = Content(*source)
        answers: list[Any] = []
        size = 0
        one, all_ = limits or (MAX_SECONDS, math.inf)
        spent: dict[int, list[float]] = {}
        late: set[int] = set()
        for index, (group, *job) in enumerate(jobs):
            if group in late:
                answers.append(LATE)
                continue
            self._seconds, self._warm = 0.0, False
            try:
                answer = self._one(texts, index, mark, one, *job)
            except BadTemplate as error:
                answer = {"part": error.part, "line": error.line, "problem": error.problem}
            except MemoryError:
                answer = {"part": "text", "line": 1, "problem": "takes too much memory"}
            except Exception as error:
                # A mistake of ours or of a library's; the value at fault may be somebody's datum.
                answer = {"part": "text", "line": 1, "problem": f"{type(error).__name__} while rendering"}
            taken = spent.setdefault(group, [0, 0.0, 0])
            if self._warm or self._seconds > one:
                taken[0] += 1
                taken[1] += self._seconds
            taken[2] = max(taken[2], self._seconds > one)
            if one < MAX_SECONDS and self._seconds > one and isinstance(answer, dict):
                # It was given up here, or failed late: it gets all its time elsewhere.
                answer = LATE
            if answer is LATE or self._seconds > one or taken[1] > all_:
                late.add(group)
            answers.append(answer)
            if isinstance(answer, list):
                size += sum(answer[:3])
                if size > ANSWER_CHARACTERS:
                    break
        return [answers, list(spent.items())]

    def _one(
        self,
        texts: list[str],
        index: int,
        mark: str,
        seconds: float,
        key: int,
        context: dict[str, Any] | None,
        links: list[str] | None,
    ) -> Any:
        compiled = self._compiled.get(key)
        # No more CPU time than real time has passed since, so that most of it is left; a call each
        # time would cost more.
        if time.monotonic() - self._armed > 0.5:
            allow_cpu(CPU_SECONDS)
            self._armed = time.monotonic()
        if compiled is None:
            PROGRESS.pack_into(self._progress, 0, index, COMPILING)
            compiled = self._compiled[key] = CompiledContent(self._sources[key])
        if context is None:
            return {"links": compiled.links, "names": [astuple(item) for item in compiled.names]}
        PROGRESS.pack_into(self._progress, 0, index, RENDERING)
        # The first time of a template is no measure: it may load the names of months.
        self._warm = key in self._rendered
        self._rendered.add(key)
        start = time.thread_time()
        try:
            made = compiled.render(context, links=links, mark=mark, seconds=seconds)
        finally:
            self._seconds = time.thread_time() - start
        texts += (made.subject, made.text, made.html)
        return [len(made.subject), len(made.text), len(made.html), made.urls]


def main() -> None:
    """Serve the parent named by the file descriptors in the arguments, with so much niceness."""
    connection, alive, progress, nice = map(int, sys.argv[1:5])
    end_with_parent(alive)
    os.nice(nice)
    limit_memory(MEMORY_BYTES, data_bytes=DATA_BYTES)
    Child(socket.socket(fileno=connection), mmap.mmap(progress, PROGRESS.size)).serve()


if __name__ == "__main__":
    main()
