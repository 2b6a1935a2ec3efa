"""Refuse SQL that would get around the restricted role.

The database refuses writes (READ ONLY), other tables (the role) and endless work (statement_timeout). What it
cannot refuse: `SET LOCAL ROLE` may be undone from within a SELECT (`set_config('role', …)`), functions like
`query_to_xml` then run further SQL with the service's own rights, and `pg_advisory_lock` takes locks that the
service uses. So such names are refused by text. SQL compiled by SQLAlchemy passes values as parameters, which
keeps this simple: what it looks for is SQL text of a plugin's own making.
"""

from __future__ import annotations

import re

_TOKEN = re.compile(
    r"""
      (?P<string>'(?:[^']|'')*')
    | "(?P<quoted>(?:[^"]|"")*)"
    | (?P<comment>--|/\*|\*/)
    | (?P<dollar>\$(?:[^\W\d]\w*)?\$)
    | (?P<parameter>%\(\w+\)s)
    | (?P<word>[^\W\d][\w$]*)
    | (?P<semicolon>;)
    | (?P<other>[\w$]+|.)
    """,
    re.VERBOSE | re.DOTALL,
)
_FORBIDDEN = re.compile(
    r"""
      set_config | current_setting | pg_\w* | information_schema | lo_\w* | loread | lowrite | dblink\w*
    | \w*_to_xml\w* | \w*_to_xmlschema | ts_stat | txid_\w* | nextval | setval | currval | lastval
    """,
    re.VERBOSE,
)


def sql_problem(sql: str) -> str | None:
    """Tell why the text of a plugin's SELECT must not be run, or None."""
    first = True
    previous = ""
    for match in _TOKEN.finditer(sql):
        kind, text = match.lastgroup or "", match.group()
        if kind in ("comment", "dollar", "semicolon"):
            return f"SQL may not contain {text!r}"
        if kind == "string" and previous.lower() in ("e", "u", "&", "b", "x", "n"):
            return "SQL may not contain prefixed string literals (E'…', U&'…')"
        if kind == "quoted" and previous == "&":
            return 'SQL may not contain U&"…" names'
        if kind in ("word", "quoted"):
            name = (match.group("quoted") if kind == "quoted" else text).lower()
            if first and name not in ("select", "with"):
                return f"SQL must begin with SELECT, not {text!r}"
            first = False
            if _FORBIDDEN.fullmatch(name):
                return f"SQL may not use {name}"
        if not text.isspace():
            previous = text
    return "SQL is empty" if first else None
