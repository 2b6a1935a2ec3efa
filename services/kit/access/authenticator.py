"""Find out who calls: tokens of the tokens file, of services, and of an identity provider."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from services.kit import auth
from services.kit.access.oidc import OidcSettings, OidcVerifier
from services.kit.access.roles import Roles
from services.kit.access.service_tokens import ServiceVerifier
from services.kit.access.tokens import SERVICE_TYPE, header_of, looks_signed
from services.kit.auth import Principal, TokenStore
from services.kit.clock import machine_seconds
from services.kit.config import Settings
from services.kit.log import get_logger

_KNOWN_SECONDS = 300.0
"""A token is checked again after so long, even one that holds longer, so that a withdrawn key ends it."""
_KNOWN_TOKENS = 10_000
_log = get_logger("access")


@dataclass(frozen=True, slots=True)
class _Known:
    principal: Principal
    until: float


class Authenticator:
    """Find the principal of a token; a signed token is verified once and then known by its hash."""

    def __init__(
        self,
        tokens: TokenStore | None,
        *,
        roles: Roles,
        services: ServiceVerifier | None = None,
        oidc: OidcVerifier | None = None,
    ) -> None:
        """tokens: those of the tokens file; services, oidc: who verifies signed ones, None to refuse them."""
        self._tokens = tokens
        self._roles = roles
        self._services = services
        self._oidc = oidc
        self._lock = threading.Lock()
        self._known: dict[bytes, _Known] = {}
        self._generation = 0
        self._next_check = time.monotonic() + auth._RECHECK_SECONDS

    def find(self, token: str) -> Principal | None:
        """Return whose token it is, or None when nobody's.

        Raises Unauthenticated (TOKEN_EXPIRED, INVALID_TOKEN) for a signed token that is not accepted, Unavailable
        (SIGNING_KEYS_UNAVAILABLE) while none can be verified.
        """
        now = time.monotonic()
        if now >= self._next_check:
            self.refresh()
        digest = sha256(token.encode("utf-8", "surrogateescape"))
        known = self._known.get(digest.digest())
        if known is not None and now < known.until:
            return known.principal
        if self._tokens is not None:
            principal = self._tokens.by_hash(digest.hexdigest())
            if principal is not None:
                return principal
        return self._verify(token, digest.digest(), now) if looks_signed(token) else None

    def refresh(self) -> None:
        """Read the files again that changed; what was known through them is forgotten."""
        self._next_check = time.monotonic() + auth._RECHECK_SECONDS
        if self._roles.refresh():
            self.forget()
            if self._tokens is not None:
                self._tokens.reload()
            _log.warning("roles changed", audit="access.changed", roles=sorted(self._roles.table))
        elif self._tokens is not None:
            self._tokens.refresh()
        before = self._services.key_ids if self._services is not None else frozenset()
        if self._services is not None and self._services.refresh():
            self.forget()
            after = self._services.key_ids
            _log.warning(
                "service keys changed",
                audit="access.changed",
                added=sorted(after - before),
                removed=sorted(before - after),
            )

    def forget(self) -> None:
        """Forget which tokens were verified, as a key or a role is another one."""
        with self._lock:
            self._generation += 1
            self._known = {}

    def _verify(self, token: str, digest: bytes, now: float) -> Principal | None:
        generation = self._generation
        header = header_of(token)
        if header.get("typ") == SERVICE_TYPE:
            if self._services is None:
                return None
            principal, expires = self._services.verify(token, header)
        elif self._oidc is not None:
            principal, expires = self._oidc.verify(token)
        else:
            return None
        until = now + min(_KNOWN_SECONDS, expires - machine_seconds())
        with self._lock:
            # What was forgotten meanwhile must not come back.
            if generation == self._generation:
                while len(self._known) >= _KNOWN_TOKENS:
                    del self._known[next(iter(self._known))]
                self._known[digest] = _Known(principal, until)
        return principal


def make_authenticator(settings: Settings, service: str) -> Authenticator:
    """Return what finds out who calls a service, from its settings.

    The tokens file may be missing when tokens of services or of an identity provider are accepted. Raises
    InvalidArgument (TOKENS_FILE, ROLES_FILE, SERVICE_KEYS_FILE, INVALID_SETTINGS).
    """
    roles = Roles(settings.roles_file)
    services = (
        ServiceVerifier(service, settings.service_keys_file)
        if settings.service_keys_file is not None
        else None
    )
    found: list[Authenticator] = []
    oidc = (
        OidcVerifier(
            OidcSettings(
                issuer=settings.oidc_issuer,
                jwks_url=settings.oidc_jwks_url,
                audience=settings.oidc_audience,
                algorithms=settings.oidc_algorithms,
                leeway_seconds=settings.oidc_leeway_seconds,
                user_claim=settings.oidc_user_claim,
                roles_claim=settings.oidc_roles_claim,
                teams_claim=settings.oidc_teams_claim,
            ),
            roles,
            on_change=lambda: found[0].forget() if found else None,
        )
        if settings.oidc_issuer
        else None
    )
    file = settings.effective_tokens_file
    optional = (services is not None or oidc is not None) and not _given(settings, file)
    tokens = None if optional else TokenStore(file, roles)
    found.append(Authenticator(tokens, roles=roles, services=services, oidc=oidc))
    if oidc is not None:
        oidc.jwks.warm()
    return found[0]


def _given(settings: Settings, file: Path) -> bool:
    return settings.tokens_file is not None or file.exists()
