"""Guard: the business time comes from the kit's clock alone, in Python and in SQL."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
CLOCK = ROOT / "services" / "kit" / "clock.py"
# Rate limits bound what providers see in real time, for which all senders share the clock of the database.
SHARED_CLOCK = ROOT / "services" / "campaign" / "store" / "rates.py"

# time.monotonic and time.perf_counter measure durations and are free to use.
READS_THE_CLOCK = {
    *(f"datetime.datetime.{name}" for name in ("now", "utcnow", "today")),
    "datetime.date.today",
    *(f"time.{name}" for name in ("time", "time_ns", "localtime", "gmtime", "ctime", "asctime", "strftime")),
    *(f"time.{name}" for name in ("clock_gettime", "clock_gettime_ns")),
}
FUNCTIONS = "now|clock_timestamp|statement_timestamp|transaction_timestamp|timeofday"
KEYWORDS = "current_timestamp|current_date|current_time|localtimestamp|localtime"
SQL_FUNCTION = re.compile(
    rf"sqlalchemy\.(?:\w+\.)*(?:func|functions)\.(?:pg_catalog\.)?(?:{FUNCTIONS}|{KEYWORDS})"
)
SQL = re.compile(
    rf"(?<![\w.])(?:pg_catalog\.)?(?:{FUNCTIONS})\s*\(\s*\)"
    rf"|(?<![\w.])(?:{KEYWORDS})(?!\w)"
    r"|'(?:now|today|tomorrow|yesterday)'\s*::"
    r"|\b(?:date|time|timestamp|timestamptz)\s+'(?:now|today|tomorrow|yesterday)'",
    re.IGNORECASE,
)


def imported(nodes: list[ast.AST]) -> dict[str, set[str]]:
    """Return what each imported name of a module stands for, wherever in it the import is."""
    names: dict[str, set[str]] = defaultdict(set)
    for node in nodes:
        if isinstance(node, ast.Import):
            for item in node.names:
                top = item.name.partition(".")[0]
                names[item.asname or top].add(item.name if item.asname else top)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for item in node.names:
                names[item.asname or item.name].add(f"{node.module}.{item.name}")
    return names


def meanings(node: ast.expr, names: dict[str, set[str]]) -> set[str]:
    """Return the full names that an expression such as `dt.now` may stand for."""
    if isinstance(node, ast.Attribute):
        return {f"{owner}.{node.attr}" for owner in meanings(node.value, names)}
    return names.get(node.id, set()) if isinstance(node, ast.Name) else set()


def docstrings(nodes: list[ast.AST]) -> set[int]:
    return {
        id(node.body[0].value)
        for node in nodes
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }


def problems(source: str) -> Iterator[str]:
    """Yield the line and the words of each place that reads the machine's or the database's clock."""
    nodes = list(ast.walk(ast.parse(source)))
    names, words = imported(nodes), docstrings(nodes)
    for node in nodes:
        if isinstance(node, ast.Attribute | ast.Name):
            for meaning in sorted(meanings(node, names)):
                if meaning in READS_THE_CLOCK or SQL_FUNCTION.fullmatch(meaning):
                    yield f"{node.lineno}: {meaning}"
        elif isinstance(node, ast.ImportFrom) and node.module in ("time", "datetime"):
            if any(item.name == "*" for item in node.names):
                yield f"{node.lineno}: from {node.module} import *"
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in words:
            for match in SQL.finditer(node.value):
                yield f"{node.lineno}: {match.group()} in SQL"


def scanned() -> list[Path]:
    folders = [ROOT / "services", ROOT / "protos" / "rapport_client", *ROOT.glob("plugins/*/src")]
    return sorted(
        path for folder in folders for path in folder.rglob("*.py") if path not in (CLOCK, SHARED_CLOCK)
    )


def test_every_part_is_scanned():
    parts = {path.relative_to(ROOT).parts[:2] for path in scanned()}
    services = ("contacts", "sales", "segmentation", "campaign", "care", "kit", "cli", "demo")
    assert parts >= {("services", name) for name in services}
    assert parts >= {("plugins", name) for name in ("sdk", "builtin", "testing", "loyalty", "template")}
    assert ("protos", "rapport_client") in parts


def test_nothing_reads_the_clock_but_the_kit():
    found = [
        f"{path.relative_to(ROOT)}:{problem}"
        for path in scanned()
        for problem in problems(path.read_text(encoding="utf-8"))
    ]
    assert found == []


def test_the_kit_does_read_it():
    assert list(problems(CLOCK.read_text(encoding="utf-8")))


def test_the_shared_clock_is_the_databases_and_nothing_else():
    found = {problem.partition(": ")[2] for problem in problems(SHARED_CLOCK.read_text(encoding="utf-8"))}
    assert found == {"clock_timestamp() in SQL"}


@pytest.mark.parametrize(
    "violation",
    [
        "import datetime; datetime.datetime.now()",
        "import datetime as d; d.datetime.utcnow()",
        "import datetime; datetime.date.today()",
        "from datetime import datetime; datetime.now(UTC)",
        "from datetime import datetime; datetime.today()",
        "from datetime import datetime as dt; dt.now()",
        "from datetime import date as day; day.today()",
        "from datetime import datetime; Field(default_factory=datetime.now)",
        "from datetime import *",
        "import time; time.time()",
        "import time as t; t.time()",
        "import time; time.time_ns()",
        "import time; time.localtime()",
        "import time; time.gmtime()",
        "import time; time.ctime()",
        "import time; time.strftime('%Y')",
        "import time; time.clock_gettime(time.CLOCK_REALTIME)",
        "from time import time; time()",
        "from time import time as wall; Field(default_factory=wall)",
        "from time import time_ns; time_ns()",
        "from time import *",
        "def f():\n    from time import time\n    return time()",
        "import sqlalchemy as sa; sa.func.now()",
        "import sqlalchemy as sa; sa.func.current_timestamp()",
        "import sqlalchemy; sqlalchemy.func.localtimestamp()",
        "from sqlalchemy import func; Column(server_default=func.now())",
        "from sqlalchemy import func; Column(default=func.now)",
        "from sqlalchemy import func as f; f.clock_timestamp()",
        "from sqlalchemy import func; func.pg_catalog.now()",
        "from sqlalchemy.sql import func; func.current_date()",
        "from sqlalchemy.sql.functions import now; now()",
        "from sqlalchemy.sql import functions; functions.current_timestamp()",
        'text("now()")',
        'text("NOW( )")',
        'text("pg_catalog.now()")',
        'x = "SELECT now()"',
        'x = "SELECT\\nnow()"',
        'x = "SELECT(now())"',
        'x = "INSERT INTO t (a) VALUES (now())"',
        'x = "UPDATE t SET a=now()"',
        "x = \"DELETE FROM t WHERE a < now() - interval '1 day'\"",
        'x = f"UPDATE {table} SET a = now()"',
        'x = "SELECT localtimestamp"',
        'x = "SELECT localtime(0)"',
        'x = "SELECT CURRENT_TIMESTAMP"',
        'x = "SELECT current_timestamp(3)"',
        'x = "SELECT current_date - 1"',
        'x = "SELECT current_time"',
        'x = "SELECT clock_timestamp()"',
        'x = "SELECT statement_timestamp()"',
        'x = "SELECT transaction_timestamp()"',
        'x = "SELECT timeofday()"',
        "x = \"SELECT 'now'::timestamptz\"",
        "x = \"SELECT timestamp 'now'\"",
        "x = \"SELECT DATE 'today'\"",
    ],
)
def test_the_guard_sees(violation: str):
    assert list(problems(violation))


@pytest.mark.parametrize(
    "harmless",
    [
        "import time; time.monotonic(); time.perf_counter(); time.sleep(0)",
        "from datetime import datetime, time; datetime.fromisoformat('2011-12-10'); time(9)",
        "now = clock.now(); f(now)",
        "from services.kit.clock import SystemClock; SystemClock().now()",
        "from sqlalchemy import func; func.max(table.c.current_date)",
        'def f():\n    """Return what now() would, and time.time() too."""',
        'x = "take the time from clock.now()"',
        'x = "SELECT t.localtime, current_dates, know() FROM t"',
    ],
)
def test_the_guard_lets_pass(harmless: str):
    assert list(problems(harmless)) == []
