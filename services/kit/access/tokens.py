"""What all signed tokens (RFC 7519) have in common: how they are checked, and what each failure is called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jwt

from services.kit.errors import Unauthenticated

SERVICE_TYPE = "rapport-service+jwt"
MAX_TOKEN_CHARACTERS = 16_384


def looks_signed(token: str) -> bool:
    """Tell whether a token has the form of a signed one."""
    return token.count(".") == 2 and token.startswith("ey") and len(token) <= MAX_TOKEN_CHARACTERS


def header_of(token: str) -> dict[str, Any]:
    """Return the header, which proves nothing yet; raises Unauthenticated (INVALID_TOKEN)."""
    try:
        header = jwt.get_unverified_header(token)
    except jwt.PyJWTError as error:
        raise invalid("it is malformed") from error
    if "crit" in header:
        raise invalid("its header demands what is not known here")
    return header


def verified(
    token: str,
    key: Any,
    *,
    algorithms: Sequence[str],
    issuer: str,
    audience: Sequence[str],
    leeway: float,
    required: Sequence[str],
) -> dict[str, Any]:
    """Return the claims of a token whose signature, times, issuer and audience are right.

    Raises Unauthenticated: TOKEN_EXPIRED when its time is over, INVALID_TOKEN for all else.
    """
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=list(algorithms),
            issuer=issuer,
            audience=list(audience),
            leeway=leeway,
            options={"require": list(required), "verify_sub": True},
        )
    except jwt.ExpiredSignatureError as error:
        raise Unauthenticated(
            "the access token has expired: get a new one", reason="TOKEN_EXPIRED"
        ) from error
    except jwt.InvalidSignatureError as error:
        raise invalid("its signature is wrong") from error
    except jwt.ImmatureSignatureError as error:
        raise invalid("its time has not come yet") from error
    except jwt.InvalidAudienceError as error:
        raise invalid("it is meant for others (aud)") from error
    except jwt.InvalidIssuerError as error:
        raise invalid("its issuer is not trusted here (iss)") from error
    except jwt.MissingRequiredClaimError as error:
        raise invalid(f"it lacks the claim {error.claim}") from error
    except (jwt.PyJWTError, ValueError, TypeError, OverflowError) as error:
        raise invalid("it is malformed, or signed in a way that is not allowed here") from error
    return claims


def invalid(why: str) -> Unauthenticated:
    """Return the error for a signed token that is not accepted."""
    return Unauthenticated(f"the access token is not accepted: {why}", reason="INVALID_TOKEN")
