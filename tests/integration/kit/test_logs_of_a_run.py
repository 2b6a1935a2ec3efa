"""What real processes log while they are asked hostile things: neither a secret nor anything personal."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pytest
from rapport_client import Rapport, errors
from rapport_client.retry import NO_RETRY

from services.kit.auth import add_tokens
from services.kit.config import Settings, load_settings
from services.kit.errors import InvalidArgument
from tests.support.postgres import DatabaseFactory
from tests.support.toy import free_base_port
from tests.support.waiting import until

ROOT = Path(__file__).parents[3]
EMAIL, PHONE, NAME = "zebra.quagga@example.test", "+84912345678", "Zebra Quagga"
NATIONAL, STREET, WORDS = "0912 345 678", "17 Okapi Street", "my secret illness"
# Whatever of these a log line holds, it was told too much.
PERSONAL = ["zebra", "quagga", "912345678", "345 678", "okapi", "illness"]


def start(service: str, folder: Path, url: str, base_port: int, **more: str) -> subprocess.Popen[bytes]:
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("RAPPORT_")},
        "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "protos", ROOT / "protos" / "gen"))),
        "RAPPORT_DATA_DIR": str(folder),
        "RAPPORT_BASE_PORT": str(base_port),
        f"RAPPORT_{service.upper()}_DATABASE_URL": url,
        "RAPPORT_LOG_LEVEL": "DEBUG",
        **more,
    }
    with (folder / f"{service}.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "services.kit.process", service],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=log,
        )


@pytest.mark.parametrize("service", ["contacts", "care"])
def test_a_run_leaves_no_trace_of_people_and_secrets_in_the_log(
    tmp_path: Path, make_module_database: DatabaseFactory, service: str
):
    url = make_module_database.with_tables(service)
    owner, other, key = (secrets.token_urlsafe(24) for _ in range(3))
    wrong = f"eyJhbGciOiJub25lIn0.{secrets.token_urlsafe(24)}."
    add_tokens(tmp_path / "tokens.json", [("owner", ("*",), owner)])
    settings = Settings(base_port=free_base_port())
    process = start(service, tmp_path, url, settings.base_port, RAPPORT_SECRET_KEY=key, RAPPORT_TOKEN=other)
    try:
        options = {"base_port": settings.base_port, "retry": NO_RETRY}
        with Rapport(address="127.0.0.1:{port}", token=owner, **options) as rapport:
            log = tmp_path / f"{service}.log"
            until(lambda: '"serving"' in log.read_text() or process.poll() is not None, "it serves")
            assert process.poll() is None, log.read_text()
            ask(rapport, service)
        for token in (wrong, other, f"{owner}x", f"{EMAIL} {PHONE}".encode().hex()):
            with Rapport(address="127.0.0.1:{port}", token=token, **options) as stranger:
                with pytest.raises(errors.Unauthenticated):
                    stranger.operations(service).list_operations()
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
    text = log.read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert sum(line["event"] == "rpc" for line in lines) >= 10
    assert any(line.get("audit") == "access.denied" for line in lines)
    for secret in (owner, other, key, wrong, *PERSONAL):
        assert secret.lower() not in text.lower(), secret


def ask(rapport: Rapport, service: str) -> None:
    """Ask a service for all kinds of things in which people and secrets stand, right and wrong."""
    identity = {"type": "TYPE_EMAIL", "value": EMAIL}
    contact = {
        "given_name": "Zebra",
        "family_name": "Quagga",
        "display_name": NAME,
        "address": {"address_lines": [STREET], "region_code": "VN"},
        "identities": [identity, {"type": "TYPE_PHONE", "value": PHONE}],
    }
    hostile = {"metadata": (("x-request-id", f"{EMAIL}\n{PHONE}".replace("\n", " ")),)}
    calls = {
        "contacts": [
            ("upsert_contact", {"contact": contact}),
            ("upsert_contact", {"contact": {**contact, "language_code": EMAIL * 9}}),
            (
                "upsert_contact",
                {"contact": {"identities": [{"type": "TYPE_PHONE", "value": NATIONAL + EMAIL}]}},
            ),
            ("upsert_contact", {"contact": {**contact, "attributes": {EMAIL: {"string_value": NAME}}}}),
            ("lookup_contact", {"identity": identity}),
            ("lookup_contact", {"identity": {"type": "TYPE_EMAIL", "value": f"no.{EMAIL}"}}),
            ("list_contacts", {"query": NAME}),
            ("list_contacts", {"page_token": EMAIL}),
            ("get_contact", {"name": f"contacts/{EMAIL}"}),
            ("create_attribute", {"attribute": {"id": EMAIL, "type": "VALUE_TYPE_INT", "label": NAME}}),
        ],
        "care": [
            ("create_case", {"case": {"subject": f"{NAME} {PHONE}", "channel": "phone"}, "text": WORDS}),
            ("create_case", {"case": {"subject": NAME, "queue": f"queues/{EMAIL}"}}),
            ("create_case", {"case": {"subject": NAME, "contact": EMAIL}}),
            (
                "receive_mail",
                {"raw": f"From: {EMAIL}\r\n\r\n{WORDS}".encode(), "sender": EMAIL, "recipients": [EMAIL]},
            ),
            (
                "receive_mail",
                {
                    "raw": f"From: {NAME} <{EMAIL}>\r\nSubject: {NAME}\r\n\r\n{WORDS}".encode(),
                    "sender": EMAIL,
                    "recipients": ["care@rapport.localhost"],
                },
            ),
            ("record_csat_answer", {"token": EMAIL, "score": 5, "comment": WORDS}),
            ("get_customer_glance", {"contact": f"contacts/{uuid4()}"}),
            ("create_agent", {"agent_id": "zebra quagga", "agent": {"display_name": NAME}}),
            ("list_cases", {"assignee": EMAIL}),
            (
                "add_case_message",
                {"case": f"cases/{uuid4()}", "message": {"kind": "KIND_NOTE", "text": WORDS}},
            ),
        ],
    }
    for method, fields in calls[service]:
        with suppress(errors.RapportError):
            getattr(rapport.service(service), method)(**fields, _metadata=hostile["metadata"])


def test_a_database_that_cannot_be_reached_is_told_without_its_password(tmp_path: Path):
    add_tokens(tmp_path / "tokens.json", [("owner", ("*",), "x")])
    password = secrets.token_urlsafe(16)
    url = f"postgresql://rapport:{password}@127.0.0.1:1/none"
    process = start("contacts", tmp_path, url, free_base_port(), RAPPORT_SECRET_KEY="k" * 20)
    assert process.wait(60) == 1
    text = (tmp_path / "contacts.log").read_text()
    assert "cannot reach the database" in text
    assert password not in text


@pytest.mark.parametrize(
    "variable", ["RAPPORT_DATABASE_POOL_SIZE", "RAPPORT_BASE_PORT", "RAPPORT_OIDC_ALGORITHMS"]
)
def test_a_secret_in_the_wrong_variable_is_not_repeated(monkeypatch: pytest.MonkeyPatch, variable: str):
    password = secrets.token_urlsafe(16)
    monkeypatch.setenv(variable, f"postgresql://u:{password}@h/x")
    with pytest.raises(InvalidArgument) as caught:
        load_settings()
    assert variable in caught.value.message
    assert password not in caught.value.message
