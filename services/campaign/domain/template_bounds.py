"""What keeps a template from eating the process: loops, joined texts and lists are counted and bounded.

Loops and `~` are rewritten in the parsed template so that they pass through here; `+`, filters and methods are bounded
where they are called.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from jinja2 import Environment, nodes, pass_eval_context
from jinja2.exceptions import SecurityError
from jinja2.filters import FILTERS
from jinja2.nodes import EvalContext

MAX_RANGE = 10_000
MAX_SECONDS = 2.0
MAX_TEXT = 1_000_000
MAX_LIST = 100_000
_CHECK_EVERY = 256
_EACH = "__each"


class Budget:
    """Bound the numbers that all ranges of one rendering give out, the turns of its loops, and its CPU seconds."""

    def __init__(self, seconds: float = MAX_SECONDS) -> None:
        self._seconds = seconds
        self._left = MAX_RANGE
        self._turns = 0
        # Measured from the first look on, which most renderings are too short to see.
        self._deadline: float | None = None

    def names(self) -> dict[str, Callable[..., Any]]:
        """Return what a template is to be given so that it is counted."""
        return {"range": self.range, _EACH: self.each}

    def range(self, *bounds: int) -> Iterator[int]:
        """Count the numbers of a range."""
        for number in range(*bounds):
            self._left -= 1
            if self._left < 0:
                raise SecurityError(f"ranges give out more than {MAX_RANGE:,} numbers")
            yield number

    def each(self, items: Iterable[Any]) -> Iterator[Any]:
        """Count the turns of a loop."""
        for item in items:
            self._turns += 1
            if self._turns % _CHECK_EVERY == 0:
                self.check()
            yield item

    def check(self) -> None:
        """Raise SecurityError when the time is over."""
        now = time.thread_time()
        if self._deadline is None:
            self._deadline = now + self._seconds
        elif now > self._deadline:
            raise SecurityError(f"takes longer than {self._seconds:g} s")


def count_loops_and_joins(tree: nodes.Template) -> None:
    """Let each loop of a parsed template pass through its Budget, and each `~` through the bounded join."""
    for loop in tree.find_all(nodes.For):
        loop.iter = nodes.Call(
            nodes.Name(_EACH, "load", lineno=loop.lineno), [loop.iter], [], None, None, lineno=loop.lineno
        )
    _replace_joins(tree)


def _replace_joins(node: nodes.Node) -> None:
    for name, value in node.iter_fields():
        if isinstance(value, nodes.Node):
            _replace_joins(value)
            setattr(node, name, _bounded(value))
        elif isinstance(value, list):
            for item in value:
                if isinstance(item, nodes.Node):
                    _replace_joins(item)
            setattr(node, name, [_bounded(item) for item in value])


def _bounded(node: Any) -> Any:
    if not isinstance(node, nodes.Concat):
        return node
    items = nodes.List(node.nodes, lineno=node.lineno)
    return nodes.Filter(items, "join", [], [], None, None, lineno=node.lineno)


def check_sum(left: Any, right: Any) -> None:
    """Raise SecurityError when `left + right` would be a text or list beyond the bounds."""
    for kind, most in (((str, bytes), MAX_TEXT), ((list, tuple), MAX_LIST)):
        if isinstance(left, kind) and isinstance(right, kind) and len(left) + len(right) > most:
            raise _too_long(most)


def bound_filters(environment: Environment) -> None:
    """Put bounded filters in the place of those that make long texts of short ones."""
    environment.filters["join"] = _join
    environment.filters["replace"] = _replace
    environment.filters["tojson"] = _to_json


@pass_eval_context
def _join(context: EvalContext, value: Iterable[Any], d: str = "", attribute: str | int | None = None) -> Any:
    items = []
    length = 0
    for item in value:
        items.append(item)
        length += len(str(item)) + len(str(d))
        if length > MAX_TEXT:
            raise _too_long(MAX_TEXT)
    return FILTERS["join"](context, items, d, attribute)


@pass_eval_context
def _replace(context: EvalContext, s: str, old: str, new: str, count: int | None = None) -> Any:
    text = str(s)
    hits = text.count(str(old)) if count is None else min(count, text.count(str(old)))
    if len(text) + hits * len(str(new)) > MAX_TEXT:
        raise _too_long(MAX_TEXT)
    return FILTERS["replace"](context, s, old, new, count)


@pass_eval_context
def _to_json(context: EvalContext, value: Any) -> Any:
    return FILTERS["tojson"](context, value)


def _too_long(most: int) -> SecurityError:
    return SecurityError(f"texts or lists of more than {most:,} items are not allowed")
