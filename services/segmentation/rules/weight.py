"""How large the SQL of a rule becomes, and how deep its lists stand inside one another: both are bounded.

Some operands are written into the statement more than once (an unknown side of ``==``, the predicate of a list that
may be unknown), so nesting multiplies: without a bound, a rule of 400 characters would become gigabytes of SQL. Lists
inside one another multiply the time it takes to answer, which grows with the number of a contact's events to the power
of the depth.
"""

from __future__ import annotations

from services.segmentation.rules import ir
from services.segmentation.rules.errors import RuleError, RuleTooLargeError
from services.segmentation.rules.scope import unsure

MAX_WEIGHT = 5_000
"""Parts of the SQL of one rule, repeated ones counted each time: twice what the longest flat rule has. A part is some
80 characters at the most, and takes about 50 µs to build and to plan.
"""
MAX_NESTED_LISTS = 3


def check_weight(root: ir.Node, text: str) -> None:
    """Raise RuleError for lists that stand too deep inside one another, RuleTooLargeError for too much SQL."""
    _check_lists(root, text, 1)
    if weight(root) > MAX_WEIGHT:
        raise RuleTooLargeError(
            "the rule grows too large when it is compiled, because parts inside == , lists or conditions are needed "
            "several times: write it flatter or split it into several segments",
            text=text,
        )


def _check_lists(node: ir.Node, text: str, level: int) -> None:
    if isinstance(node, ir.Count | ir.Quantified | ir.Aggregate):
        if level > MAX_NESTED_LISTS:
            raise RuleError.at(
                f"lists stand inside one another more than {MAX_NESTED_LISTS} levels deep, which could take for ever "
                "to answer: ask the outer list with && instead, or split the rule",
                text,
                node.offset,
            )
        level += 1
    for child in node.children():
        _check_lists(child, text, level)


def weight(node: ir.Node) -> int:
    """Return how many parts the SQL of a node has, as the compiler of ``sql`` writes it at the most."""
    if isinstance(node, ir.Count | ir.Quantified | ir.Aggregate):
        return _of_list(node)
    if isinstance(node, ir.Equal):
        left, right = weight(node.left), weight(node.right)
        if node.left.can_null or node.right.can_null:
            left, right = left * (1 + node.left.can_err), right * (1 + node.right.can_err)
        return 1 + left + right
    if isinstance(node, ir.InSegment | ir.PluginValue):
        return 2
    below = sum(weight(child) for child in node.children())
    return 1 + below * (2 if isinstance(node, ir.InTexts) and node.can_err else 1)


def _of_list(node: ir.Count | ir.Quantified | ir.Aggregate) -> int:
    keep = spoilt = 0
    for step in node.items.steps:
        own = weight(step.expr)
        if unsure(step.expr):
            spoilt += keep + own
        if step.role == "filter":
            keep += own
    if not isinstance(node, ir.Quantified):
        value = 0 if node.items.element is None else weight(node.items.element)
        return 4 + keep + spoilt + value
    asked = keep + weight(node.predicate)
    return 4 + spoilt + asked * (2 if unsure(node.predicate) else 1)
