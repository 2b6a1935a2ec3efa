"""What is refused: squawk's rules by phase, and those that it has no notion of.

A revision may do what a rule refuses when its module says why: `waivers = {"rule": "reason"}`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from deploy.tools.lint_migrations import squawk
from deploy.tools.lint_migrations.advice import advice
from deploy.tools.lint_migrations.record import DEFINES, Catalog, Recorded, Statement

_STRINGS = re.compile(r"'(?:[^']|'')*'", re.DOTALL)
_COMMENTS = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_FILLS = re.compile(
    r"\s*(?:WITH\b|INSERT\b.*\bSELECT\b|COPY\b|CREATE\s+(?:MATERIALIZED\s+VIEW|(?:UNLOGGED\s+)?TABLE\b.*\bAS)\b)",
    re.IGNORECASE | re.DOTALL,
)
_BY_HAND = re.compile(r"\s*CREATE\s+(?:UNIQUE\s+)?INDEX\s+CONCURRENTLY\s+IF\s+NOT\s+EXISTS\b", re.IGNORECASE)
_NAME = r'(?:ONLY\s+)?(?:IF\s+(?:NOT\s+)?EXISTS\s+)?(?:"?\w+"?\.)?"?(\w+)"?'
_WRITES = re.compile(rf"\b(?:UPDATE|DELETE\s+FROM|MERGE\s+INTO|INSERT\s+INTO)\s+{_NAME}", re.IGNORECASE)
_ALTERED = re.compile(rf"\s*ALTER\s+TABLE\s+{_NAME}", re.IGNORECASE)
_TARGET = re.compile(
    rf"\s*(?:(?:ALTER|DROP)\s+TABLE\s+|CREATE\s+(?:UNIQUE\s+)?INDEX\s+[^()]*?\bON\s+){_NAME}", re.IGNORECASE
)
_NOT_NULL = re.compile(
    rf'\s*ALTER\s+TABLE\s+{_NAME}\s+ALTER\s+(?:COLUMN\s+)?"?(\w+)"?\s+SET\s+NOT\s+NULL', re.I
)
_ADD_COLUMN = re.compile(rf"\s*ALTER\s+TABLE\s+{_NAME}\s+ADD\s+COLUMN\b", re.IGNORECASE)
_KEYS = re.compile(r"\b(?:FOREIGN\s+KEY|UNIQUE)\s*\(([^()]*)\)", re.IGNORECASE)
_UNIQUE_INDEX = re.compile(
    rf'\s*CREATE\s+UNIQUE\s+INDEX\s+(?:CONCURRENTLY\s+)?(?:IF\s+NOT\s+EXISTS\s+)?"?\w+"?\s+ON\s+{_NAME}\s*'
    r"(?:USING\s+\w+\s*)?\(([^()]*)\)",
    re.IGNORECASE,
)
_RESTRICTS = re.compile(r"\b(?:CHECK|UNIQUE|REFERENCES|PRIMARY\s+KEY|EXCLUDE|CONSTRAINT)\b", re.IGNORECASE)


class Finding(NamedTuple):
    """Hold one reason to refuse a revision."""

    revision: Recorded
    statement: str
    rule: str
    why: str
    instead: str

    def __str__(self) -> str:
        lines = [f"{self.revision.path}: {self.rule}: {self.why}"]
        if self.statement:
            lines.append(f"    statement: {_short(self.statement)}")
        return "\n".join([*lines, f"    instead: {self.instead}"])


def judge(line: Sequence[Recorded]) -> list[Finding]:
    """Return why revisions since the last release are refused, in order; empty when they are not."""
    found: list[Finding] = []
    contract: Recorded | None = None
    for recorded in line:
        reasons = list(_reasons(recorded, line[0].before))
        if recorded.contract:
            contract = contract or recorded
        elif contract is not None:
            why = f"it expands, and would take the contract {contract.revision} with it before older processes are gone"
            reasons.append(_finding(recorded, "order-of-phases", why))
        found.extend(reason for reason in reasons if not recorded.waivers.get(reason.rule, "").strip())
        found.extend(_waivers(recorded, {reason.rule for reason in reasons}))
    return found


def _waivers(recorded: Recorded, broken: set[str]) -> Iterator[Finding]:
    for rule, reason in recorded.waivers.items():
        if rule not in broken:
            yield _finding(recorded, "unused-waiver", f"it does not do what {rule} refuses")
        elif not reason.strip():
            yield _finding(recorded, "waiver-without-reason", f"{rule} is waived, and nothing says why")


def _reasons(recorded: Recorded, released: Catalog) -> Iterator[Finding]:
    judged = [found for found in squawk.judge(recorded.statements) if _counts(recorded, found, released)]
    for found in judged:
        sql = recorded.statements[found.place].sql
        yield _finding(recorded, found.rule, found.message, sql, found.help)
    for statement in recorded.statements:
        yield from _locks(recorded, statement, released)
        yield from _data(recorded, statement, released)
    yield from _repetition(recorded)
    if not recorded.contract:
        for oid, what in sorted(recorded.after.acts - recorded.before.acts):
            if (name := released.tables.get(oid)) is not None:
                why = f"{what} of {name} is new, and acts on what the older release reads and writes there"
                yield _finding(recorded, "acts-on-older-release", why)
    if len({statement.in_transaction for statement in recorded.statements}) > 1:
        why = "a part of it leaves the transaction: when it fails, the other part is there already and cannot run again"
        yield _finding(recorded, "mixed-transaction", why)
    shown = squawk.BREAKING | {"changing-column-type"}
    # A statement that is waived shows only itself.
    refused = {found.rule for found in judged if not recorded.waivers.get(found.rule, "").strip()}
    if not recorded.contract and not refused & shown:
        # What no statement shows, such as one that a function or a DO block makes up.
        for why in _losses(recorded.before, recorded.after, released):
            yield _finding(recorded, "breaks-older-release", why)


def _counts(recorded: Recorded, found: squawk.Violation, released: Catalog) -> bool:
    """Tell whether what squawk says is meant here."""
    sql = recorded.statements[found.place].sql
    if recorded.contract and found.rule in squawk.BREAKING:
        return False
    if (target := _TARGET.match(sql)) and target.group(1) not in _tables(released):
        # Made since the release: no older process uses it, and it holds nothing when the upgrade comes by.
        return False
    if found.rule == "adding-not-nullable-field" and (column := _NOT_NULL.match(sql)):
        return column.groups() not in recorded.before.never_null
    if found.rule == "ban-new-write-restriction":
        if _ADD_COLUMN.match(sql):
            # Whoever does not know the column writes its default; a required one without is a rule of its own.
            return _RESTRICTS.search(_STRINGS.sub("", sql)) is not None
        return not _is_of_new_columns(sql, released)
    return True


def _is_of_new_columns(sql: str, released: Catalog) -> bool:
    """Tell whether a key is over columns alone that the older release does not know, and so does not write."""
    if (index := _UNIQUE_INDEX.match(sql)) is not None:
        table, listed = index.groups()
    elif (altered := _ALTERED.match(sql)) is not None and (key := _KEYS.search(sql)) is not None:
        table, listed = altered.group(1), key.group(1)
    else:
        return False
    columns = {name.strip().strip('"') for name in listed.split(",")}
    known = {
        column.name
        for column in released.columns.values()
        if column.table.rpartition(".")[2].strip('"') == table
    }
    return bool(known) and not columns & known and all(re.fullmatch(r"\w+", name) for name in columns)


def _tables(catalog: Catalog) -> set[str]:
    return {_bare(name) for name in catalog.tables.values()}


def _bare(name: str) -> str:
    return name.rpartition(".")[2].strip('"')


def _repetition(recorded: Recorded) -> Iterator[Finding]:
    if recorded.again:
        why = f"it leaves the transaction, so an attempt may end half-way, and the next one fails: {recorded.again}"
        yield _finding(recorded, "not-repeatable", why)
    for statement in recorded.statements:
        if _BY_HAND.match(statement.sql):
            why = "an index that an attempt before left half done is taken for a good one, and never used"
            yield _finding(recorded, "not-repeatable", why, statement.sql)


def _locks(recorded: Recorded, statement: Statement, released: Catalog) -> Iterator[Finding]:
    released_names = set(released.tables.values())
    if rewritten := [name for name in statement.rewritten if name in released_names]:
        why = f"the server writes {', '.join(rewritten)} anew, and nobody can use it meanwhile"
        yield _finding(recorded, "table-rewrite", why, statement.sql)
    # How long definitions keep their locks is for squawk to say.
    if statement.in_transaction and re.search(r"\block_timeout\b", statement.sql):
        why = "others queue behind a lock that it waits for, for as long as it then waits"
        yield _finding(recorded, "impatient", why, statement.sql)
    locked = [name for name in statement.locked if name in released_names]
    if locked and not DEFINES.match(statement.sql):
        why = f"it keeps writers from {', '.join(locked)}"
        yield _finding(recorded, "locks-table", why, statement.sql)


def _data(recorded: Recorded, statement: Statement, released: Catalog) -> Iterator[Finding]:
    text = _STRINGS.sub("''", _COMMENTS.sub(" ", statement.sql))
    held = [name for name in statement.held if name in set(released.tables.values())]
    older = _tables(released)
    read = sorted(older.intersection(re.findall(r"\w+", text)))
    if held and read and _FILLS.match(text):
        why = f"it may read all of {', '.join(read)} while writers are kept from {', '.join(held)}"
        yield _finding(recorded, "works-under-lock", why, statement.sql)
    if DEFINES.match(text) or (not statement.in_transaction and re.search(r"\bLIMIT\b", text, re.IGNORECASE)):
        return
    # Of functions, blocks and what did not come by us only the locks tell which tables they change.
    hidden = {_bare(name) for name in statement.written}
    if re.match(r"\s*INSERT\b(?!.*\bSELECT\b)", text, re.IGNORECASE | re.DOTALL):
        hidden = set()
    for write in _WRITES.finditer(text):
        if re.match(r"INSERT", write.group(), re.I) and not re.search(r"\bSELECT\b", text, re.I):
            hidden.discard(write.group(1))
        else:
            hidden.add(write.group(1))
    if changed := sorted(hidden & older):
        why = f"one statement may change every row of {', '.join(changed)}, and keeps them all locked until it is done"
        yield _finding(recorded, "data-in-one-statement", why, statement.sql)


def _losses(before: Catalog, after: Catalog, released: Catalog) -> Iterator[str]:
    """Yield what the older release would miss."""
    for oid, name in before.tables.items():
        if oid not in released.tables:
            continue
        if oid not in after.tables:
            yield f"{name} is gone"
        elif after.tables[oid] != name:
            yield f"{name} is called {after.tables[oid]} now"
    for key, old in before.columns.items():
        if key not in released.columns:
            continue
        new = after.columns.get(key)
        what = f"column {old.name} of {old.table}"
        if new is None:
            if key[0] in after.tables:
                yield f"{what} is gone"
        elif new.name != old.name:
            yield f"{what} is called {new.name} now"
        elif new.type != old.type:
            yield f"{what} is {new.type} now, and was {old.type}"
        elif new.required and not old.required:
            yield f"{what} cannot be null any more"
        elif old.required and old.default and not new.default:
            yield f"{what} has no default any more"
    for key, new in after.columns.items():
        if key not in before.columns and key[0] in released.tables and new.required and not new.default:
            yield f"column {new.name} of {new.table} must be given a value"


def _finding(recorded: Recorded, rule: str, why: str, statement: str = "", otherwise: str = "") -> Finding:
    return Finding(recorded, statement, rule, why, advice(rule, otherwise))


def _short(statement: str, length: int = 200) -> str:
    text = " ".join(statement.split())
    return text if len(text) <= length else f"{text[: length - 1]}…"
