"""The check of SQL text: what compiled rules look like passes, ways around the role do not."""

from __future__ import annotations

import re

import pytest

from services.kit.plugins.guard import sql_problem

FINE = [
    "SELECT a, CAST(b AS TEXT) FROM sdk.profile",
    'SELECT "order" FROM sdk.profile WHERE x = %(x)s::VARCHAR',
    "WITH t AS (SELECT 1) SELECT * FROM t",
    "SELECT 'pg_sleep; -- set_config' FROM t",
    "SELECT 'it''s' || 'x;'",
    "SELECT payload ->> %(k)s::TEXT, a - -1, a #> b, a && b FROM t",
    "select spg_x, my_set_config, xpg_ FROM t",
    "SELECT 1.5e3, a::numeric(10, 2), b[1] FROM t",
]
BAD = [
    ("", "empty"),
    ("  ", "empty"),
    ("UPDATE x SET a = 1", "begin with SELECT"),
    ("(SELECT 1); SELECT 2", "';'"),
    ("SELECT 1 -- x", "'--'"),
    ("SELECT 1 /* x", "/[*]"),
    ("SELECT pg_catalog.set_config('a', 'b', true)", "pg_catalog"),
    ("SELECT SET_CONFIG('a', 'b', true)", "set_config"),
    ('SELECT "set_config"(1)', "set_config"),
    ("SELECT U&\"set\\005fconfig\"('role', 'none', true)", "U&"),
    ("SELECT u&'x'", "prefixed string"),
    ("SELECT e'\\' pg_sleep(1) --'", "prefixed string"),
    ("SELECT $$x$$", r"'\$\$'"),
    ("SELECT $a$x$a$", r"'\$a\$'"),
    ("SELECT table_to_xml('x', true, true, '')", "table_to_xml"),
    ("SELECT query_to_xml_and_xmlschema('x', true, true, '')", "query_to_xml_and_xmlschema"),
    ("SELECT lo_import('/etc/passwd')", "lo_import"),
    ("SELECT * FROM information_schema.tables", "information_schema"),
    ("SELECT nextval('x')", "nextval"),
    ("SELECT * FROM dblink('x', 'y')", "dblink"),
]


@pytest.mark.parametrize("sql", FINE)
def test_passes(sql: str) -> None:
    assert sql_problem(sql) is None


@pytest.mark.parametrize(("sql", "expected"), BAD)
def test_refused(sql: str, expected: str) -> None:
    problem = sql_problem(sql)
    assert problem is not None
    assert re.search(expected, problem)
