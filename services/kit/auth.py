"""Who may call what: access tokens, kept as hashes in a file, and the permissions of each."""

from __future__ import annotations

import json
import os
import secrets
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from services.kit.errors import FailedPrecondition, InvalidArgument
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


@dataclass(slots=True, eq=False)
class Principal:
    """Name a caller and what it may do: patterns `*`, `contacts.*` or exact, such as `contacts.read`."""

    name: str
    permissions: tuple[str, ...]
    _known: dict[str, bool] = field(default_factory=dict, repr=False)

    def may(self, permission: str) -> bool:
        """Tell whether one of the patterns covers the permission."""
        known = self._known.get(permission)
        if known is None:
            known = self._known[permission] = any(
                _covers(pattern, permission) for pattern in self.permissions
            )
        return known


def _covers(pattern: str, permission: str) -> bool:
    if pattern == "*":
        return True
    if pattern.endswith(".*"):
        return permission.startswith(pattern[:-1])
    return pattern == permission


class TokenStore:
    """Look up access tokens in a JSON file of hashes, which is read again when it changes."""

    def __init__(self, path: Path) -> None:
        """Read the file; raises InvalidArgument (TOKENS_FILE) when it is missing or malformed."""
        self._path = path
        self._lock = threading.Lock()
        self._signature = _signature(path)
        self._principals = {entry.sha256: entry.principal for entry in _load(path)}
        self._next_check = time.monotonic() + _RECHECK_SECONDS

    def find(self, token: str) -> Principal | None:
        """Return the principal that the token belongs to, or None."""
        if time.monotonic() >= self._next_check:
            self.refresh()
        digest = sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
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
                self._principals = {entry.sha256: entry.principal for entry in _load(self._path)}
                self._signature = signature
            except InvalidArgument as error:
                _log.error("tokens file unusable, keeping the tokens read before", problem=error.message)


@dataclass(frozen=True, slots=True)
class _Entry:
    sha256: str
    principal: Principal


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
            len(digest) == 64
            and set(digest) <= set("0123456789abcdef")
            and name
            and all(isinstance(pattern, str) and pattern for pattern in permissions)
        ):
            return _Entry(digest, Principal(name, tuple(permissions)))
    raise InvalidArgument(
        f'{where}: expected {{"sha256": 64 lower-case hex digits, "principal": name, '
        f'"permissions": [patterns]}}; {_REMEDY}',
        reason="TOKENS_FILE",
    )


def hash_token(token: str) -> str:
    """Return the hash under which a token is stored. Tokens are random, so no salt or slow hash is needed."""
    return sha256(token.encode()).hexdigest()


def new_token() -> str:
    """Make a random token of 256 bits."""
    return secrets.token_urlsafe(32)


def add_tokens(path: Path, grants: Iterable[tuple[str, Iterable[str], str]]) -> None:
    """Put tokens into the file, mode 0600, atomically; each grant is (principal, permission patterns, token).

    Tokens that the file holds for the same principals are replaced, those of others are kept.
    """
    granted = [(name, tuple(permissions), token) for name, permissions, token in grants]
    _replace(
        path,
        {name for name, _, _ in granted},
        [_Entry(hash_token(token), Principal(name, permissions)) for name, permissions, token in granted],
    )


def remove_tokens(path: Path, names: Iterable[str]) -> None:
    """Take the tokens of these principals out of the file, atomically."""
    _replace(path, set(names), [])


def read_principals(path: Path) -> list[Principal]:
    """Return who has a token in the file, none when there is no file yet; raises InvalidArgument (TOKENS_FILE)."""
    return [entry.principal for entry in _load(path)] if path.exists() else []


def _replace(path: Path, names: set[str], new: list[_Entry]) -> None:
    kept = [entry for entry in _load(path) if entry.principal.name not in names] if path.exists() else []
    entries = [
        {
            "sha256": entry.sha256,
            "principal": entry.principal.name,
            "permissions": list(entry.principal.permissions),
        }
        for entry in (*kept, *new)
    ]
    _write_private(path, json.dumps(entries, indent=2) + "\n")


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
    return name if name == "owner" else f"service:{name}"


def _write_private(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # mkstemp makes the file 0600, so the hashes are never readable by others, not even for a moment.
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".new")
    except OSError as error:
        raise FailedPrecondition(
            f"cannot write the tokens file {path}: {error.strerror}", reason="DATA_DIR_UNWRITABLE"
        ) from error
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
