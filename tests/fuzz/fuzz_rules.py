"""Fuzz the compiler of rules, guided by coverage: `make fuzz SECONDS=60`, or with libFuzzer's own options.

Whatever the bytes, a rule is accepted or refused with RuleError, and what is accepted becomes SQL. Anything else is a
crash, whose input libFuzzer keeps.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["services.segmentation.rules"]):
    from services.segmentation.rules import RuleError, batch_statement
    from services.segmentation.rules.rule import CompiledRule

from sqlalchemy.dialects import postgresql

from tests.integration.rules.vocabulary import REGISTRY

_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]


def fuzz_one(data: bytes) -> None:
    """Compile bytes as a rule."""
    text = data.decode("utf-8", errors="replace")
    try:
        rule = CompiledRule(text, REGISTRY)
    except RuleError as error:
        if error.line < 1 or error.column < 1 or not error.message:
            raise AssertionError(f"a refusal without a place: {error!r}") from error
        return
    for statement in (rule.rebuild_select, rule.next_change_select, batch_statement([(1, rule)]).select):
        assert str(statement.compile(dialect=_DIALECT))


if __name__ == "__main__":
    atheris.Setup(sys.argv, fuzz_one)
    atheris.Fuzz()
