"""DKIM: what is signed verifies with another implementation, and what is changed afterwards does not."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import dkim
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rapport_builtin import email
from rapport_builtin.email import signing
from rapport_builtin.email.build import build
from rapport_builtin.email.signing import Signer, signer_of
from rapport_builtin.email.smtp import SmtpAdapter
from rapport_sdk import ChannelContext, OutboundMessage, Outcome
from rapport_sdk.settings import read_settings
from rapport_testing.smtp import SmtpServer

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
KEY = (Path(__file__).parent / "certs" / "dkim.pem").read_bytes()
PUBLIC = (Path(__file__).parent / "certs" / "dkim.pub").read_text()
HEADERS = {
    "List-Unsubscribe": "<https://go.shop.test/u/" + "x" * 68 + ">, <mailto:u+marketing.abcdef@shop.test>",
    "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
}


def dns(name: bytes, timeout: int = 5) -> bytes | None:
    """Answer as the DNS of shop.test would."""
    body = "".join(line for line in PUBLIC.splitlines() if not line.startswith("-"))
    return f"v=DKIM1; k=rsa; p={body}".encode() if name == b"s1._domainkey.shop.test." else None


def verifies(mail: bytes) -> bool:
    return bool(dkim.verify(mail, dnsfunc=dns))


def mail(**values: object) -> bytes:
    given: dict[str, object] = {
        "message_id": "abc",
        "to": "lan@mail.test",
        "to_name": "Nguyễn Thị Lan",
        "subject": "Chào Lan",
        "text": "text",
        "html": "<p>html</p>",
        "from_address": "care@shop.test",
        "reply_to": "reply+abc@shop.test",
        "headers": HEADERS,
    }
    return build(OutboundMessage(**(given | values)), NOW)  # type: ignore[arg-type]


SIGNER = Signer("shop.test", "s1", KEY)


def signed(**values: object) -> bytes:
    data = mail(**values)
    return SIGNER.header(data) + data


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.text(max_size=200).filter(lambda text: not set(text) & set(map(chr, range(32)))),
    st.text(max_size=300),
    st.text(max_size=100),
)
def test_whatever_is_sent_verifies(subject: str, text: str, html: str) -> None:
    subject = "".join(character for character in subject if character.isprintable())
    assert verifies(signed(subject=subject, text=text or "x", html=html))


def test_the_unsubscribe_headers_are_under_the_signature() -> None:
    whole = signed()
    assert verifies(whole)
    for old, new in [
        (b"List-Unsubscribe=One-Click", b"List-Unsubscribe=Other-Page"),
        (b"https://go.shop.test/u/", b"https://go.evil.test/u/"),
        (b"From: care@", b"From: evil@"),
        (b"<p>html</p>", b"<p>evil</p>"),
    ]:
        assert old in whole
        assert not verifies(whole.replace(old, new))
    # Nor can a second one be put in.
    assert not verifies(whole.replace(b"MIME-Version", b"From: evil@evil.test\r\nMIME-Version", 1))
    assert not verifies(
        whole.replace(b"MIME-Version", b"List-Unsubscribe: <https://evil.test/>\r\nMIME-Version", 1)
    )


def test_lines_stay_short() -> None:
    assert max(map(len, SIGNER.header(mail()).split(b"\r\n"))) <= 78


def test_without_cryptography_the_signature_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "cryptography"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    assert Signer("shop.test", "s1", KEY).header(mail()) == SIGNER.header(mail())


def configured(**values: str) -> object:
    environment = {f"RAPPORT_PLUGIN_EMAIL_{name.upper()}": value for name, value in values.items()}
    return read_settings("email", tuple(email.rapport_settings()), environment)


def test_the_channel_signs() -> None:
    with SmtpServer() as server:
        adapter = SmtpAdapter(
            configured(  # type: ignore[arg-type]
                smtp_host="127.0.0.1",
                smtp_port=str(server.port),
                smtp_security="none",
                dkim_domain="shop.test",
                dkim_selector="s1",
                dkim_key=KEY.decode(),
            )
        )
        message = OutboundMessage(
            message_id="abc",
            to="lan@mail.test",
            text=".dots\n..and more\n",
            subject="Hi",
            from_address="care@shop.test",
            headers=HEADERS,
        )

        [result] = adapter.send([message], ChannelContext(NOW, configured()))  # type: ignore[arg-type]
        adapter.close()
        assert result.outcome is Outcome.ACCEPTED
        [received] = server.received()
        assert verifies(received.raw)


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"dkim_key": "nonsense"}, "set dkim_domain"),
        ({"dkim_key": "nonsense", "dkim_domain": "shop.test", "dkim_selector": "s"}, "not an RSA key"),
        ({"dkim_key": KEY.decode(), "dkim_domain": "shop test", "dkim_selector": "s"}, "names of the DNS"),
        ({"dkim_key": KEY.decode(), "dkim_key_file": "x"}, "both set"),
        ({"dkim_key_file": "/nowhere/key.pem"}, "cannot be read"),
    ],
)
def test_what_cannot_sign_says_why(values: dict[str, str], problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as caught:
        signer_of(configured(**values))  # type: ignore[arg-type]
    assert "PRIVATE" not in str(caught.value)


def test_no_key_no_signature() -> None:
    assert signer_of(configured()) is None  # type: ignore[arg-type]


def test_a_short_key_is_refused(tmp_path: Path) -> None:
    made = subprocess.run(["openssl", "genrsa", "-traditional", "512"], capture_output=True, check=False)
    if made.returncode or not made.stdout:
        pytest.skip("openssl makes no key that short here")
    with pytest.raises(ValueError, match="512 bits"):
        Signer("shop.test", "s1", made.stdout)


def test_relaxed_is_as_the_standard_has_it() -> None:
    # RFC 6376, 3.4.5
    assert signing._relaxed(b" X ") == b"X"
    assert signing._relaxed(b" Y\t\r\n\tZ  ") == b"Y Z"
