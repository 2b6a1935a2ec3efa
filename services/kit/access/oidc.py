"""Tokens of an identity provider (OpenID Connect): signed by its keys, their claims say who calls, in which roles."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from services.kit.access.jwks import Jwks, check_url, fetch_json
from services.kit.access.roles import Roles
from services.kit.access.tokens import header_of, invalid, verified
from services.kit.auth import Principal
from services.kit.errors import InvalidArgument
from services.kit.log import safe_text

_FAMILIES = {"RSA": ("RS", "PS"), "EC": ("ES",), "OKP": ("EdDSA",)}
_PLAIN = re.compile(r"[A-Za-z0-9._:|-]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class OidcSettings:
    """Say whom to trust.

    issuer: the `iss` of its tokens; jwks_url: of its keys, empty to ask the issuer's discovery document; audience: one
    of these must be in `aud`; algorithms: those allowed; the claims: where user, roles and teams stand, a dotted path
    for nested ones.
    """

    issuer: str
    audience: tuple[str, ...]
    jwks_url: str = ""
    algorithms: tuple[str, ...] = ("RS256", "ES256", "EdDSA")
    leeway_seconds: float = 30.0
    user_claim: str = "sub"
    roles_claim: str = "roles"
    teams_claim: str = "teams"


class OidcVerifier:
    """Turn tokens of an identity provider into principals."""

    def __init__(
        self,
        settings: OidcSettings,
        roles: Roles,
        *,
        fetch: Callable[[str], Any] = fetch_json,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        """fetch: returns the JSON at a URL; on_change: called when the provider's keys are others than before.

        Raises InvalidArgument (INVALID_SETTINGS).
        """
        check_url(settings.issuer, "OIDC_ISSUER")
        if settings.jwks_url:
            check_url(settings.jwks_url, "OIDC_JWKS_URL")
        if not settings.audience:
            raise InvalidArgument(
                "RAPPORT_OIDC_AUDIENCE: name the audience of our tokens, or those for other systems would count here",
                reason="INVALID_SETTINGS",
            )
        self._settings = settings
        self._roles = roles
        self._fetch = fetch
        self.jwks = Jwks(self._key_set, on_change=on_change)

    def verify(self, token: str) -> tuple[Principal, float]:
        """Return who calls, and until when the token holds (POSIX seconds).

        Raises Unauthenticated (TOKEN_EXPIRED, INVALID_TOKEN), Unavailable (SIGNING_KEYS_UNAVAILABLE).
        """
        settings = self._settings
        header = header_of(token)
        algorithm, kid = header.get("alg"), header.get("kid")
        if algorithm not in settings.algorithms:
            raise invalid(f"its algorithm is none of {', '.join(settings.algorithms)}")
        if kid is not None and not isinstance(kid, str):
            raise invalid("its key id is no text")
        key = self.jwks.key(kid)
        if key is None:
            raise invalid("the issuer has no key of its key id")
        if not algorithm.startswith(_FAMILIES.get(key.key_type or "", ())) or (
            # The key set may fix the algorithm; PyJWK fills in a default of its own when it does not.
            (fixed := key._jwk_data.get("alg")) is not None and fixed != algorithm
        ):
            raise invalid("its algorithm does not fit the key")
        claims = verified(
            token,
            key.key,
            algorithms=(algorithm,),
            issuer=settings.issuer,
            audience=settings.audience,
            leeway=settings.leeway_seconds,
            required=("exp", "iss", "aud", "sub"),
        )
        return self._principal(claims), float(claims["exp"]) + settings.leeway_seconds

    def _principal(self, claims: Mapping[str, Any]) -> Principal:
        user = _claim(claims, self._settings.user_claim)
        if not isinstance(user, str) or not user:
            raise invalid(f"it lacks the claim {self._settings.user_claim}")
        return Principal(
            log_name(user),
            self._roles.grants(_texts(_claim(claims, self._settings.roles_claim))),
            user=user,
            teams=_texts(_claim(claims, self._settings.teams_claim)),
        )

    def _key_set(self) -> Any:
        url = self._settings.jwks_url
        if not url:
            issuer = self._settings.issuer
            found = self._fetch(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
            if not isinstance(found, dict) or found.get("issuer") != issuer:
                raise ValueError(f"the discovery document is not one of the issuer {issuer}")
            url = str(found.get("jwks_uri", ""))
            try:
                check_url(url, "OIDC_ISSUER")
            except InvalidArgument as error:
                raise ValueError("the discovery document names no key set (jwks_uri)") from error
            if issuer.startswith("https:") and not url.startswith("https:"):
                # Whoever stands between would hand out keys of its own.
                raise ValueError("the discovery document of an https issuer names keys without encryption")
        return self._fetch(url)


def log_name(user: str) -> str:
    """Return how a user is called in logs and records: as in the token, or by a hash when that may be personal data."""
    if _PLAIN.fullmatch(user) and safe_text(user) == user:
        return f"user:{user}"
    return f"user:~{sha256(user.encode('utf-8', 'surrogatepass')).hexdigest()[:20]}"


def _claim(claims: Mapping[str, Any], path: str) -> Any:
    """Return a claim: by its name, which may hold dots, or else by a path through objects."""
    if path in claims:
        return claims[path]
    found: Any = claims
    for part in path.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def _texts(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return tuple(value.replace(",", " ").split())
    if isinstance(value, list):
        return tuple(item for item in value if isinstance(item, str) and item)
    return ()
