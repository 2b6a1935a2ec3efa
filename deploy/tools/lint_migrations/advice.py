"""The safe way to make a change, by the rule that refuses the other one."""

from __future__ import annotations

_LATER = (
    "let the code of this release do without it, and take it away in a revision of its own "
    "(`python -m services.kit.migrations revision --contract`), which runs when no older process is left"
)
_RENAME = (
    "add the new one, fill it with `changes.in_batches`, write both in this release, and take the old one away in a "
    "contract"
)
_NOT_VALID = (
    "add it NOT VALID (`postgresql_not_valid=True`) in one revision, then check the rows that are there in the next, "
    "with `changes.validate_constraint`"
)
_UNIQUE = (
    "make a unique index with `changes.create_index(…, unique=True)`, and in the next revision the constraint with it "
    "(ADD CONSTRAINT … UNIQUE USING INDEX)"
)

ADVICE = {
    "acts-on-older-release": (
        "let the code of this release do it, or put it into a contract; where older processes get along with it, as "
        "with a trigger that fills a new column, say so in a waiver"
    ),
    "adding-field-with-default": (
        "add the column without a default, or with a constant one; fill it with `changes.in_batches`"
    ),
    "adding-foreign-key-constraint": _NOT_VALID,
    "adding-not-nullable-field": (
        "add CHECK (… IS NOT NULL) NOT VALID, then `changes.validate_constraint`, and SET NOT NULL in a revision "
        "after that: the server then reads no row"
    ),
    "adding-required-field": "give the column a constant default, which processes of the older release then write",
    "adding-serial-primary-key-field": "make a new table with the key, and move the rows with `changes.in_batches`",
    "ban-concurrent-index-creation-in-transaction": "use `changes.create_index`, which leaves the transaction",
    "ban-new-write-restriction": (
        "let the code of this release keep the rule, and put the constraint into a contract: processes of the older "
        "release do not know it"
    ),
    "ban-replace-view-function": "make one of a new name, and take the old one away in a contract",
    "ban-set-default": "write the value in code; where the older release must go on without it, say why in a waiver",
    "changing-column-type": _RENAME,
    "constraint-missing-not-valid": _NOT_VALID,
    "data-in-one-statement": "use `changes.in_batches`, in a revision of its own",
    "disallowed-unique-constraint": _UNIQUE,
    "impatient": "leave the timeout alone: `rapport migrate` waits a little at a time, and tries again",
    "locks-table": "do without the lock; or say in a waiver why the table is small and the wait short",
    "mixed-transaction": "put what leaves the transaction into a revision of its own, after or before this one",
    "not-repeatable": (
        "use `changes`, which makes a half-done index anew; other statements with IF EXISTS or IF NOT EXISTS"
    ),
    "order-of-phases": "number the contracts of this release after all its other revisions",
    "renaming-column": _RENAME,
    "renaming-object": _RENAME,
    "renaming-table": _RENAME,
    "require-concurrent-index-creation": "use `changes.create_index`, in a revision of its own",
    "require-concurrent-index-deletion": "use `changes.drop_index`, in a revision of its own",
    "require-concurrent-reindex": "REINDEX … CONCURRENTLY, in a revision of its own that leaves the transaction",
    "table-rewrite": _RENAME,
    "unused-waiver": "remove the waiver",
    "works-under-lock": (
        "do it in a revision before or after the one with the lock (a new foreign key locks both tables), with "
        "`changes.in_batches`"
    ),
    "waiver-without-reason": 'say why it does no harm here: `waivers = {"rule": "reason"}`',
}


def advice(rule: str, otherwise: str = "") -> str:
    """Return the safe way for a rule; squawk's own words, or those for what breaks the older release, without one."""
    return ADVICE.get(rule) or otherwise or _LATER
