"""Migrations that lock tables in use or break the older release are refused, each with the safe way; safe ones pass.

Each example is a revision of one line, on a table of its own that the released revision made.
"""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import uuid4

import pytest

from deploy.tools.lint_migrations import __main__ as command
from deploy.tools.lint_migrations import squawk
from deploy.tools.lint_migrations.record import Recorded, record
from deploy.tools.lint_migrations.rules import Finding, judge
from deploy.tools.release import last_release
from services.kit import revisions
from services.kit.config import SERVICES
from tests.support.postgres import DatabaseFactory


@dataclass(frozen=True)
class Example:
    """Hold what a revision does with its table `t`, whose columns are id, a, b, c, and what must be refused."""

    body: str
    refused: set[str] = field(default_factory=set)
    contract: bool = False
    waivers: dict[str, str] = field(default_factory=dict)


def sql(*statements: str) -> str:
    return "\n    ".join(f"op.execute({statement!r})" for statement in statements)


OUTSIDE = "with op.get_context().autocommit_block():\n        "
ADD_CHECK = "ALTER TABLE t ADD CONSTRAINT t_c CHECK (c IS NOT NULL) NOT VALID"
BAD = {
    "drops a column": Example('op.drop_column("t", "a")', {"ban-drop-column"}),
    "drops a table": Example(sql("DROP TABLE t CASCADE"), {"ban-drop-table"}),
    "drops a view": Example(sql("DROP VIEW t_view"), {"ban-drop-view"}),
    "renames a column": Example('op.alter_column("t", "a", new_column_name="z")', {"renaming-column"}),
    "renames a table": Example('op.rename_table("t", "t_z")', {"renaming-table"}),
    "changes a type": Example(
        'op.alter_column("t", "a", type_=sa.Numeric())', {"changing-column-type", "table-rewrite"}
    ),
    "drops a default": Example('op.alter_column("t", "b", server_default=None)', {"ban-drop-default"}),
    "drops a constraint": Example(sql("ALTER TABLE t DROP CONSTRAINT t_a"), {"ban-drop-constraint"}),
    "lets a column be null": Example('op.alter_column("t", "b", nullable=True)', {"ban-drop-not-null"}),
    "adds what must be given": Example(
        sql("ALTER TABLE t ADD COLUMN z text NOT NULL"), {"adding-required-field"}
    ),
    "adds a default that is computed": Example(
        sql("ALTER TABLE t ADD COLUMN z uuid NOT NULL DEFAULT gen_random_uuid()"),
        {"adding-field-with-default", "table-rewrite"},
    ),
    "makes an index at once": Example(
        'op.create_index("t_i", "t", ["a"])', {"require-concurrent-index-creation"}
    ),
    "drops an index at once": Example(
        'op.drop_index("t_old", "t")', {"require-concurrent-index-deletion", "ban-drop-index"}
    ),
    "checks all rows at once": Example(
        sql("ALTER TABLE t ADD CONSTRAINT t_z CHECK (a > 0)"),
        {"constraint-missing-not-valid", "ban-new-write-restriction"},
    ),
    "checks all rows in the same transaction": Example(
        sql(ADD_CHECK, "ALTER TABLE t VALIDATE CONSTRAINT t_c"),
        {"constraint-missing-not-valid", "ban-new-write-restriction"},
    ),
    "refers to another table": Example(
        sql("ALTER TABLE t ADD CONSTRAINT t_f FOREIGN KEY (a) REFERENCES t (id)"),
        {"adding-foreign-key-constraint", "constraint-missing-not-valid", "ban-new-write-restriction"},
    ),
    "makes an old column unique with a new one": Example(
        'op.execute("ALTER TABLE t ADD COLUMN z bigint")\n'
        '    op.execute("CREATE UNIQUE INDEX t_u ON t (a, z) WHERE a > 5")',
        {"require-concurrent-index-creation", "ban-new-write-restriction"},
    ),
    "makes a column unique": Example(
        sql("ALTER TABLE t ADD CONSTRAINT t_u UNIQUE (a)"),
        {"disallowed-unique-constraint", "constraint-missing-not-valid", "ban-new-write-restriction"},
    ),
    "reads all rows for NOT NULL": Example(
        sql("ALTER TABLE t ALTER COLUMN c SET NOT NULL"),
        {"adding-not-nullable-field", "ban-new-write-restriction"},
    ),
    "changes all rows at once": Example(sql("UPDATE t SET a = 1 WHERE a IS NULL"), {"data-in-one-statement"}),
    "copies all rows at once": Example(
        sql("CREATE TABLE t_copy (id bigint)", "INSERT INTO t SELECT id FROM t_copy"),
        {"data-in-one-statement"},
    ),
    "deletes rows behind a WITH": Example(
        sql("WITH gone AS (DELETE FROM t WHERE id < 0 RETURNING 1) SELECT count(*) FROM gone"),
        {"data-in-one-statement"},
    ),
    "changes rows inside of a block": Example(
        sql("DO $$ BEGIN EXECUTE 'UPDATE t SET a = 1'; END $$"), {"data-in-one-statement"}
    ),
    "changes rows inside of a quoted block": Example(
        sql("DO 'BEGIN UPDATE t SET a = 1; END'"), {"data-in-one-statement"}
    ),
    "changes rows by a function": Example(
        sql(
            "CREATE FUNCTION t_f() RETURNS bigint LANGUAGE plpgsql AS 'BEGIN DELETE FROM t; RETURN 1; END'",
            "SELECT t_f()",
        ),
        {"data-in-one-statement"},
    ),
    "changes rows by a function in SQL": Example(
        sql("CREATE FUNCTION t_s() RETURNS void LANGUAGE sql AS $$ UPDATE t SET a = 1 $$", "SELECT t_s()"),
        {"data-in-one-statement"},
    ),
    "changes rows past SQLAlchemy": Example(
        'op.get_bind().connection.driver_connection.execute("UPDATE t SET a = 1")', {"data-in-one-statement"}
    ),
    "changes rows behind a comment": Example(
        sql("UPDATE /* all */ t -- of them\n SET a = 1"), {"data-in-one-statement"}
    ),
    "locks a table past SQLAlchemy": Example(
        'op.get_bind().connection.driver_connection.execute("LOCK TABLE t")', {"locks-table"}
    ),
    "copies while writers wait": Example(
        sql(
            "CREATE TABLE t_copied (id bigint REFERENCES t (id), b text)",
            "INSERT INTO t_copied (id, b) SELECT id, b FROM t",
        ),
        {"works-under-lock"},
    ),
    "makes a table of another while readers wait": Example(
        sql("ALTER TABLE t ADD COLUMN z text", "CREATE TABLE t_made AS SELECT id FROM t"),
        {"works-under-lock"},
    ),
    "waits for as long as it takes": Example(
        sql("SET LOCAL lock_timeout = 0", "ALTER TABLE t ADD COLUMN z text"), {"impatient"}
    ),
    "refuses rows by a trigger": Example(
        sql(
            "CREATE FUNCTION t_no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$",
            "CREATE TRIGGER t_no BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION t_no()",
        ),
        {"acts-on-older-release"},
    ),
    "swallows rows by a rule": Example(
        sql("CREATE RULE t_none AS ON INSERT TO t DO INSTEAD NOTHING"), {"acts-on-older-release"}
    ),
    "hides rows": Example(sql("ALTER TABLE t ENABLE ROW LEVEL SECURITY"), {"acts-on-older-release"}),
    "refuses the older release's keys": Example(
        sql("ALTER TABLE t ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY"), {"acts-on-older-release"}
    ),
    "makes an index that it cannot make again": Example(
        f'{OUTSIDE}op.execute("CREATE INDEX CONCURRENTLY t_h ON t (a)")', {"not-repeatable"}
    ),
    "takes half an index for a whole one": Example(
        f'{OUTSIDE}op.execute("CREATE INDEX CONCURRENTLY IF NOT EXISTS t_h ON t (a)")', {"not-repeatable"}
    ),
    "locks a table": Example(sql("LOCK TABLE t IN SHARE MODE"), {"locks-table"}),
    "empties a table": Example(sql("TRUNCATE t"), {"locks-table", "table-rewrite"}),
    "breaks inside of a block": Example(
        sql("DO $$ BEGIN EXECUTE 'ALTER TABLE t DROP COLUMN a, ADD COLUMN z text NOT NULL'; END $$"),
        {"locks-table", "breaks-older-release"},
    ),
    "hides a loss behind a waiver": Example(
        sql(
            "ALTER TABLE t ALTER COLUMN b SET DEFAULT 'x'",
            "DO $$ BEGIN EXECUTE 'ALTER TABLE t DROP COLUMN a'; END $$",
        ),
        {"breaks-older-release"},
        waivers={"ban-set-default": "the older release writes the column itself"},
    ),
    "does both in and out of a transaction": Example(
        'op.add_column("t", sa.Column("z", sa.Text()))\n    changes.create_index("t_z", "t", ["z"])',
        {"mixed-transaction"},
    ),
    "waives without a reason": Example(
        'op.drop_column("t", "a")',
        {"ban-drop-column", "waiver-without-reason"},
        waivers={"ban-drop-column": " "},
    ),
    "waives what it does not do": Example(
        'op.add_column("t", sa.Column("z", sa.Text()))',
        {"unused-waiver"},
        waivers={"ban-drop-column": "it may"},
    ),
}
GOOD = {
    "adds a table": Example(
        'op.create_table("t_new", sa.Column("id", sa.BigInteger(), sa.ForeignKey("t.id"), primary_key=True))\n'
        '    op.create_index("t_new_i", "t_new", ["id"])\n'
        + '    op.execute("ALTER TABLE t_new ADD COLUMN z text NOT NULL")'
    ),
    "fills a table that it adds": Example(
        sql("CREATE TABLE t_new (id bigint, z text)", "INSERT INTO t_new SELECT id, b FROM t")
    ),
    "fills a table with what it knows": Example(
        sql("CREATE TABLE t_known (id bigint REFERENCES t (id))", "INSERT INTO t_known SELECT 1 WHERE false")
    ),
    "makes a function that nobody calls": Example(
        sql("CREATE FUNCTION t_q() RETURNS void LANGUAGE sql AS $$ UPDATE t SET a = 1 $$")
    ),
    "adds a row": Example(sql("INSERT INTO t (id) VALUES (1) ON CONFLICT DO NOTHING")),
    "a trigger with a reason": Example(
        sql(
            "CREATE FUNCTION t_so() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$",
            "CREATE TRIGGER t_so BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION t_so()",
        ),
        waivers={"acts-on-older-release": "it changes nothing that the older release reads"},
    ),
    "a new column's table": Example(sql("CREATE TABLE since (id bigint)", "INSERT INTO since VALUES (1)")),
    "a new column's table is changed": Example(
        sql(
            "ALTER TABLE since ADD COLUMN z text NOT NULL DEFAULT gen_random_uuid()::text",
            "UPDATE since SET id = 2",
            "CREATE UNIQUE INDEX since_id ON since (id)",
            "ALTER TABLE since RENAME COLUMN id TO number",
        )
    ),
    "adds columns": Example(
        'op.add_column("t", sa.Column("y", sa.Text(), nullable=False, server_default="it\'s; UPDATE t"))\n'
        '    op.add_column("t", sa.Column("z", sa.Integer()))'
    ),
    "makes an index meanwhile": Example('changes.create_index("t_i", "t", ["a"])'),
    "fills in batches": Example(
        'changes.in_batches("UPDATE t SET c = a WHERE id IN (SELECT id FROM t WHERE c IS NULL AND a > 0 LIMIT :size)")'
    ),
    "a new column refers": Example(
        sql(
            "ALTER TABLE t ADD COLUMN z bigint",
            "ALTER TABLE t ADD CONSTRAINT t_f FOREIGN KEY (z) REFERENCES t (id) NOT VALID",
        )
    ),
    "a new column is checked": Example('changes.validate_constraint("t_f", "t")'),
    "a new column is unique": Example('changes.create_index("t_u", "t", ["z"], unique=True)'),
    "comments": Example(sql("COMMENT ON COLUMN t.a IS 'DROP TABLE t; UPDATE t'")),
    "has a reason": Example(
        sql("UPDATE t SET a = 1"), waivers={"data-in-one-statement": "the table has a row for each channel"}
    ),
}
# One after another: a column becomes required without a look at its rows while others wait.
CONTRACTS = {
    "keeps new rows right": Example(sql(ADD_CHECK), contract=True),
    "keeps old rows right": Example('changes.validate_constraint("t_c", "t")', contract=True),
    "takes away": Example(
        sql("ALTER TABLE t ALTER COLUMN c SET NOT NULL", "ALTER TABLE t DROP CONSTRAINT t_c, DROP COLUMN a"),
        contract=True,
    ),
    "still locks": Example(
        sql("ALTER TABLE t ALTER COLUMN b TYPE varchar(9)"),
        {"changing-column-type", "table-rewrite"},
        contract=True,
    ),
    "expands too late": Example('op.add_column("t", sa.Column("z", sa.Text()))', {"order-of-phases"}),
}
LINE = {**BAD, **GOOD, **CONTRACTS}
TABLES = {
    name: "k" if name in CONTRACTS else "n" if name.startswith("a new column") else f"t{number}"
    for number, name in enumerate(LINE)
}
HEAD = """import sqlalchemy as sa
from alembic import op
from services.kit import changes
"""


def write(folder: Path) -> str:
    """Write the package of a service with all examples; return its name."""
    name = f"linted_{uuid4().hex}"
    package = folder / name / "service"
    versions = package / "migrations" / "versions"
    versions.mkdir(parents=True)
    (folder / name / "__init__.py").touch()
    (package / "__init__.py").touch()
    (package / "models.py").write_text(
        "from services.kit.db import new_metadata\nmetadata = new_metadata()\n"
    )
    made = "".join(
        f'    op.execute("CREATE TABLE {table} (id bigint PRIMARY KEY, a bigint CONSTRAINT {table}_a CHECK (a < 9), '
        f"b text NOT NULL DEFAULT '', c bigint); CREATE INDEX {table}_old ON {table} (a); "
        f'CREATE VIEW {table}_view AS SELECT id FROM {table}")\n'
        for table in sorted(set(TABLES.values()))
    )
    (versions / "0001_released.py").write_text(
        f'{HEAD}revision, down_revision = "0001", None\ndef upgrade():\n{made}'
    )
    for number, (example_name, example) in enumerate(LINE.items(), 2):
        table = TABLES[example_name]
        phase = "contract_" if example.contract else ""
        body = re.sub(r"\bt(?=_|\b)", table, example.body)
        (versions / f"{number:04d}_{phase}example.py").write_text(
            f'{HEAD}revision, down_revision = "{number:04d}", "{number - 1:04d}"\n'
            f"waivers = {example.waivers!r}\ndef upgrade():\n    {body}\n"
        )
    return f"{name}.service"


@dataclass
class Judged:
    """Hold what was recorded and found, by the name of the example."""

    recorded: dict[str, Recorded]
    findings: dict[str, list[Finding]]


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory, make_module_database: DatabaseFactory) -> Judged:
    folder = tmp_path_factory.mktemp("linted")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        importlib.invalidate_caches()
        service = write(folder)
        recorded = record(service, make_module_database("contacts"), "0001")
        assert len(recorded) == len(LINE) == len(revisions.known(service)) - 1
    names = {item.revision: name for item, name in zip(recorded, LINE, strict=True)}
    findings: dict[str, list[Finding]] = {name: [] for name in LINE}
    for finding in judge(recorded):
        findings[names[finding.revision.revision]].append(finding)
    return Judged({names[item.revision]: item for item in recorded}, findings)


@pytest.mark.parametrize("name", LINE)
def test_what_is_refused(judged: Judged, name: str) -> None:
    found = judged.findings[name]
    assert {finding.rule for finding in found} == LINE[name].refused, "\n".join(map(str, found))
    for finding in found:
        text = str(finding)
        # File, rule, reason, and the safe way; the statement where it is one that is wrong.
        assert text.startswith(f"{judged.recorded[name].path}: {finding.rule}: ")
        assert finding.why
        assert f"instead: {finding.instead}" in text
        assert len(finding.instead) > 10
        if finding.statement:
            assert f"statement: {finding.statement[:20].splitlines()[0]}" in text


def test_statements_are_those_that_the_server_got(judged: Judged) -> None:
    """With their values, and with whether they ran in a transaction."""
    (batch,) = judged.recorded["fills in batches"].statements
    assert "LIMIT 1000" in batch.sql
    assert not batch.in_transaction
    (index,) = judged.recorded["makes an index meanwhile"].statements
    assert index.sql.startswith("CREATE INDEX CONCURRENTLY")
    assert "DEFAULT 'it''s; UPDATE t" in judged.recorded["adds columns"].statements[0].sql


def test_a_rule_that_squawk_does_not_have_does_not_fall_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when a later version calls it otherwise."""
    assert squawk.judge([]) == []
    monkeypatch.setattr(squawk, "LOCKING", squawk.LOCKING | {"ban-nothing"})
    with pytest.raises(RuntimeError, match="ban-nothing"):
        squawk.judge([])


def test_the_command_judges_what_is_newer_than_the_release(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Here a revision of the first release, which had no older one to get along with, is judged as if it had."""
    release = last_release()
    assert revisions.known("contacts")[3] == "0004"
    heads = {service: revisions.head(service) or "" for service in SERVICES}
    older = replace(release, schema={**heads, "contacts": "0003"})
    monkeypatch.setattr(command, "last_release", lambda: older)
    assert command.main() == 1
    told = capsys.readouterr()
    assert f"contacts: revisions since {release.version}: 0004" in told.out
    assert f"sales: revisions since {release.version}: none" in told.out
    first = told.err.splitlines()[0]
    assert first.startswith(
        "services/contacts/migrations/versions/0004_owner_and_team.py: require-concurrent-index-creation: "
    )
    monkeypatch.setattr(command, "last_release", lambda: replace(release, schema={"contacts": "9999"}))
    with pytest.raises(SystemExit, match="contacts: revision 9999 of the last release is gone"):
        command.main()
