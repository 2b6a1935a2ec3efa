"""Roles: names for sets of grants, built in and from the roles file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from services.kit.access.grants import parse_grant
from services.kit.access.watched import Watched
from services.kit.errors import InvalidArgument

RoleTable = Mapping[str, tuple[str, ...]]

BUILT_IN: RoleTable = {
    "owner": ("*",),
    "manager": (
        "contacts.*",
        "sales.*",
        "segmentation.*",
        "campaign.*",
        "care.*",
        "operations.*",
    ),
    "marketer": (
        "contacts.read",
        "contacts.import",
        "segmentation.*",
        "campaign.*",
        "sales.read",
        "operations.*",
    ),
    # Segments and figures show customers of everybody, so who sees only some customers does not see them.
    "salesperson": (
        "contacts.read:team",
        "contacts.write:own",
        "care.read:own",
        "care.cases.write:own",
        "care.tasks.write:own",
    ),
    "agent": (
        "care.read:team",
        "care.cases.write:team",
        "care.tasks.write:team",
        "care.glance.read:team",
        "contacts.read:team",
    ),
    "viewer": (
        "contacts.read",
        "sales.read",
        "segmentation.read",
        "campaign.read",
        "care.read",
        "care.glance.read",
        "operations.read",
    ),
}
"""What each role may do when the roles file says nothing else of it."""


class Roles:
    """Know which grants a role stands for; the file is read again when it changes."""

    def __init__(self, path: Path | None = None) -> None:
        """Read the file, a JSON object of lists of grants by role.

        A role in it replaces the built-in one of its name. Raises InvalidArgument (ROLES_FILE).
        """
        self._file = None if path is None else Watched((path,), lambda: _load(path), f"roles file {path}")

    @property
    def table(self) -> RoleTable:
        """Return the grants of all roles."""
        return BUILT_IN if self._file is None else {**BUILT_IN, **self._file.value}

    def refresh(self) -> bool:
        """Read the file again if it changed, and tell whether there is something new."""
        return self._file is not None and self._file.refresh()

    def grants(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return the grants of some roles together; a name that is no role stands for none."""
        table = self.table
        return tuple(dict.fromkeys(grant for name in names for grant in table.get(name, ())))


def _load(path: Path) -> RoleTable:
    where = f"roles file {path}"
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidArgument(f"{where}: {error.strerror}", reason="ROLES_FILE") from error
    except ValueError as error:
        raise InvalidArgument(f"{where} is no JSON ({error})", reason="ROLES_FILE") from error
    if not isinstance(raw, dict):
        raise InvalidArgument(f"{where}: expected an object of lists of permissions", reason="ROLES_FILE")
    for role, grants in raw.items():
        if not isinstance(grants, list) or not all(isinstance(grant, str) for grant in grants):
            raise InvalidArgument(
                f"{where}, role {role}: expected a list of permissions", reason="ROLES_FILE"
            )
        for grant in grants:
            try:
                parse_grant(grant)
            except ValueError as error:
                raise InvalidArgument(f"{where}, role {role}: {error}", reason="ROLES_FILE") from error
    return {role: tuple(grants) for role, grants in raw.items()}
