"""Sign mail with DKIM (RFC 6376), fast: for mail that `build` made, whose form is known.

dkimpy reads the key and is the tests' oracle; the signature proper comes from OpenSSL when `cryptography` is installed,
which is many times faster than dkimpy's own RSA and lets other threads run meanwhile.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from pathlib import Path

from dkim import crypto
from rapport_sdk import Settings

_MIN_BITS = 1024  # RFC 8301, 3.2
_SELECTOR = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_SPACE = re.compile(rb"[ \t]+")
# One-click unsubscription counts only when its headers are signed (RFC 8058, 4).
_SIGNED = (
    *(b"from", b"to", b"subject", b"date", b"message-id", b"reply-to", b"in-reply-to", b"references"),
    *(b"list-unsubscribe", b"list-unsubscribe-post", b"list-id", b"auto-submitted", b"precedence"),
    *(b"mime-version", b"content-type", b"content-transfer-encoding"),
)
# Named once more than they occur, so that nobody can add another (RFC 6376, 5.4).
_SEALED = (b"from", b"to", b"subject", b"reply-to", b"list-unsubscribe", b"list-unsubscribe-post")


class Signer:
    """Sign for one domain with one key."""

    def __init__(self, domain: str, selector: str, pem: bytes) -> None:
        """Read an RSA key in PEM (PKCS#1 or PKCS#8); raises ValueError."""
        if not _SELECTOR.fullmatch(selector) or not _SELECTOR.fullmatch(domain):
            raise ValueError(
                f"dkim_domain {domain!r} and dkim_selector {selector!r} must be names of the DNS"
            )
        self._sign, bits = _rsa(pem)
        if bits < _MIN_BITS:
            raise ValueError(f"the DKIM key has {bits} bits; at least {_MIN_BITS} are needed, 2048 are good")
        self._start = f"v=1; a=rsa-sha256; c=relaxed/simple; d={domain}; s={selector};\r\n h=".encode()

    def header(self, mail: bytes) -> bytes:
        """Return the line DKIM-Signature for a mail with CRLF line ends, to be put before it."""
        head, _, body = mail.partition(b"\r\n\r\n")
        fields: dict[bytes, bytes] = {}
        for line in re.split(rb"\r\n(?![ \t])", head):
            name, _, value = line.partition(b":")
            fields[name.lower()] = _relaxed(value)
        there = [name for name in _SIGNED if name in fields]
        signed = b"".join(name + b":" + fields[name] + b"\r\n" for name in there)
        body_hash = base64.b64encode(hashlib.sha256(body.rstrip(b"\r\n") + b"\r\n").digest())
        names = b":\r\n ".join(b":".join(chunk) for chunk in _chunks([*there, *_SEALED]))
        value = self._start + names + b";\r\n bh=" + body_hash + b";\r\n b="
        signature = base64.b64encode(self._sign(signed + b"dkim-signature:" + _relaxed(value)))
        lines = [signature[start : start + 72] for start in range(0, len(signature), 72)]
        return b"DKIM-Signature: " + value + b"\r\n ".join(lines) + b"\r\n"


def signer_of(settings: Settings) -> Signer | None:
    """Return the signer that the settings describe, or None when they name no key; raises ValueError."""
    pem = settings["dkim_key"].encode()
    if path := settings["dkim_key_file"]:
        if pem:
            raise ValueError("dkim_key and dkim_key_file are both set: leave one empty")
        try:
            pem = Path(path).read_bytes()
        except OSError as error:
            raise ValueError(f"dkim_key_file cannot be read: {error.strerror}") from error
    if not pem:
        return None
    if not settings["dkim_domain"] or not settings["dkim_selector"]:
        raise ValueError("a DKIM key is set: set dkim_domain and dkim_selector too")
    return Signer(settings["dkim_domain"], settings["dkim_selector"], pem)


def _relaxed(value: bytes) -> bytes:
    """Return the value of a header as in RFC 6376, 3.4.2."""
    return _SPACE.sub(b" ", value.replace(b"\r\n", b"")).strip(b" ")


def _chunks(names: list[bytes]) -> list[list[bytes]]:
    return [names[start : start + 4] for start in range(0, len(names), 4)]


def _rsa(pem: bytes) -> tuple[Callable[[bytes], bytes], int]:
    """Return what signs bytes (RSASSA-PKCS1-v1_5 with SHA-256), and the bits of the key; raises ValueError."""
    try:
        key = crypto.parse_pem_private_key(pem)
    except Exception as error:  # of the library's parser, for which any junk is something else
        raise ValueError("the DKIM key is not an RSA key in PEM without a password") from error
    bits = key["modulus"].bit_length()
    try:
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import padding, rsa
    except ImportError:
        return lambda data: crypto.RSASSA_PKCS1_v1_5_sign(hashlib.sha256(data), key), bits
    numbers = rsa.RSAPrivateNumbers(
        p=key["prime1"],
        q=key["prime2"],
        d=key["privateExponent"],
        dmp1=key["exponent1"],
        dmq1=key["exponent2"],
        iqmp=key["coefficient"],
        public_numbers=rsa.RSAPublicNumbers(key["publicExponent"], key["modulus"]),
    )
    private = numbers.private_key()
    scheme, digest = padding.PKCS1v15(), hashes.SHA256()
    return lambda data: private.sign(data, scheme, digest), bits
