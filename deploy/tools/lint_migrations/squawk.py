"""Asks squawk, a linter of PostgreSQL migrations, about the statements of a revision."""

from __future__ import annotations

import json
import subprocess
import sys
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from deploy.tools.lint_migrations.record import Statement

POSTGRES = "15"
"""The oldest version that runs Rapport."""

LOCKING = frozenset(
    {
        "adding-field-with-default",
        "adding-foreign-key-constraint",
        "adding-not-nullable-field",
        "adding-serial-primary-key-field",
        "ban-concurrent-index-creation-in-transaction",
        "changing-column-type",
        "constraint-missing-not-valid",
        "disallowed-unique-constraint",
        "require-concurrent-index-creation",
        "require-concurrent-index-deletion",
        "require-concurrent-partition-detach",
        "require-concurrent-reindex",
        "syntax-error",  # the server ran it: squawk cannot judge it, so somebody must
    }
)
"""Rules of all revisions."""

BREAKING = frozenset(
    {
        "adding-required-field",
        "ban-drop-column",
        "ban-drop-constraint",
        "ban-drop-database",
        "ban-drop-default",
        "ban-drop-domain",
        "ban-drop-function",
        "ban-drop-index",
        "ban-drop-not-null",
        "ban-drop-schema",
        "ban-drop-sequence",
        "ban-drop-table",
        "ban-drop-trigger",
        "ban-drop-type",
        "ban-drop-view",
        "ban-new-write-restriction",
        "ban-replace-view-function",
        "ban-revoke",
        "ban-set-default",
        "ban-set-schema",
        "ban-truncate-cascade",
        "renaming-column",
        "renaming-object",
        "renaming-table",
    }
)
"""Rules of revisions that must leave the older release its schema."""


class Violation(NamedTuple):
    """Hold what squawk says of a statement, which is named by its place."""

    place: int
    rule: str
    message: str
    help: str


def judge(statements: Sequence[Statement]) -> list[Violation]:
    """Return what breaks a rule of LOCKING or BREAKING, in order."""
    text, starts = _program(statements)
    # It refuses a rule that it does not have, so that none falls silent with a later version.
    include = [
        part for rule in sorted((LOCKING | BREAKING) - {"syntax-error"}) for part in ("--include", rule)
    ]
    ran = subprocess.run(
        [
            str(Path(sys.executable).with_name("squawk")),
            *("--pg-version", POSTGRES, "--reporter", "json", "--stdin-filepath", "revision.sql"),
            *include,
        ],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        found = json.loads(ran.stdout)
    except ValueError:
        raise RuntimeError(
            f"squawk failed with status {ran.returncode}: {ran.stderr or ran.stdout}"
        ) from None
    return sorted(_violations(found, starts))


def _program(statements: Sequence[Statement]) -> tuple[str, list[int]]:
    """Write statements one after another, in the transactions that they ran in; and the line of each."""
    lines: list[str] = []
    starts: list[int] = []
    inside = False
    for statement in statements:
        if statement.in_transaction is not inside:
            lines.append("BEGIN;" if statement.in_transaction else "COMMIT;")
            inside = statement.in_transaction
        starts.append(len(lines))
        lines.extend(f"{statement.sql.rstrip().rstrip(';')};".splitlines())
    return "\n".join([*lines, "COMMIT;" if inside else "", ""]), starts


def _violations(found: Iterable[dict[str, str]], starts: list[int]) -> Iterable[Violation]:
    for item in found:
        rule, place = item["rule_name"], bisect_right(starts, int(item["line"])) - 1
        if rule in LOCKING | BREAKING and place >= 0:
            yield Violation(place, rule, item["message"], item.get("help") or "")
