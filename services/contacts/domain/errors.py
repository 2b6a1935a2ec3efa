"""Refusals that do not know yet where the value came from: a field of a request or a column of a file."""

from __future__ import annotations


class Refused(ValueError):
    """Report a value that cannot be taken; the text says what is wrong and what would be right.

    field: the part of the contact at fault, such as `tags`, when it is not the value that was being read.
    """

    def __init__(self, text: str, *, field: str = "") -> None:
        super().__init__(text)
        self.field = field


class IdentitiesConflict(Exception):
    """Report that the identities of one upsert belong to different contacts; `owners` are their ids."""

    def __init__(self, owners: tuple[object, ...]) -> None:
        super().__init__("the identities belong to different contacts")
        self.owners = owners
