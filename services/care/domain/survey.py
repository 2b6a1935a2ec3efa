"""Read the customer's answer to how it was from the words of a mail."""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_COMMENT = 4_000
# A digit alone: not the beginning of a longer number, of a word (1st), of a date or a time, nor of 3/10.
_SCORE = re.compile(r"([1-5])(?!\w|[.,:-]\d|/(?!5(?!\w))\d)(?:/5)?")
_LEADING_MARKS = " \t.,:;!)-–—"


@dataclass(frozen=True, slots=True)
class Answer:
    """Hold an answer. score: 1 (bad) to 5 (good); comment: the customer's other words, at most MAX_COMMENT."""

    score: int
    comment: str


def read_answer(text: str) -> Answer | None:
    """Return the answer of a mail whose first line of the customer's own starts with a number from 1 to 5, or None.

    Empty lines, quoted ones (“> …”) and the line that introduces a quote (“On … wrote:”) are not the customer's own.
    """
    lines = [line.strip() for line in text.split("\n")]
    own = [
        line
        for line, following in zip(lines, [*lines[1:], ""], strict=True)
        if line and not line.startswith(">") and not (line.endswith(":") and following.startswith(">"))
    ]
    found = _SCORE.match(own[0]) if own else None
    if found is None:
        return None
    words = "\n".join([own[0][found.end() :].lstrip(_LEADING_MARKS), *own[1:]]).strip()
    return Answer(int(found.group(1)), words[:MAX_COMMENT])
