"""An identity provider over real HTTP, with keys that can be changed, and certificates made on the spot."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

AUDIENCE = "rapport"


@dataclass
class Provider:
    """Issue tokens; `keys` are what it publishes, `fetches` how often it was asked for them."""

    issuer: str = ""
    keys: dict[str, Any] = field(default_factory=dict)
    fetches: int = 0
    broken: bool = False
    drips: bool = False
    extra: list[dict[str, Any]] = field(default_factory=list)

    def new_key(self, kid: str) -> Any:
        """Publish a new key."""
        self.keys[kid] = ec.generate_private_key(ec.SECP256R1())
        return self.keys[kid]

    def token(
        self,
        kid: str = "one",
        *,
        key: Any = None,
        algorithm: str = "ES256",
        headers: Any = None,
        **claims: Any,
    ) -> str:
        """Return a token that is good but for what the arguments change; a claim of None is left out."""
        now = int(time.time())
        content = {
            "iss": self.issuer,
            "aud": AUDIENCE,
            "sub": "an",
            "iat": now,
            "exp": now + 600,
            **claims,
        }
        return jwt.encode(
            {name: value for name, value in content.items() if value is not None},
            key if key is not None else self.keys[kid],
            algorithm=algorithm,
            headers={"kid": kid} if headers is None else headers,
        )

    def published(self) -> dict[str, Any]:
        """Return the key set."""
        algorithm = jwt.algorithms.ECAlgorithm
        keys = [
            {**json.loads(algorithm.to_jwk(key.public_key())), "kid": kid, "use": "sig"}
            for kid, key in self.keys.items()
        ]
        return {"keys": [*keys, *self.extra]}


@contextmanager
def provider() -> Iterator[Provider]:
    """Serve a provider with one key, `one`, on a free port of this machine."""
    found = Provider()
    found.new_key("one")
    stopped = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if found.broken:
                self.send_error(503)
                return
            if self.path.endswith("/openid-configuration"):
                answer: Any = {"issuer": found.issuer, "jwks_uri": f"{found.issuer}/keys"}
            else:
                found.fetches += 1
                answer = found.published()
            content = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            for byte in content if found.drips else ():
                try:
                    self.wfile.write(bytes([byte]))
                except OSError:
                    return
                stopped.wait(0.05)
            if not found.drips:
                self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    found.issuer = f"http://127.0.0.1:{server.server_port}"
    try:
        yield found
    finally:
        stopped.set()
        server.shutdown()
        server.server_close()
        thread.join()


class Authority:
    """Sign certificates for this machine."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._build(self._name, self._key.public_key(), ca=True)
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str) -> tuple[Path, Path]:
        """Write a certificate and its key, and return both files; again for the same name replaces them."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._build(subject, key.public_key(), ca=False)
        files = self._folder / f"{name}.crt", self._folder / f"{name}.key"
        for file, content in zip(
            files,
            (
                certificate.public_bytes(serialization.Encoding.PEM),
                key.private_bytes(
                    serialization.Encoding.PEM,
                    serialization.PrivateFormat.PKCS8,
                    serialization.NoEncryption(),
                ),
            ),
            strict=True,
        ):
            new = file.with_suffix(".new")
            new.write_bytes(content)
            new.replace(file)
        return files

    def _build(self, subject: x509.Name, key: Any, *, ca: bool) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if not ca:
            names = x509.SubjectAlternativeName(
                [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
            )
            builder = builder.add_extension(names, critical=False)
        return builder.sign(self._key, hashes.SHA256())
