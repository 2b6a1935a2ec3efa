"""Who may call what: access tokens, kept as hashes in a file, and the permissions of each."""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from services.kit.access.grants import parse_grant, widest
from services.kit.access.roles import Roles
from services.kit.access.scope import Scope
from services.kit.errors import InvalidArgument
from services.kit.files import write_private
from services.kit.log import get_logger

_log = get_logger("auth")
_RECHECK_SECONDS = 1.0
_REMEDY = (
    "mend it, or move it away: `rapport up` then makes a new one, and tokens that `rapport tokens create` made must be "
    "made again"
)

# What each service asks of the others, and no more. `events.read` lets its worker follow their event streams.
SERVICE_PERMISSIONS: Mapping[str, tuple[str, ...]] = {
    "contacts": ("events.read",),
    "sales": ("events.read", "contacts.read"),
    "segmentation": ("events.read", "contacts.read", "sales.read"),
    "campaign": (
        "events.read",
        "contacts.recipients.read",
        "contacts.read",
        "contacts.write",
        "segmentation.read",
        "care.read",
        "care.cases.write",
        "care.tasks.write",
    ),
    "care": (
        "events.read",
        "contacts.read",
        "segmentation.read",
        "sales.read",
        "campaign.read",
        "campaign.messages.send",
        "campaign.reports.write",
    ),
}


SERVICE_PREFIX = "service:"


@dataclass(slots=True, eq=False)
class Principal:
    """Name a caller and what it may do: grants `*`, `contacts.*`, `contacts.read` or `contacts.read:own`.

    user: whose records are its own, empty for nobody's; teams: those it belongs to.
    """

    name: str
    permissions: tuple[str, ...]
    user: str = ""
    teams: tuple[str, ...] = ()
    _known: dict[str, Scope | None] = field(default_factory=dict, repr=False)

    @property
    def is_service(self) -> bool:
        """Tell whether it is one of our own services."""
        return self.name.startswith(SERVICE_PREFIX)

    def may(self, permission: str) -> bool:
        """Tell whether one of the grants covers the permission, with whatever records."""
        return self.scope(permission) is not None

    def scope(self, permission: str) -> Scope | None:
        """Return with whose records the permission may be used, or None when no grant covers it."""
        try:
            return self._known[permission]
        except KeyError:
            reach = widest(map(parse_grant, self.permissions), permission)
            found = None if reach is None else Scope(reach, self.user, self.teams)
            self._known[permission] = found
            return found


class TokenStore:
    """Look up access tokens in a JSON file of hashes, which is read again when it changes."""

    def __init__(self, path: Path, roles: Roles | None = None) -> None:
        """Read the file; raises InvalidArgument (TOKENS_FILE) when it is missing or malformed.

        roles: what the roles of its entries stand for, by default the built-in ones.
        """
        self._path = path
        self._roles = roles or Roles()
        self._lock = threading.Lock()
        self._signature = _signature(path)
        self._entries = _load(path)
        self._principals = self._resolved()
        self._next_check = time.monotonic() + _RECHECK_SECONDS

    def find(self, token: str) -> Principal | None:
        """Return the principal that the token belongs to, or None."""
        if time.monotonic() >= self._next_check:
            self.refresh()
        return self.by_hash(sha256(token.encode("utf-8", "surrogateescape")).hexdigest())

    def by_hash(self, digest: str) -> Principal | None:
        """Return the principal whose token has this hash, or None."""
        # Looking up the hash, not the token, leaves nothing to time: a caller cannot steer the bytes of a
        # hash.
        return self._principals.get(digest)

    def refresh(self) -> None:
        """Read the file again if it changed; a file that is broken now leaves the tokens as they were."""
        with self._lock:
            self._next_check = time.monotonic() + _RECHECK_SECONDS
            try:
                signature = _signature(self._path)
                if signature == self._signature:
                    return
                before, self._entries = self._entries, _load(self._path)
                self._signature = signature
            except InvalidArgument as error:
                _log.error("tokens file unusable, keeping the tokens read before", problem=error.message)
                return
            self._principals = self._resolved()
            _log.warning(
                "access tokens changed", audit="access.changed", **_difference(before, self._entries)
            )

    def reload(self) -> None:
        """Take the roles anew, which changed."""
        with self._lock:
            self._principals = self._resolved()

    def _resolved(self) -> dict[str, Principal]:
        return {
            entry.sha256: Principal(
                entry.principal,
                (*entry.permissions, *self._roles.grants(entry.roles)),
                user="" if entry.principal.startswith(SERVICE_PREFIX) else entry.principal,
                teams=entry.teams,
            )
            for entry in self._entries
        }


@dataclass(frozen=True, slots=True)
class _Entry:
    sha256: str
    principal: str
    permissions: tuple[str, ...]
    roles: tuple[str, ...] = ()
    teams: tuple[str, ...] = ()


def _difference(before: list[_Entry], after: list[_Entry]) -> dict[str, list[str]]:
    """Return which principals got, lost or changed their access, for the record."""
    old, new = ({entry.principal: entry for entry in entries} for entries in (before, after))
    return {
        "added": sorted(new.keys() - old.keys()),
        "removed": sorted(old.keys() - new.keys()),
        "changed": sorted(name for name in new.keys() & old.keys() if new[name] != old[name]),
    }


def _signature(path: Path) -> tuple[int, int, int]:
    try:
        status = path.stat()
    except OSError as error:
        raise InvalidArgument(
            f"no access tokens: cannot read {path} ({error.strerror}); `rapport up` creates it, "
            "or set RAPPORT_TOKENS_FILE",
            reason="TOKENS_FILE",
        ) from error
    return status.st_mtime_ns, status.st_ino, status.st_size


def _load(path: Path) -> list[_Entry]:
    where = f"tokens file {path}"
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidArgument(f"{where}: {error.strerror}", reason="TOKENS_FILE") from error
    except ValueError as error:
        raise InvalidArgument(f"{where} is no JSON ({error}); {_REMEDY}", reason="TOKENS_FILE") from error
    if not isinstance(raw, list):
        raise InvalidArgument(f"{where}: expected a list of entries; {_REMEDY}", reason="TOKENS_FILE")
    return [_entry(item, f"{where}, entry {index}") for index, item in enumerate(raw)]


def _entry(item: Any, where: str) -> _Entry:
    match item:
        case {"sha256": str(digest), "principal": str(name), "permissions": list(permissions)} if (
            len(digest) == 64 and set(digest) <= set("0123456789abcdef") and name
        ):
            lists = (permissions, item.get("roles", []), item.get("teams", []))
            if all(
                isinstance(texts, list) and all(isinstance(one, str) and one for one in texts)
                for texts in lists
            ):
                try:
                    for grant in permissions:
                        parse_grant(grant)
                except ValueError as error:
                    raise InvalidArgument(f"{where}: {error}; {_REMEDY}", reason="TOKENS_FILE") from error
                return _Entry(digest, name, *map(tuple, lists))
    raise InvalidArgument(
        f'{where}: expected {{"sha256": 64 lower-case hex digits, "principal": name, '
        f'"permissions": [grants]}}, and if wanted "roles" and "teams"; {_REMEDY}',
        reason="TOKENS_FILE",
    )


def hash_token(token: str) -> str:
    """Return the hash under which a token is stored. Tokens are random, so no salt or slow hash is needed."""
    return sha256(token.encode()).hexdigest()


def new_token() -> str:
    """Make a random token of 256 bits."""
    return secrets.token_urlsafe(32)


def add_tokens(
    path: Path,
    grants: Iterable[tuple[str, Iterable[str], str]],
    *,
    roles: Iterable[str] = (),
    teams: Iterable[str] = (),
) -> None:
    """Put tokens into the file, mode 0600, atomically; each grant is (principal, permission grants, token).

    roles, teams: of each of them. Tokens that the file holds for the same principals are replaced, those of others
    are kept.
    """
    held = tuple(roles), tuple(teams)
    new = [_Entry(hash_token(token), name, tuple(rights), *held) for name, rights, token in grants]
    _replace(path, {entry.principal for entry in new}, new)


def remove_tokens(path: Path, names: Iterable[str]) -> None:
    """Take the tokens of these principals out of the file, atomically."""
    _replace(path, set(names), [])


def read_principals(path: Path, roles: Roles | None = None) -> list[Principal]:
    """Return who has a token in the file, none when there is no file yet; raises InvalidArgument (TOKENS_FILE)."""
    known = roles or Roles()
    return [
        Principal(entry.principal, (*entry.permissions, *known.grants(entry.roles)), teams=entry.teams)
        for entry in (_load(path) if path.exists() else [])
    ]


def _replace(path: Path, names: set[str], new: list[_Entry]) -> None:
    kept = [entry for entry in _load(path) if entry.principal not in names] if path.exists() else []
    entries = [
        {
            "sha256": entry.sha256,
            "principal": entry.principal,
            "permissions": list(entry.permissions),
        }
        | ({"roles": list(entry.roles)} if entry.roles else {})
        | ({"teams": list(entry.teams)} if entry.teams else {})
        for entry in (*kept, *new)
    ]
    write_private(path, json.dumps(entries, indent=2) + "\n", "tokens file")


def create_tokens(path: Path, *, owner_token: str | None = None) -> dict[str, str]:
    """Give out the tokens of a laptop stack and return them by principal: `owner`, and one for each service.

    The owner may do everything; a service what SERVICE_PERMISSIONS lists. owner_token: kept when given, so
    that it survives a restart; the services' tokens are new each time. Other principals in the file are kept.
    """
    tokens = {"owner": owner_token or new_token()} | {service: new_token() for service in SERVICE_PERMISSIONS}
    rights: dict[str, tuple[str, ...]] = {"owner": ("*",), **SERVICE_PERMISSIONS}
    add_tokens(path, [(_principal(name), rights[name], token) for name, token in tokens.items()])
    return tokens


def _principal(name: str) -> str:
    return name if name == "owner" else f"{SERVICE_PREFIX}{name}"
