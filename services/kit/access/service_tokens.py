"""Tokens by which services prove themselves to each other: short-lived, signed by a key of each service's own.

The private key is in a PEM file of the service alone; the public keys of all are in one file (a JWK set whose keys
name their `service`). A token names its issuer and the one service it is meant for, so that none can be passed on.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from services.kit.access.tokens import SERVICE_TYPE, invalid, verified
from services.kit.access.watched import Watched
from services.kit.auth import SERVICE_PERMISSIONS, Principal
from services.kit.clock import machine_seconds
from services.kit.errors import InvalidArgument
from services.kit.files import write_private

LIFETIME_SECONDS = 300
LEEWAY_SECONDS = 30
_RENEW_SECONDS = 150
_ALGORITHM = "EdDSA"


@dataclass(frozen=True, slots=True)
class ServiceKey:
    """Hold a public key, its id (RFC 7638), and whose it is."""

    kid: str
    service: str
    key: Ed25519PublicKey


class ServiceTokens:
    """Make the tokens that a service shows to others; call it with the service asked."""

    def __init__(self, service: str, key_file: Path) -> None:
        """Read the private key; raises InvalidArgument (SERVICE_KEY_FILE)."""
        self._service = service
        self._key = Watched((key_file,), lambda: _read_private(key_file), f"service key {key_file}")
        self._lock = threading.Lock()
        self._made: dict[str, tuple[str, float]] = {}

    def __call__(self, audience: str) -> str:
        """Return a token for a service, at most half its life old."""
        now = machine_seconds()
        made = self._made.get(audience)
        if made is not None and made[1] - _RENEW_SECONDS <= now < made[1]:
            return made[0]
        with self._lock:
            self._key.refresh()
            kid, key = self._key.value
            token = jwt.encode(
                {
                    "iss": self._service,
                    "sub": self._service,
                    "aud": audience,
                    "iat": int(now),
                    "exp": int(now) + LIFETIME_SECONDS,
                },
                key,
                algorithm=_ALGORITHM,
                headers={"kid": kid, "typ": SERVICE_TYPE},
            )
            self._made[audience] = (token, now + _RENEW_SECONDS)
            return token


class ServiceVerifier:
    """Turn tokens of services into principals."""

    def __init__(self, service: str, keys_file: Path) -> None:
        """service: who is asked, the only audience accepted.

        Reads the public keys; raises InvalidArgument (SERVICE_KEYS_FILE).
        """
        self._service = service
        self._keys = Watched((keys_file,), lambda: read_keys(keys_file), f"service keys {keys_file}")

    def refresh(self) -> bool:
        """Read the file again if it changed, and tell whether there is something new."""
        return self._keys.refresh()

    @property
    def key_ids(self) -> frozenset[str]:
        """Return the ids of the keys that are accepted."""
        return frozenset(self._keys.value)

    def verify(self, token: str, header: Mapping[str, Any]) -> tuple[Principal, float]:
        """Return which service calls, and until when the token holds (POSIX seconds); raises Unauthenticated."""
        known = self._keys.value.get(str(header.get("kid")))
        if known is None:
            raise invalid("no service has its key")
        claims = verified(
            token,
            known.key,
            algorithms=(_ALGORITHM,),
            issuer=known.service,
            audience=(self._service,),
            leeway=LEEWAY_SECONDS,
            required=("exp", "iat", "iss", "aud", "sub"),
        )
        if claims["sub"] != known.service or claims["exp"] - claims["iat"] > 2 * LIFETIME_SECONDS:
            raise invalid("it is of another service, or made to last too long")
        principal = Principal(f"service:{known.service}", SERVICE_PERMISSIONS.get(known.service, ()))
        return principal, float(claims["exp"]) + LEEWAY_SECONDS


def create_key(service: str, key_file: Path, keys_file: Path) -> str:
    """Make a key for a service, put its public half beside those that are accepted, and return its id.

    An older key of the service stays accepted until `remove_key`. The public half is written first, so that a process
    never signs with a key that nobody knows. Raises InvalidArgument (SERVICE_KEYS_FILE), FailedPrecondition.
    """
    private = Ed25519PrivateKey.generate()
    kid = _thumbprint(private.public_key())
    keys = read_keys(keys_file) if keys_file.exists() else {}
    _write_keys(keys_file, {**keys, kid: ServiceKey(kid, service, private.public_key())})
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_private(key_file, pem.decode(), "service key")
    return kid


def remove_key(kid: str, keys_file: Path) -> ServiceKey:
    """Accept a key no more, and return it; raises InvalidArgument (SERVICE_KEYS_FILE) for one that is not there."""
    keys = read_keys(keys_file)
    if kid not in keys:
        raise InvalidArgument(f"{keys_file} has no key {kid}", reason="SERVICE_KEYS_FILE")
    removed = keys.pop(kid)
    _write_keys(keys_file, keys)
    return removed


def read_keys(path: Path) -> dict[str, ServiceKey]:
    """Return the public keys of a file by id; raises InvalidArgument (SERVICE_KEYS_FILE)."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        return {key.kid: key for key in map(_public, raw["keys"])}
    except OSError as error:
        raise InvalidArgument(f"service keys {path}: {error.strerror}", reason="SERVICE_KEYS_FILE") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidArgument(
            f"service keys {path}: expected a JWK set of Ed25519 keys, each with its `service`; "
            "`rapport keys create` writes it",
            reason="SERVICE_KEYS_FILE",
        ) from error


def _public(entry: Mapping[str, str]) -> ServiceKey:
    if entry["kty"] != "OKP" or entry["crv"] != "Ed25519" or entry["service"] not in SERVICE_PERMISSIONS:
        raise ValueError(entry["kty"])
    key = Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(f"{entry['x']}="))
    return ServiceKey(_thumbprint(key), entry["service"], key)


def _write_keys(path: Path, keys: Mapping[str, ServiceKey]) -> None:
    entries = [
        {"kid": key.kid, "service": key.service, "kty": "OKP", "crv": "Ed25519", "x": _x(key.key)}
        for key in sorted(keys.values(), key=lambda key: (key.service, key.kid))
    ]
    write_private(path, json.dumps({"keys": entries}, indent=2) + "\n", "service keys")


def _read_private(path: Path) -> tuple[str, Ed25519PrivateKey]:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise InvalidArgument(f"service key {path}: {error.strerror}", reason="SERVICE_KEY_FILE") from error
    except (ValueError, TypeError) as error:
        raise InvalidArgument(
            f"service key {path}: expected a PEM file with an Ed25519 private key; `rapport keys create` makes one",
            reason="SERVICE_KEY_FILE",
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise InvalidArgument(f"service key {path}: expected an Ed25519 key", reason="SERVICE_KEY_FILE")
    return _thumbprint(key.public_key()), key


def _x(key: Ed25519PublicKey) -> str:
    return base64.urlsafe_b64encode(key.public_bytes_raw()).decode().rstrip("=")


def _thumbprint(key: Ed25519PublicKey) -> str:
    # RFC 7638, with the members that RFC 8037 names, in the order of their names.
    canonical = json.dumps({"crv": "Ed25519", "kty": "OKP", "x": _x(key)}, separators=(",", ":"))
    return base64.urlsafe_b64encode(sha256(canonical.encode()).digest()).decode().rstrip("=")
