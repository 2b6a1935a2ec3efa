"""Tokens of an identity provider: what is accepted, what is not and why, and how its keys are followed."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Iterator
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from structlog.testing import capture_logs

from services.kit.access import jwks as jwks_module
from services.kit.access.authenticator import Authenticator, make_authenticator
from services.kit.access.oidc import OidcSettings, OidcVerifier, log_name
from services.kit.access.roles import Roles
from services.kit.access.scope import Reach
from services.kit.config import Settings
from services.kit.errors import InvalidArgument, RapportError, Unauthenticated, Unavailable
from tests.support.identity import AUDIENCE, Provider, provider


@pytest.fixture
def idp() -> Iterator[Provider]:
    with provider() as found:
        yield found


def verifier(idp: Provider, **changes) -> OidcVerifier:
    settings = {"issuer": idp.issuer, "audience": (AUDIENCE,), **changes}
    return OidcVerifier(OidcSettings(**settings), Roles())


def refusal(found: OidcVerifier, token: str) -> tuple[str, str]:
    with pytest.raises(RapportError) as caught:
        found.verify(token)
    assert token not in caught.value.message
    return caught.value.reason, caught.value.message


def test_a_good_token_says_who_calls_and_in_which_roles(idp):
    principal, until = verifier(idp).verify(idp.token(roles=["agent", "no-such-role"], teams=["vn"]))
    assert (principal.name, principal.user, principal.teams) == ("user:an", "an", ("vn",))
    assert principal.scope("care.read").reach is Reach.TEAM
    assert not principal.may("campaign.write")
    assert until == pytest.approx(time.time() + 630, abs=10)


@pytest.mark.parametrize(
    ("claim", "claims"),
    [
        ("realm_access.roles", {"realm_access": {"roles": ["viewer"]}}),
        ("https://shop.test/roles", {"https://shop.test/roles": ["viewer"]}),
        ("scope", {"scope": "openid viewer"}),
    ],
)
def test_roles_stand_where_the_settings_say(idp, claim, claims):
    principal, _ = verifier(idp, roles_claim=claim).verify(idp.token(**claims))
    assert principal.may("sales.read")
    for odd in (None, 7, {"a": 1}, [1, None]):
        nothing, _ = verifier(idp, roles_claim="odd").verify(idp.token(odd=odd))
        assert nothing.permissions == ()


@pytest.mark.parametrize(
    ("changes", "reason", "words"),
    [
        ({"exp": int(time.time()) - 3600}, "TOKEN_EXPIRED", "expired"),
        ({"exp": None}, "INVALID_TOKEN", "exp"),
        ({"nbf": int(time.time()) + 3600}, "INVALID_TOKEN", "not come"),
        ({"iat": int(time.time()) + 3600}, "INVALID_TOKEN", "not come"),
        ({"aud": "other"}, "INVALID_TOKEN", "aud"),
        ({"aud": None}, "INVALID_TOKEN", "aud"),
        ({"iss": "https://evil.test"}, "INVALID_TOKEN", "iss"),
        ({"iss": None}, "INVALID_TOKEN", "iss"),
        ({"sub": None}, "INVALID_TOKEN", "sub"),
        ({"sub": ""}, "INVALID_TOKEN", "sub"),
        ({"exp": "soon"}, "INVALID_TOKEN", "malformed"),
    ],
)
def test_claims_that_are_not_right_are_refused(idp, changes, reason, words):
    found = refusal(verifier(idp), idp.token(**changes))
    assert found[0] == reason
    assert words in found[1]


def test_clocks_may_differ_by_the_leeway_and_no_more(idp):
    now = int(time.time())
    for claims in ({"exp": now - 20}, {"nbf": now + 20}, {"aud": ["x", AUDIENCE]}):
        verifier(idp).verify(idp.token(**claims))
    assert refusal(verifier(idp, leeway_seconds=5), idp.token(exp=now - 20))[0] == "TOKEN_EXPIRED"


def test_no_forged_signature_is_accepted(idp):
    found = verifier(idp)
    good = idp.token(roles=["viewer"])
    head, body, signature = good.split(".")
    found.verify(good)

    def part(value) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    owner = part({**claims, "roles": ["owner"]})
    pem = (
        idp.keys["one"]
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    # The public key as if it were a shared secret: whoever mixes the algorithms up takes it.
    signed = f"{part({'alg': 'HS256', 'kid': 'one'})}.{owner}"
    mac = base64.urlsafe_b64encode(hmac.digest(pem, signed.encode(), sha256)).decode().rstrip("=")
    stranger = ec.generate_private_key(ec.SECP256R1())
    forged = {
        "changed claims": f"{head}.{owner}.{signature}",
        "no signature": f"{head}.{owner}.",
        "none": f"{part({'alg': 'none', 'kid': 'one'})}.{owner}.",
        "NONE": f"{part({'alg': 'nOnE', 'kid': 'one'})}.{owner}.",
        "shared secret": f"{signed}.{mac}",
        "another key": idp.token(key=stranger, roles=["owner"]),
        "key in the header": idp.token(
            key=stranger, headers={"kid": "one", "jwk": idp.published()["keys"][0]}, roles=["owner"]
        ),
        "demands of the header": idp.token(headers={"kid": "one", "crit": ["b64"], "b64": False}),
        "algorithm not allowed": idp.token(
            key=ec.generate_private_key(ec.SECP384R1()), algorithm="ES384", headers={"kid": "one"}
        ),
        "RSA with the key of a curve": idp.token(
            key=rsa.generate_private_key(65537, 2048), algorithm="RS256", headers={"kid": "one"}
        ),
        "no such key": idp.token(headers={"kid": "unknown"}),
        "odd key id": f"{part({'alg': 'ES256', 'kid': 7})}.{body}.{signature}",
        "no JSON": f"eyJ.{body}.{signature}",
        "no base64": "ey!.x.y",
    }
    for what, token in forged.items():
        assert refusal(found, token)[0] == "INVALID_TOKEN", what


def test_a_new_key_is_found_at_once_and_unknown_ones_are_asked_for_rarely(idp, monkeypatch):
    found = verifier(idp)
    found.verify(idp.token())
    assert idp.fetches == 1
    # Also one that comes right after the keys were fetched.
    idp.new_key("two")
    found.verify(idp.token("two"))
    found.verify(idp.token())
    assert idp.fetches == 2
    for _ in range(10):
        assert refusal(found, idp.token(headers={"kid": "unknown"}))[0] == "INVALID_TOKEN"
    assert idp.fetches == 3
    reasons = [refusal(found, idp.token(headers={"kid": f"unknown-{number}"}))[0] for number in range(50)]
    assert idp.fetches == jwks_module.ASKS_AT_ONCE + 1
    # Whose key nobody has asked the provider for is not told that the token is bad, but to come again.
    assert reasons == ["INVALID_TOKEN"] * 3 + ["SIGNING_KEYS_UNAVAILABLE"] * 47
    idp.new_key("three")
    with pytest.raises(Unavailable) as caught:
        found.verify(idp.token("three"))
    assert 0 < caught.value.retry_seconds <= 30
    assert len(found.jwks._absent) == 4
    later = time.monotonic() + 30
    monkeypatch.setattr("services.kit.access.jwks.time.monotonic", lambda: later)
    found.jwks._asks._clock = lambda: later
    found.verify(idp.token("three"))


def test_a_provider_that_drips_is_not_waited_for(idp, monkeypatch):
    idp.drips = True
    monkeypatch.setattr(jwks_module, "TIMEOUT_SECONDS", 0.3)
    began = time.monotonic()
    with pytest.raises(Unavailable):
        verifier(idp).verify(idp.token())
    assert time.monotonic() - began < 5


def test_a_withdrawn_key_ends_the_tokens_that_it_signed(idp, monkeypatch):
    found = verifier(idp)
    authenticator = Authenticator(None, roles=Roles(), oidc=found)
    found.jwks._on_change = authenticator.forget
    token = idp.token()
    assert authenticator.find(token) is not None
    del idp.keys["one"]
    idp.new_key("two")
    assert authenticator.find(token) is not None  # known by its hash
    monkeypatch.setattr(jwks_module, "RETRY_SECONDS", 0.0)
    with capture_logs() as lines:
        assert authenticator.find(idp.token("two")) is not None
    assert [(line["added"], line["removed"]) for line in lines if line.get("audit") == "access.changed"] == [
        (["two"], ["one"])
    ]
    with pytest.raises(Unauthenticated, match="no key of its key id"):
        authenticator.find(token)


def test_a_provider_that_is_away_stops_nobody_whose_key_is_known(idp, monkeypatch):
    idp.broken = True
    found = verifier(idp)
    with pytest.raises(Unavailable) as caught:
        found.verify(idp.token())
    assert caught.value.reason == "SIGNING_KEYS_UNAVAILABLE"
    idp.broken = False
    monkeypatch.setattr(jwks_module, "FIRST_RETRY_SECONDS", 0.0)
    found.verify(idp.token())
    idp.broken = True
    monkeypatch.setattr(jwks_module, "RETRY_SECONDS", 0.0)
    # That it has no such key is not known.
    assert refusal(found, idp.token(headers={"kid": "unknown"}))[0] == "SIGNING_KEYS_UNAVAILABLE"
    found.verify(idp.token())
    # Keys that could not be renewed for a day are trusted no more.
    monkeypatch.setattr(jwks_module, "STALE_SECONDS", -1.0)
    with pytest.raises(Unavailable):
        found.verify(idp.token())


def test_keys_without_use_are_passed_over(idp):
    idp.extra = [
        {"kty": "oct", "k": "c2VjcmV0", "kid": "shared", "alg": "HS256"},
        {"kty": "new-kind", "kid": "odd"},
        {**idp.published()["keys"][0], "kid": "for-encryption", "use": "enc"},
        "no key",
    ]
    found = verifier(idp)
    found.verify(idp.token())
    for kid in ("shared", "odd", "for-encryption"):
        assert refusal(found, idp.token(headers={"kid": kid}))[0] == "INVALID_TOKEN"


def test_only_the_settings_say_where_the_keys_are(idp):
    assert verifier(idp, jwks_url=f"{idp.issuer}/keys").verify(idp.token())
    for changes in (
        {"issuer": "file:///etc/passwd"},
        {"jwks_url": "https://u:p@idp.test/keys"},
        {"audience": ()},
    ):
        with pytest.raises(InvalidArgument):
            verifier(idp, **changes)
    # A discovery document of another issuer leads nowhere.
    with pytest.raises(Unavailable):
        verifier(idp, issuer=f"{idp.issuer}/other").verify(idp.token())


@pytest.mark.parametrize(("keys", "fetched"), [("https://keys.test/k", True), ("http://idp.test/k", False)])
def test_an_encrypted_provider_does_not_lead_to_keys_in_the_clear(idp, keys, fetched):
    asked = []

    def fetch(url):
        asked.append(url)
        return {"issuer": "https://idp.test", "jwks_uri": keys} if "well-known" in url else idp.published()

    settings = OidcSettings(issuer="https://idp.test", audience=(AUDIENCE,))
    found = OidcVerifier(settings, Roles(), fetch=fetch)
    token = idp.token(iss="https://idp.test")
    if fetched:
        assert found.verify(token)
    else:
        assert refusal(found, token)[0] == "SIGNING_KEYS_UNAVAILABLE"
    assert (keys in asked) is fetched


def test_a_token_is_verified_once_and_forgotten_when_it_expires(idp, monkeypatch):
    found = verifier(idp, leeway_seconds=0)
    seen = []
    verify = found.verify
    monkeypatch.setattr(found, "verify", lambda token: (seen.append(token), verify(token))[1])
    authenticator = Authenticator(None, roles=Roles(), oidc=found)
    token = idp.token(exp=int(time.time()) + 60)
    first = authenticator.find(token)
    assert all(authenticator.find(token) is first for _ in range(10))
    assert seen == [token]
    later = time.monotonic() + 61
    monkeypatch.setattr("services.kit.access.authenticator.time.monotonic", lambda: later)
    authenticator.find(token)
    assert seen == [token, token]


def test_the_known_tokens_are_bounded(idp, monkeypatch):
    monkeypatch.setattr("services.kit.access.authenticator._KNOWN_TOKENS", 3)
    authenticator = Authenticator(None, roles=Roles(), oidc=verifier(idp))
    tokens = [idp.token(sub=f"an{number}") for number in range(5)]
    assert [authenticator.find(token).user for token in tokens] == [f"an{number}" for number in range(5)]
    assert len(authenticator._known) == 3


def test_changed_roles_hold_for_tokens_that_are_known(idp, tmp_path):
    file = tmp_path / "roles.json"
    file.write_text(json.dumps({"clerk": ["sales.read"]}))
    settings = Settings(data_dir=tmp_path, oidc_issuer=idp.issuer, oidc_audience=(AUDIENCE,), roles_file=file)
    authenticator = make_authenticator(settings, "sales")
    token = idp.token(roles=["clerk"])
    assert authenticator.find(token).may("sales.read")
    file.write_text(json.dumps({"clerk": ["sales.orders.write"]}))
    authenticator.refresh()
    assert not authenticator.find(token).may("sales.read")
    assert authenticator.find(token).may("sales.orders.write")
    file.write_text("{")
    authenticator.refresh()
    assert authenticator.find(token).may("sales.orders.write")


@pytest.mark.parametrize(
    "user", ["an@example.test", "+84 912 345 678", "0912345678", "Nguyễn Thị An", "x" * 80]
)
def test_a_user_whose_name_may_be_personal_is_logged_by_a_hash(user):
    assert log_name(user).startswith("user:~")
    assert log_name(user) == log_name(user)
    assert user not in log_name(user)
    assert log_name("an") == "user:an"
