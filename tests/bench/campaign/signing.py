"""A mail signed with DKIM beside what no signer can go below: the operation with the private key alone."""

from __future__ import annotations

import time
from collections.abc import Callable

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from rapport_builtin.email.signing import Signer

from tests.bench.campaign.bare import prebuilt
from tests.bench.report import Figure

_BITS = 2048
_BUDGET = 1.43
_ROUNDS = 7
_EACH = 100


def measure(say: Callable[[str], None]) -> list[Figure]:
    """Return the CPU time of a signature over a whole mail, the best of several rounds by turns."""
    key = rsa.generate_private_key(65537, _BITS)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    signer = Signer("shop.test", "bench", pem)
    mails = [data for _, data in prebuilt()[:_EACH]]
    scheme, digest = padding.PKCS1v15(), hashes.SHA256()
    ours, bare = [], []
    for _ in range(_ROUNDS):
        ours.append(_each(lambda mail: signer.header(mail), mails))
        bare.append(_each(lambda mail: key.sign(mail[:300], scheme, digest), mails))
    say(f"a mail is signed in {min(ours):,.0f} µs, of which the private key takes {min(bare):,.0f} µs")
    name = f"a mail signed with DKIM (RSA-{_BITS}), beside the private key's part"
    return [Figure(name, min(ours), min(bare), "µs of CPU", _BUDGET)]


def _each(act: Callable[[bytes], object], mails: list[bytes]) -> float:
    started = time.thread_time()
    for mail in mails:
        act(mail)
    return (time.thread_time() - started) / len(mails) * 1e6
