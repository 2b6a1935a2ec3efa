"""A pool of rendering children: batches in, results out, and a death is that of one rendering only.

Jobs are of groups, such as campaigns. Where patience is given, a group that is slow holds up no other: what it has no
time left for is late, and asked for again elsewhere or later.
"""

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
from services.campaign.domain.template_bounds import MAX_SECONDS
from services.campaign.domain.template_names import Named
from services.campaign.renderer import frames
from services.campaign.renderer.frames import HEADER
from services.campaign.renderer.process import ChildDied, ChildProcess, Death
from services.kit import log
from services.kit.errors import Unavailable

SECONDS = 6.0
"""Real time that one rendering may take before its child is killed; what takes 2 s of CPU has been ended by then."""

UNAVAILABLE = "RENDERER_UNAVAILABLE"
_KEPT = 500
_WAIT_SECONDS = 60.0
_LATE_SECONDS = 2.0
"""Real time of one rendering for which there is patience; a single step of C is not ended by CPU time."""
_log = log.get_logger("renderer")


@dataclass(frozen=True, slots=True)
class Job:
    """Ask for one rendering; links: what those of `Compiled.links` become, in their order, or None as they are.

    group: what shares the time of a batch.
    """

    content: Content
    context: Mapping[str, Any]
    links: Sequence[str] | None = None
    group: str = ""


@dataclass(frozen=True, slots=True)
class Compiled:
    """Tell of a content that compiles: the addresses of its static links, and the names that it asks for."""

    links: tuple[str, ...]
    names: tuple[Named, ...]


class Late:
    """Stand for what was not rendered, as its group had no time left."""


LATE = Late()


@dataclass(frozen=True, slots=True)
class Patience:
    """Say how long a batch waits for a group of its jobs, in CPU seconds; one job of each is always tried.

    one: for one rendering. group: for all of one group. took: called with a group, how many of its jobs were tried, how
    long they took, and whether one took too long.
    """

    one: float
    group: float
    took: Callable[[str, int, float, bool], None] = lambda group, count, seconds, too_long: None


_Item = tuple[Content, Any, Any, str]


class Renderer:
    """Render without running templates in this process. Safe to use from several threads.

    processes: how many batches at once. seconds: real time for one rendering. nice: by how much others go before the
    children. Children start when needed.
    """

    def __init__(self, processes: int = 1, seconds: float = SECONDS, nice: int = 0) -> None:
        self._seconds = seconds
        self._nice = nice
        self._lock = threading.Lock()
        self._keys: OrderedDict[Content, int] = OrderedDict()
        self._next_key = 0
        self._compiled: OrderedDict[Content, Compiled | BadTemplate] = OrderedDict()
        self._slots: queue.LifoQueue[ChildProcess | None] = queue.LifoQueue()
        self._processes = processes
        for _ in range(processes):
            self._slots.put(None)

    def compiled(self, content: Content) -> Compiled:
        """Compile a content, once, and tell of it; raises BadTemplate, Unavailable (RENDERER_UNAVAILABLE)."""
        with self._lock:
            found = self._compiled.get(content)
            if found is not None:
                self._compiled.move_to_end(content)
        if found is None:
            [found] = self._run([(content, None, None, "")], "")
            assert isinstance(found, Compiled | BadTemplate), "nothing was to be rendered"
            with self._lock:
                self._compiled[content] = found
                while len(self._compiled) > _KEPT:
                    self._compiled.popitem(last=False)
        if isinstance(found, BadTemplate):
            raise BadTemplate(found.part, found.line, found.problem)
        return found

    def render(
        self,
        jobs: Sequence[Job],
        mark: str = "",
        *,
        beat: Callable[[], None] = lambda: None,
        patience: Patience | None = None,
    ) -> list[Rendered | BadTemplate | Late]:
        """Render each job, in order: what it became, or why not; LATE only where patience is given.

        mark: unless empty, links with parts of the recipient's own become U+E000, mark, their number, U+E001, and
        are in `urls`. beat: called whenever a child was killed and the work goes on. Raises Unavailable
        (RENDERER_UNAVAILABLE) when no child starts.
        """
        items = [(job.content, job.context, job.links, job.group) for job in jobs]
        answers = self._run(items, mark, beat, patience)
        made: list[Rendered | BadTemplate | Late] = []
        for job, answer in zip(jobs, answers, strict=True):
            if isinstance(answer, BadTemplate | Late):
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
        jobs: Sequence[_Item],
        mark: str,
        beat: Callable[[], None] = lambda: None,
        patience: Patience | None = None,
    ) -> list[Any]:
        answers: list[Any] = [None] * len(jobs)
        open_ = list(range(len(jobs)))
        lives = 0
        while open_:
            try:
                given = self._ask([jobs[index] for index in open_], mark, patience)
            except ChildDied as died:
                _log.warning("a rendering child ended", problem=died.death.problem)
                lives = lives + 1 if died.death.index is None else 0
                if lives > 2:
                    raise _unavailable(f"the child process {died.death.problem}") from None
                open_ = self._blame(jobs, open_, died.death, answers, patience)
                beat()
                continue
            for index, answer in zip(open_, given, strict=False):
                answers[index] = answer
            late = {jobs[index][3] for index in open_[: len(given)] if answers[index] is LATE}
            open_ = _without(jobs, open_[len(given) :], late, answers)
        return answers

    def _blame(
        self,
        jobs: Sequence[_Item],
        open_: list[int],
        death: Death,
        answers: list[Any],
        patience: Patience | None,
    ) -> list[int]:
        """Note the failure of what killed the child, or that its group is late, and return what is still to be done."""
        if death.index is None or death.index >= len(open_):
            return open_
        culprit = open_[death.index]
        if patience is not None and patience.one < MAX_SECONDS and not death.compiling:
            # It was given less than all its time, so it gets that elsewhere before it fails.
            group = jobs[culprit][3]
            patience.took(group, 1, _LATE_SECONDS, True)
            return _without(jobs, open_, {group}, answers)
        problem = f"{death.problem} and was stopped"
        failed = [culprit]
        if death.compiling:
            content = jobs[culprit][0]
            failed = [index for index in open_ if jobs[index][0] == content]
            with self._lock:
                self._compiled[content] = BadTemplate("text", 1, problem)
        for index in failed:
            answers[index] = BadTemplate("text", 1, problem)
        return [index for index in open_ if index not in failed]

    def _ask(self, jobs: Sequence[_Item], mark: str, patience: Patience | None) -> list[Any]:
        child = self._acquire()
        kept: ChildProcess | None = None
        try:
            keys = [self._key(content) for content, *_ in jobs]
            groups = list(dict.fromkeys(group for *_, group in jobs))
            number = {group: index for index, group in enumerate(groups)}
            forget = len(child.known) > _KEPT
            if forget:
                child.known.clear()
            sources = {
                key: astuple(content)
                for key, (content, *_) in zip(keys, jobs, strict=True)
                if key not in child.known
            }
            request = pickle.dumps(
                (
                    sources,
                    forget,
                    mark,
                    [
                        (number[group], key, context, links)
                        for key, (_, context, links, group) in zip(keys, jobs, strict=True)
                    ],
                    patience and (patience.one, patience.group),
                ),
                pickle.HIGHEST_PROTOCOL,
            )
            short = patience is not None and patience.one < MAX_SECONDS
            answer = child.ask(request, min(self._seconds, _LATE_SECONDS) if short else None)
            child.known.update(sources)
            kept = child
        finally:
            self._slots.put(kept)
        try:
            given, spent = _unpacked(answer)
            taken = [
                (groups[index], int(count), float(seconds), bool(too_long))
                for index, (count, seconds, too_long) in spent
            ]
        except (ValueError, TypeError, KeyError, IndexError, struct.error):
            given, taken = [], []
        if not 0 < len(given) <= len(jobs):
            raise _unavailable("the child process answered junk")
        if patience is not None:
            for told in taken:
                patience.took(*told)
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
            return ChildProcess(self._seconds, self._nice)
        except BaseException:
            self._slots.put(None)
            raise


def _without(jobs: Sequence[_Item], open_: list[int], late: set[str], answers: list[Any]) -> list[int]:
    """Note that all of some groups is late, and return what is still to be done."""
    for index in open_:
        if jobs[index][3] in late:
            answers[index] = LATE
    return [index for index in open_ if jobs[index][3] not in late]


def _unavailable(why: str) -> Unavailable:
    return Unavailable(f"templates cannot be rendered now: {why}", reason=UNAVAILABLE)


def _unpacked(answer: bytes) -> tuple[list[Any], Any]:
    """Return what a child answered to each job, and how long groups took; raises ValueError and the like for junk.

    A BadTemplate, LATE, a Compiled, or subject, text, HTML and the marked links.
    """
    start = HEADER.size + HEADER.unpack_from(answer)[0]
    texts = answer[start:].decode("utf-8", "surrogatepass")
    made: list[Any] = []
    place = 0
    answers, spent = json.loads(answer[HEADER.size : start])
    for item in answers:
        if isinstance(item, list):
            subject, text, html, urls = item
            ends = place + subject, place + subject + text, place + subject + text + html
            if not place <= ends[0] <= ends[1] <= ends[2] <= len(texts):
                raise ValueError("the lengths of texts are wrong")
            made.append((texts[place : ends[0]], texts[ends[0] : ends[1]], texts[ends[1] : ends[2]], urls))
            place = ends[2]
        elif "problem" in item:
            made.append(BadTemplate(str(item["part"]), int(item["line"]), str(item["problem"])))
        elif item == frames.LATE:
            made.append(LATE)
        else:
            names = [
                Named(str(part), int(line), tuple(map(str, path)), bool(guarded))
                for part, line, path, guarded in item["names"]
            ]
            made.append(Compiled(tuple(map(str, item["links"])), tuple(names)))
    return made, spent


_shared: Renderer | None = None
_shared_lock = threading.Lock()


def shared() -> Renderer:
    """Return the renderer of this process; its children end with the process."""
    global _shared
    with _shared_lock:
        if _shared is None:
            _shared = Renderer()
        return _shared
