"""Rendering in child processes: what hangs, swells or dies fails alone, and this process keeps its size."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Iterator

import pytest

from services.campaign.domain.rendering import BadTemplate, Content, Rendered
from services.campaign.renderer.pool import Job, Renderer

# Sorting texts that share a long beginning is one step of C, which no look at the clock interrupts.
SLOW = "{% if slow %}{{ (texts * 5000) | sort(case_sensitive=true) | length }}{% endif %}Hi {{ name }}"


@pytest.fixture(scope="module")
def renderer() -> Iterator[Renderer]:
    """A renderer with one child."""
    made = Renderer(seconds=1.0)
    yield made
    made.close()


def text(source: str, html: str = "") -> Content:
    return Content("", "s", source, html)


def names(made: list[Rendered | BadTemplate]) -> list[str]:
    return [item.text if isinstance(item, Rendered) else str(item) for item in made]


def test_a_batch_comes_back_in_order(renderer: Renderer) -> None:
    hello, bye = text("Hi {{ name }}"), text("Bye {{ name }}")
    jobs = [Job(hello if number % 2 else bye, {"name": str(number)}) for number in range(120)]
    assert names(renderer.render(jobs)) == [
        f"{'Hi' if number % 2 else 'Bye'} {number}" for number in range(120)
    ]
    assert renderer.render([]) == []


def test_what_hangs_fails_alone_and_the_others_go_on(renderer: Renderer) -> None:
    texts = ["a" * 6_000_000 + str(number) for number in range(2)]
    renderer.compiled(text(SLOW))
    [child] = renderer.child_pids()
    beats: list[int] = []
    jobs = [
        Job(text(SLOW), {"name": str(number), "slow": number in (2, 4), "texts": texts})
        for number in range(6)
    ]
    made = renderer.render(jobs, beat=lambda: beats.append(1))
    stopped = "text, line 1: takes longer than 1 s and was stopped"
    assert names(made) == ["Hi 0", "Hi 1", stopped, "Hi 3", stopped, "Hi 5"]
    assert len(beats) == 2
    assert renderer.child_pids() != [child]
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


def test_a_child_that_dies_between_batches_is_replaced(renderer: Renderer) -> None:
    renderer.compiled(text("x"))
    [child] = renderer.child_pids()
    os.kill(child, signal.SIGKILL)
    assert names(renderer.render([Job(text("Hi {{ name }}"), {"name": "a"})])) == ["Hi a"]


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("a\n{{ 'a' * 300000000 }}", "text, line 2: repeating"),
        (
            "a\n{{ [" + "big | list, " * 8 + "] | length }}",
            "text, line 2: takes too much memory",
        ),
        (
            "{% for a in big %}{% for b in big %}{% endfor %}{% endfor %}",
            "text, line 1: takes longer than 2 s",
        ),
        ("{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}", "text, line 1: "),
        ("{{ ''.__class__ }}", "text, line 1: access to '__class__'"),
        ("{% for a in range(9000) %}{{ big[:1000] }}{% endfor %}", "text, line 1: the result is longer"),
    ],
)
def test_what_swells_is_refused_and_this_process_keeps_its_size(source: str, problem: str) -> None:
    with Closing(Renderer()) as roomy:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            roomy.compiled(text(source))
            [made] = roomy.render([Job(text(source), {"big": "x" * 6_000_000})])
        except BadTemplate as error:
            made = error
        assert isinstance(made, BadTemplate)
        assert str(made).startswith(problem)
        # The value itself, its pickle and its frame are here; what the template makes of it is not.
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60 * 1024


class Closing:
    """Close a renderer at the end."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer

    def __enter__(self) -> Renderer:
        return self._renderer

    def __exit__(self, *_: object) -> None:
        self._renderer.close()


def test_a_large_answer_comes_in_several_pieces(renderer: Renderer) -> None:
    source = text("{% for a in range(100) %}{{ big }}{% endfor %}")
    made = renderer.render([Job(source, {"big": "x" * 19_000}) for _ in range(20)])
    assert [len(item.text) for item in made if isinstance(item, Rendered)] == [1_900_000] * 20


def test_a_bad_content_is_known_at_once_and_spoils_no_batch(renderer: Renderer) -> None:
    bad = text("a\n{% if %}")
    for _ in range(2):
        with pytest.raises(BadTemplate, match="text, line 2"):
            renderer.compiled(bad)
    made = renderer.render([Job(bad, {}), Job(text("ok"), {})])
    assert isinstance(made[0], BadTemplate)
    assert names(made)[1] == "ok"
