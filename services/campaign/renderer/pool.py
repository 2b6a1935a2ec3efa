"""A pool of rendering children: batches in, results out, and a death is that of one rendering only."""

from __future__ import annotations

import json
import pickle
import queue
import struct
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any

from services.campaign.domain.rendering import BadTemplate, Content, Rendered
from services.campaign.renderer.frames import HEADER
from services.campaign.renderer.process import ChildDied, ChildProcess, Death
from services.kit import log
from services.kit.errors import Unavailable

SECONDS = 6.0
"""Real time that one rendering may take before its child is killed; what takes 2 s of CPU has been ended by then."""

UNAVAILABLE = "RENDERER_UNAVAILABLE"
_KEPT = 500
_WAIT_SECONDS = 60.0
_log = log.get_logger("renderer")


@dataclass(frozen=True, slots=True)
class Job:
    """Ask for one rendering; links: what those of `Renderer.links` become, in their order, or None as they are."""

    content: Content
    context: Mapping[str, Any]
    links: Sequence[str] | None = None


class Renderer:
    """Render without running templates in this process. Safe to use from several threads.

    processes: how many batches at once. seconds: real time for one rendering. Children start when needed.
    """

    def __init__(self, processes: int = 1, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._keys: OrderedDict[Content, int] = OrderedDict()
        self._next_key = 0
        self._links: OrderedDict[Content, tuple[str, ...] | BadTemplate] = OrderedDict()
        self._slots: queue.LifoQueue[ChildProcess | None] = queue.LifoQueue()
        self._processes = processes
        for _ in range(processes):
            self._slots.put(None)

    def links(self, content: Content) -> tuple[str, ...]:
        """Compile a content, once, and return the addresses of its static links; raises BadTemplate."""
        with self._lock:
            found = self._links.get(content)
            if found is not None:
                self._links.move_to_end(content)
        if found is None:
            [answer] = self._run([(content, None, None)], "")
            found = answer if isinstance(answer, BadTemplate) else tuple(answer["links"])
            with self._lock:
                self._links[content] = found
                while len(self._links) > _KEPT:
                    self._links.popitem(last=False)
        if isinstance(found, BadTemplate):
            raise BadTemplate(found.part, found.line, found.problem)
        return found

    def render(
        self, jobs: Sequence[Job], mark: str = "", *, beat: Callable[[], None] = lambda: None
    ) -> list[Rendered | BadTemplate]:
        """Render each job, in order: what it became, or why not.

        mark: unless empty, links with parts of the recipient's own become U+E000, mark, their number, U+E001, and
        are in `urls`. beat: called whenever a child was killed and the work goes on. Raises Unavailable
        (RENDERER_UNAVAILABLE) when no child starts.
        """
        answers = self._run([(job.content, job.context, job.links) for job in jobs], mark, beat)
        made: list[Rendered | BadTemplate] = []
        for job, answer in zip(jobs, answers, strict=True):
            if isinstance(answer, BadTemplate):
                made.append(answer)
            else:
                subject, text, html, urls = answer
                made.append(Rendered(subject, text, html, job.content.language_code, tuple(urls)))
        return made

    def child_pids(self) -> list[int]:
        """Return the process ids of idle children, for tests and diagnosis."""
        with self._slots.mutex:
            return [child.pid for child in self._slots.queue if child is not None]

    def close(self) -> None:
        """End the children, waiting for batches in work; later calls start new ones."""
        for _ in range(self._processes):
            child = self._slots.get()
            if child is not None:
                child.kill()
        for _ in range(self._processes):
            self._slots.put(None)

    def _run(
        self,
        jobs: Sequence[tuple[Content, Any, Any]],
        mark: str,
        beat: Callable[[], None] = lambda: None,
    ) -> list[Any]:
        answers: list[Any] = [None] * len(jobs)
        open_ = list(range(len(jobs)))
        lives = 0
        while open_:
            try:
                given = self._ask([jobs[index] for index in open_], mark)
            except ChildDied as died:
                _log.warning("a rendering child ended", problem=died.death.problem)
                lives = lives + 1 if died.death.index is None else 0
                if lives > 2:
                    raise _unavailable(f"the child process {died.death.problem}") from None
                open_ = self._blame(jobs, open_, died.death, answers)
                beat()
                continue
            for index, answer in zip(open_, given, strict=False):
                answers[index] = answer
            open_ = open_[len(given) :]
        return answers

    def _blame(
        self, jobs: Sequence[tuple[Content, Any, Any]], open_: list[int], death: Death, answers: list[Any]
    ) -> list[int]:
        """Note the failure of what killed the child and return what is still to be done."""
        if death.index is None or death.index >= len(open_):
            return open_
        culprit = open_[death.index]
        problem = f"{death.problem} and was stopped"
        failed = [culprit]
        if death.compiling:
            content = jobs[culprit][0]
            failed = [index for index in open_ if jobs[index][0] == content]
            with self._lock:
                self._links[content] = BadTemplate("text", 1, problem)
        for index in failed:
            answers[index] = BadTemplate("text", 1, problem)
        return [index for index in open_ if index not in failed]

    def _ask(self, jobs: Sequence[tuple[Content, Any, Any]], mark: str) -> list[Any]:
        child = self._acquire()
        kept: ChildProcess | None = None
        try:
            keys = [self._key(content) for content, _, _ in jobs]
            forget = len(child.known) > _KEPT
            if forget:
                child.known.clear()
            sources = {
                key: astuple(content)
                for key, (content, _, _) in zip(keys, jobs, strict=True)
                if key not in child.known
            }
            request = pickle.dumps(
                (
                    sources,
                    forget,
                    mark,
                    [(key, context, links) for key, (_, context, links) in zip(keys, jobs, strict=True)],
                ),
                pickle.HIGHEST_PROTOCOL,
            )
            answer = child.ask(request)
            child.known.update(sources)
            kept = child
        finally:
            self._slots.put(kept)
        try:
            given = _unpacked(answer)
        except (ValueError, TypeError, KeyError, struct.error):
            given = []
        if not 0 < len(given) <= len(jobs):
            raise _unavailable("the child process answered junk")
        return given

    def _key(self, content: Content) -> int:
        with self._lock:
            key = self._keys.get(content)
            if key is None:
                self._next_key += 1
                key = self._keys[content] = self._next_key
                while len(self._keys) > 2 * _KEPT:
                    self._keys.popitem(last=False)
            return key

    def _acquire(self) -> ChildProcess:
        try:
            child = self._slots.get(timeout=_WAIT_SECONDS)
        except queue.Empty:
            raise _unavailable("every child process is busy") from None
        if child is not None and child.is_alive():
            return child
        try:
            if child is not None:
                child.kill()
            return ChildProcess(self._seconds)
        except BaseException:
            self._slots.put(None)
            raise


def _unavailable(why: str) -> Unavailable:
    return Unavailable(f"templates cannot be rendered now: {why}", reason=UNAVAILABLE)


def _unpacked(answer: bytes) -> list[Any]:
    """Return what a child answered to each job; raises ValueError and the like for junk.

    A BadTemplate, a mapping with `links`, or subject, text, HTML and the marked links.
    """
    start = HEADER.size + HEADER.unpack_from(answer)[0]
    texts = answer[start:].decode("utf-8", "surrogatepass")
    made: list[Any] = []
    place = 0
    for item in json.loads(answer[HEADER.size : start]):
        if isinstance(item, list):
            subject, text, html, urls = item
            ends = place + subject, place + subject + text, place + subject + text + html
            if not place <= ends[0] <= ends[1] <= ends[2] <= len(texts):
                raise ValueError("the lengths of texts are wrong")
            made.append((texts[place : ends[0]], texts[ends[0] : ends[1]], texts[ends[1] : ends[2]], urls))
            place = ends[2]
        elif "problem" in item:
            made.append(BadTemplate(str(item["part"]), int(item["line"]), str(item["problem"])))
        else:
            made.append(item)
    return made


_shared: Renderer | None = None
_shared_lock = threading.Lock()


def shared() -> Renderer:
    """Return the renderer of this process; its children end with the process."""
    global _shared
    with _shared_lock:
        if _shared is None:
            _shared = Renderer()
        return _shared
