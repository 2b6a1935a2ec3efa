"""What the writer of a rule most likely meant, where the checker only says what it does not know."""

from __future__ import annotations

from services.segmentation.rules.meant import names, syntax, types
from services.segmentation.rules.meant.names import signature
from services.segmentation.rules.meant.source import Place, Source
from services.segmentation.rules.registry import Registry

__all__ = ["explain", "signature"]


def explain(message: str, text: str, line: int, column: int, registry: Registry) -> tuple[str, Place]:
    """Return the checker's message with what was meant, where that is known, and the place of the mistake.

    line, column: of the place that the checker names, from 1; it may be one where the mistake only shows.
    """
    source = Source(text, line, column)
    for ask in (syntax.explain, names.explain, types.explain):
        if found := ask(message, source, registry):
            return found
    return message, (line, column)
