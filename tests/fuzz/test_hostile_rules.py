"""No rule, however nested or hostile, hangs or crashes the compiler or PostgreSQL: text at random, rules broken at
random, and bombs. Each runs in a child process with bounded memory; what was ever found is a fixed example.
"""

from __future__ import annotations

import json
import os
import platform
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.fuzz import child as child_module
from tests.integration.rules.generator import rules
from tests.support.postgres import DatabaseFactory

ROOT = Path(__file__).parents[2]
HANG_SECONDS = 120
"""After so long a rule hangs; what the limits allow takes a few seconds on a busy machine."""
ASK_SECONDS = 60
"""Three statements take 2 s each at the most, planning apart, and CEL has limits of its own."""
EXAMPLES = int(os.environ.get("RAPPORT_HOSTILE_EXAMPLES", "250"))


class Asker:
    """A child process that is started again when it died."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._process: subprocess.Popen[str] | None = None

    def ask(self, text: str) -> dict[str, Any]:
        """Return the child's answer; fail when it hangs, dies or tells of a fault."""
        process = self._process
        if process is None or process.poll() is not None:
            process = self._process = subprocess.Popen(
                [sys.executable, "-m", child_module.__name__, self._url],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(text) + "\n")
        process.stdin.flush()
        if not select.select([process.stdout], [], [], HANG_SECONDS)[0]:
            self.close()
            pytest.fail(f"hangs: {text[:500]!r}")
        line = process.stdout.readline()
        if not line:
            pytest.fail(f"the process died ({process.wait()}): {text[:500]!r}")
        answer: dict[str, Any] = json.loads(line)
        assert answer["outcome"] in ("accepted", "refused"), f"{text[:500]!r}\n{answer['message']}"
        assert answer.get("asked", 0.0) <= ASK_SECONDS, f"asking took {answer['asked']} s: {text[:500]!r}"
        return answer

    def close(self) -> None:
        """End the child."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@pytest.fixture(scope="module")
def asker(make_module_database: DatabaseFactory) -> Iterator[Asker]:
    made = Asker(make_module_database("segmentation"))
    yield made
    made.close()


def wrap(form: str, core: str, times: int) -> str:
    """Put a form around itself: ``@`` is what is inside, ``#`` the number of the level."""
    for level in range(times):
        core = form.replace("@", core).replace("#", str(level))
    return core


def _filters(condition: str, count: int) -> str:
    return " || ".join(
        f"events.order_placed.filter(e, {condition.replace('#', str(n))}).size() > 1" for n in range(count)
    )


FOUND = [
    # An unknown side of == stood in the SQL twice: doubled by each level.
    wrap("((@) == contact.vip)", "contact.age > 1", 25),
    # So did the predicate of a list that may be unknown, and a sum of what may be missing.
    wrap('events.order_placed.exists(a#, a#.note.startsWith("a") || @)', "true", 9),
    wrap("sum(events.order_placed.filter(a#, @).map(b#, b#.discount)) > 1.0", "true", 6),
    # Lists inside one another take the number of events to that power.
    wrap('events.order_placed.all(a#, a#.category == "a" || @)', "true", 9),
    # null and a duration have no common type in SQL.
    "(contact.has_email ? null : days(1)) < days(2)",
    # Expanded macros are a deeper message than protobuf reads, and so is what the evaluator's rewrite makes of doubles.
    wrap("(sum(contact.tags.map(v#, @ ? 1 : #)) > 1)", "contact.vip", 10),
    wrap("contact.tags.exists(v#, @)", "contact.vip", 28),
    "contact.score" + " + 1.0" * 26 + " > 0.0",
]
BOMBS = [
    # A condition of ?: once stood in the SQL twice.
    wrap("(@ ? contact.visits > # : contact.visits < #)", "contact.vip", 25),
    "contact.score" + " + 1.0" * 22 + " > 0.0",
    "contact.joined" + " + days(1)" * 28 + " > now",
    # As heavy in SQL as is allowed.
    wrap("((@) == contact.vip)", "contact.age > 1", 10),
    wrap(
        'events.order_placed.exists(a#, a#.note.startsWith("a") || @)',
        _filters("e.note.startsWith('#')", 12),
        2,
    ),
    # At the limits: 20,000 characters, 3,000 parts, 32 levels.
    " || ".join(f"contact.visits == {n}" for n in range(700))[:19_990].rsplit(" || ", 1)[0],
    " && ".join(["contact.visits > 1 || contact.score < 2.0"] * 330),
    wrap("contact.has_email || (contact.vip && (@))", "contact.vip", 12),
    "contact.visits" + " + 1" * 28 + " > 0",
    _filters("e.quantity > #", 150),
    _filters("now - e.time < days(#)", 120),
    _filters("e.note.startsWith('#')", 100),
    "events.order_placed" + ".filter(e, e.note == 'a' || e.discount > 1.0)" * 26 + ".size() > 0",
    "contact.tags" + ".map(e, e + e)" * 12 + ".exists(e, e == '')",
    "contact.tags" + ".map(e, e + e)" * 40 + ".exists(e, e == '')",
    "contact.nick in [" + ", ".join(f'"{n:08x}"' for n in range(1600)) + "]",
    'contact.nick == "' + "😀" * 19_900 + '"',
    "contact.visits == " + "9" * 19_000,
    "contact.score == 1" + "0" * 308 + ".0",
    "contact.score == 1e" + "9" * 5_000,
    "(" * 10_000 + "true" + ")" * 10_000,
    "!" * 19_000 + "contact.vip",
    "[" * 9_000 + "]" * 9_000 + " == []",
    "{" * 9_000 + "}" * 9_000,
    "true ? " * 2_500 + "true" + " : true" * 300,
    "contact" + ".tags" * 3_900,
    "a.b(" * 4_000 + ")" * 4_000,
    '"' + "\\u0041" * 3_000 + '" == contact.nick',
    "contact.nick == '''" + "\n" * 9_000 + "'''",
    'duration("' + "1h" * 9_000 + '") < duration("1h")',
    'timestamp("' + "9" * 9_000 + '-01-01T00:00:00Z") < now',
    wrap("contact.tags.exists(t#, contact.colors.exists(u#, t# == u# || @))", "true", 5),
    wrap("events.order_placed.filter(a#, @).map(b#, b#.time).exists(c#, c# < now)", "true", 3),
]


CUBIC = wrap(
    "events.order_placed.exists(a#, a#.category.startsWith('a') || @)",
    "a0.category.startsWith(a1.category) && a1.category.startsWith(a2.category) && a0.category.endsWith('z')",
    3,
)


@pytest.mark.parametrize("text", FOUND, ids=range(len(FOUND)))
def test_what_was_found_is_refused(asker: Asker, text: str) -> None:
    assert asker.ask(text)["outcome"] == "refused"


@pytest.mark.parametrize("text", BOMBS, ids=range(len(BOMBS)))
def test_bombs_are_refused_or_answered(asker: Asker, text: str) -> None:
    asker.ask(text)


def test_the_child_would_tell(asker: Asker) -> None:
    assert asker.ask("contact.vip")["outcome"] == "accepted"
    assert asker.ask("contact.vipp")["outcome"] == "refused"


def test_time_that_grows_with_the_events_is_bounded(asker: Asker) -> None:
    """Whoever has many events makes a rule slow that others do not: the server cancels it in time."""
    answer = asker.ask(CUBIC)
    assert (answer["outcome"], answer["slow"]) == ("accepted", True)
    assert answer["asked"] >= child_module.STATEMENT_SECONDS
    assert asker.ask("events.order_placed.exists(a, a.category == 'c299')")["slow"] is False


TOKENS = st.sampled_from(
    """contact . age vip nick visits events order_placed exists(e, filter(x, map(y, all(z, ( ) now - && || ! ? : ==
    < in [ ] 1 2.0 1e308 -9223372036854775808 0xff 3u b"x" r'y' "a" "é" null has( e x size() tags time note { } , sum(
    days(1) days(999999999) timestamp( duration("1s") ' " \\ true contact.location fold( int( double( // ` @ $ \u202e
    in_segment("segments/churned") loyalty.tier(contact, 1) .exists_one(q, type( dyn( [1][0] ?""".split()  # noqa: SIM905
)
FORMS = st.sampled_from(
    (
        "!(@)",
        "(@) == contact.vip",
        "(@) ? (@) : contact.vip",
        "(@) || (@)",
        "(@) && contact.age > #",
        "events.order_placed.exists(v#, (@) && v#.gift)",
        "events.page_visited.filter(v#, @).size() > #",
        "contact.tags.all(v#, v# == 'a' || (@))",
        "sum(contact.tags.map(v#, (@) ? 1 : #)) > 1",
        "((@) ? contact.visits : contact.age) in [1, #]",
    )
)


@st.composite
def broken(draw: Any) -> str:
    """Draw a valid rule with pieces cut, doubled, moved and put in."""
    text = draw(rules())
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = draw(st.integers(start, min(len(text), start + 30)))
        piece = draw(st.one_of(st.just(""), st.just(text[start:end] * 2), TOKENS, st.text(max_size=3)))
        text = text[:start] + piece + text[end:]
    return text


@st.composite
def towers(draw: Any) -> str:
    """Draw a rule that is built up of forms around forms."""
    text = draw(st.one_of(st.just("contact.vip"), rules()))
    for level in range(draw(st.integers(1, 14))):
        form = draw(FORMS).replace("#", str(level))
        if form.count("@") * len(text) > 30_000:
            break
        text = form.replace("@", text)
    return text


HOSTILE = st.one_of(
    broken(),
    towers(),
    st.lists(TOKENS, max_size=40).map("".join),
    st.lists(TOKENS, max_size=40).map(" ".join),
    st.text(max_size=80),
)


@pytest.mark.timeout(600 + 5 * EXAMPLES)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@example(text="")
@example(text="\0")
@example(text="\ud800 == 1")
@given(text=HOSTILE)
def test_hostile_text_is_refused_or_answered(asker: Asker, text: str) -> None:
    asker.ask(text)


def _supported() -> bool:
    """Tell whether atheris has wheels for this machine, as pyproject.toml says."""
    return sys.version_info < (3, 14) and sys.platform == "linux" and platform.machine() == "x86_64"


@pytest.mark.skipif(not _supported(), reason="atheris has no wheel for this machine")
def test_the_parser_survives_a_short_fuzz(tmp_path: Path) -> None:
    seconds = int(os.environ.get("RAPPORT_FUZZ_SECONDS", "6"))
    found = tmp_path / "found"
    found.mkdir()
    result = subprocess.run(
        [
            sys.executable,
            "tests/fuzz/fuzz_rules.py",
            *("-seed=1", f"-max_total_time={seconds}", f"-timeout={HANG_SECONDS}", "-rss_limit_mb=3072"),
            *("-max_len=2000", "-dict=tests/fuzz/rules.dict", f"-artifact_prefix={tmp_path}/"),
            *(str(found), "tests/fuzz/corpus"),
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=seconds + 2 * HANG_SECONDS,
        check=False,
    )
    kept = [path.read_bytes()[:500] for path in tmp_path.iterdir() if path.is_file()]
    assert result.returncode == 0, f"{result.stderr[-3000:]}\n{kept}"
    assert "Done " in result.stderr
    assert any(found.iterdir()), "coverage did not guide: nothing new was found from the corpus"
