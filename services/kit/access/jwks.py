"""The public keys of an identity provider (RFC 7517), fetched over HTTP and kept."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

import jwt

from services.kit.access.limits import Buckets
from services.kit.errors import InvalidArgument, Unavailable
from services.kit.log import get_logger, safe_summary

MAX_AGE_SECONDS = 600.0
"""Older keys are fetched anew beside the calls, which go on with the old ones."""
STALE_SECONDS = 86_400.0
"""Keys that could not be renewed for so long are trusted no more."""
RETRY_SECONDS = 30.0
"""Unknown key ids make the keys be fetched so often on average, so that nobody can make us flood the provider."""
ASKS_AT_ONCE = 5
"""So many of these fetches may come one after the other, as a provider may begin with a new key at any moment."""
FIRST_RETRY_SECONDS = 2.0
TIMEOUT_SECONDS = 5.0
MAX_BYTES = 1 << 20
_log = get_logger("access")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Refuse redirects: the keys come from where the settings say, and from nowhere else."""

    def redirect_request(self, *_: Any) -> None:
        return None


_opener = urllib.request.build_opener(_NoRedirect)


def check_url(url: str, setting: str) -> str:
    """Return a URL that can be fetched; raises InvalidArgument (INVALID_SETTINGS)."""
    parts = urlsplit(url)
    if parts.scheme not in ("https", "http") or not parts.hostname or parts.username or parts.password:
        raise InvalidArgument(
            f"RAPPORT_{setting}: expected an https URL without a password in it", reason="INVALID_SETTINGS"
        )
    return url


def fetch_json(url: str) -> Any:
    """Return the JSON at a URL; raises OSError, HTTPException or ValueError."""
    request = urllib.request.Request(url, headers={"accept": "application/json"})
    ends = time.monotonic() + TIMEOUT_SECONDS
    content = b""
    with _opener.open(request, timeout=TIMEOUT_SECONDS) as response:
        while piece := response.read1(1 << 16):
            content += piece
            if len(content) > MAX_BYTES:
                raise ValueError(f"more than {MAX_BYTES} bytes")
            # The time limit of the socket is one for each piece, and a server that drips would hold us for ever.
            if time.monotonic() > ends:
                raise TimeoutError(f"no whole answer within {TIMEOUT_SECONDS:g} s")
    return json.loads(content)


class Jwks:
    """Look up signing keys by their id; safe to share between threads."""

    def __init__(self, source: Callable[[], Any], *, on_change: Callable[[], None] = lambda: None) -> None:
        """source: fetches the key set as JSON; on_change: called when other keys are there than before."""
        self._source = source
        self._on_change = on_change
        self._keys: Mapping[str, jwt.PyJWK] = {}
        self._lock = threading.Lock()
        self._tried = self._fetched = float("-inf")
        self._asks = Buckets(1 / RETRY_SECONDS, ASKS_AT_ONCE)
        # Until when an id is taken for one that the provider does not have.
        self._absent: dict[str | None, float] = {}

    def warm(self) -> None:
        """Fetch the keys beside what the process does now."""
        threading.Thread(target=self._fetch_if_free, name="jwks", daemon=True).start()

    def key(self, kid: str | None) -> jwt.PyJWK | None:
        """Return the key of an id, or None when the provider has none of it; without an id, the only key.

        Raises Unavailable (SIGNING_KEYS_UNAVAILABLE) while the keys cannot be had.
        """
        now = time.monotonic()
        if now - self._fetched > STALE_SECONDS:
            if now - self._tried > FIRST_RETRY_SECONDS:
                self._fetch()
            if time.monotonic() - self._fetched > STALE_SECONDS:
                raise _unavailable()
        elif now - self._fetched > MAX_AGE_SECONDS and now - self._tried > RETRY_SECONDS:
            self.warm()
        return self._find(kid) or self._ask_for(kid)

    def _ask_for(self, kid: str | None) -> jwt.PyJWK | None:
        """Fetch the keys, as the provider may have a new one; None only when it said that it has none of this id."""
        asked = time.monotonic()
        if asked < self._absent.get(kid, asked):
            return None
        # One thread asks; the others tell their callers to come again.
        if not self._lock.acquire(blocking=False):
            raise _unavailable()
        try:
            # Another thread may have fetched it meanwhile.
            if found := self._find(kid):
                return found
            if wait := self._asks.take("provider"):
                raise _unavailable(wait)
            self._fetch_locked()
            found = self._find(kid)
            if found is None:
                if self._fetched < asked:
                    raise _unavailable()
                until = time.monotonic() + RETRY_SECONDS
                self._absent = {one: end for one, end in self._absent.items() if end > asked} | {kid: until}
            return found
        finally:
            self._lock.release()

    def _find(self, kid: str | None) -> jwt.PyJWK | None:
        keys = self._keys
        if kid is None:
            return next(iter(keys.values())) if len(keys) == 1 else None
        return keys.get(kid)

    def _fetch(self) -> None:
        asked = time.monotonic()
        with self._lock:
            if self._tried < asked:
                self._fetch_locked()

    def _fetch_if_free(self) -> bool:
        if not self._lock.acquire(blocking=False):
            return False
        try:
            self._fetch_locked()
        finally:
            self._lock.release()
        return True

    def _fetch_locked(self) -> None:
        try:
            keys = _read(self._source())
        except (OSError, HTTPException, ValueError) as error:
            _log.error("signing keys could not be fetched", problem=safe_summary(error))
            self._tried = time.monotonic()
            return
        changed = {kid: key.key for kid, key in self._keys.items()} != {
            kid: key.key for kid, key in keys.items()
        }
        first = not self._keys
        removed, added = sorted(set(self._keys) - set(keys)), sorted(set(keys) - set(self._keys))
        self._keys = keys
        self._tried = self._fetched = time.monotonic()
        if changed:
            self._on_change()
            if not first:
                _log.warning("signing keys changed", audit="access.changed", added=added, removed=removed)


def _read(raw: Any) -> dict[str, jwt.PyJWK]:
    """Return the usable keys of a key set by id; raises ValueError when there is none."""
    entries = raw.get("keys") if isinstance(raw, dict) else None
    if not isinstance(entries, list):
        raise ValueError("no key set: expected an object with the list `keys`")
    keys: dict[str, jwt.PyJWK] = {}
    for number, entry in enumerate(entries):
        # A symmetric key in a public place signs nothing that can be trusted.
        if not isinstance(entry, dict) or entry.get("kty") == "oct" or entry.get("use", "sig") != "sig":
            continue
        try:
            keys[str(entry.get("kid", f"#{number}"))] = jwt.PyJWK(entry)
        except jwt.PyJWTError:
            continue  # of a kind that we do not know
    if not keys:
        raise ValueError("the key set has no usable signing key")
    return keys


def _unavailable(wait: float | None = None) -> Unavailable:
    return Unavailable(
        "the keys of the identity provider cannot be had now; try again",
        reason="SIGNING_KEYS_UNAVAILABLE",
        retry_seconds=wait,
    )
