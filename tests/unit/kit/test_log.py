"""Log lines are JSON, carry the call, and hold neither secrets nor personal data."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from sqlalchemy.exc import DataError, IntegrityError

from services.kit.config import load_settings
from services.kit.log import safe_summary, safe_text, safe_traceback
from tests.support.identity import Authority

PROGRAM = """
import logging
from services.kit import context, log
log.configure({level!r}, {form!r}, service="contacts", role="api")
logger = log.get_logger("test")
logger.debug("quiet")
logger.info("plain", token="t0p-secret", email="an@example.test", count=3)
with context.activate(context.CallContext("r1", traceparent="00-" + "a" * 32 + "-" + "b" * 16 + "-01")):
    logger.warning("within")
    logging.getLogger("library").warning("from %s", "stdlib")
try:
    raise ValueError("cannot mail an@example.test or +84 912 345 678")
except ValueError:
    logger.error("failed", exc_info=True)
"""


def lines(level: str = "INFO", form: str = "json") -> list[str]:
    program = PROGRAM.format(level=level, form=form)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    return done.stderr.splitlines()


def test_lines_are_json_with_the_call_and_without_secrets():
    plain, within, library, failed = (json.loads(line) for line in lines())
    assert (plain["event"], plain["level"], plain["service"], plain["count"]) == (
        "plain",
        "info",
        "contacts",
        3,
    )
    assert plain["token"] == plain["email"] == "[redacted]"
    assert "request_id" not in plain
    assert (within["request_id"], within["trace_id"]) == ("r1", "a" * 32)
    assert (library["event"], library["request_id"], library["role"]) == ("from stdlib", "r1", "api")
    assert "ValueError: cannot mail [email] or [number]" in failed["exception"]


def test_the_level_is_obeyed():
    assert [json.loads(line)["event"] for line in lines("ERROR")] == ["failed"]
    assert json.loads(lines("DEBUG")[0])["event"] == "quiet"


def test_the_console_form_is_for_people():
    text = "\n".join(lines(form="console"))
    assert "plain" in text
    assert "an@example.test" not in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("to an@example.test failed", "to [email] failed"),
        ("<nguyễn@ví-dụ.vn>", "<[email]>"),
        ("call +84 912 345 678 now", "call [number] now"),
        ("call 0912345678", "call [number]"),
        ("took 12 ms of 3000", "took 12 ms of 3000"),
        ("id 0190a5dc-ac96-774b-bcce-b302099a8057", "id 0190a5dc-ac96-774b-bcce-b302099a8057"),
    ],
)
def test_free_text_loses_addresses_and_numbers(text, expected):
    assert safe_text(text) == expected


def test_a_traceback_keeps_the_frames_and_its_causes():
    def deep():
        raise KeyError("k")

    try:
        try:
            deep()
        except KeyError as error:
            raise RuntimeError("outer") from error
    except RuntimeError as error:
        text = safe_traceback(error)
    assert "RuntimeError: outer" in text
    assert "in deep" in text
    assert "which was caused by" in text


def test_database_messages_do_not_quote_rows():
    original = psycopg.errors.UniqueViolation('Key (email)=(an@example.test) already exists: "Nguyễn An"')
    error = IntegrityError("INSERT", {"name": "Nguyễn An"}, original)
    assert "Nguyễn" not in safe_summary(error)
    assert "23505" in safe_summary(error)


class Said(psycopg.errors.InvalidTextRepresentation):
    """Say what a server says, in its language."""

    diag: Any = None


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ('invalid input syntax for type uuid: "Nguyễn An"', "invalid input syntax for type uuid"),
        ("ungültige Eingabesyntax für Typ uuid: „Nguyễn An“", "ungültige Eingabesyntax für Typ uuid"),
        ("invalid input syntax for type json", "invalid input syntax for type json"),
    ],
)
def test_database_messages_on_values_do_not_quote_them(said: str, kept: str):
    error = Said()
    error.diag = SimpleNamespace(message_primary=said, constraint_name=None, table_name=None)
    for one in (error, DataError("INSERT", {"name": "Nguyễn An"}, error)):
        assert safe_summary(one).endswith(f"[22P02] {kept}")


def test_settings_show_no_secrets(monkeypatch: pytest.MonkeyPatch):
    secret = "0dd-k3y-of-more-than-16"
    for name in ("DATABASE_URL", "CARE_DATABASE_URL", "AMQP_URL", "TOKEN", "SECRET_KEY"):
        scheme = {"D": "postgresql", "C": "postgresql", "A": "amqp"}.get(name[0])
        monkeypatch.setenv(f"RAPPORT_{name}", f"{scheme}://u:{secret}@h/x" if scheme else secret)
    settings = load_settings()
    assert settings.token == secret
    assert secret not in f"{settings!r} {settings}"
    assert "base_port" in repr(settings)


UNCAUGHT = """
import threading, warnings
from services.kit import log
log.configure("INFO", "json", service="contacts", role="api")
def fail():
    raise ValueError("cannot mail an@example.test\\nat all")
thread = threading.Thread(target=fail, name="mails")
thread.start()
thread.join()
class Ends:
    def __del__(self):
        fail()
Ends()
warnings.warn("old\\nfashioned")
fail()
"""


def test_what_nobody_caught_is_a_line_too():
    """Python would print it over several lines, with all that an error's message holds."""
    done = subprocess.run([sys.executable, "-c", UNCAUGHT], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "example.test" not in done.stderr
    thread, end, warning, main = (json.loads(line) for line in done.stderr.splitlines())
    assert (thread["event"], thread["level"]) == ("an error in the thread mails was not caught", "error")
    assert (main["event"], main["level"]) == ("an error in the main thread was not caught", "critical")
    for line in (thread, end, main):
        assert line["service"] == "contacts"
        assert "ValueError: cannot mail [email]\nat all" in line["exception"]
    assert warning["level"] == "warning"
    assert "old\nfashioned" in warning["event"]


PRINTS = """
import subprocess, sys, threading
from services.kit import context, log
log.configure("INFO", "json", service="campaign", role="sender")
def part():
    print("of another", end=" ")
    print("thread")
print("to an@example.test,", end=" ")
thread = threading.Thread(target=part)
thread.start()
thread.join()
with context.activate(context.CallContext("r1", traceparent="00-" + "a" * 32 + "-" + "b" * 16 + "-01")):
    print("twice\\nover")
sys.stdout.write("x" * 9000)
sys.stdout.flush()
subprocess.run(["true"], stdout=sys.stdout, check=True)
"""


def test_what_is_printed_is_a_line_too():
    done = subprocess.run([sys.executable, "-c", PRINTS], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    other, own, more, long = (json.loads(line) for line in done.stderr.splitlines())
    assert (other["event"], other["role"]) == ("printed: of another thread", "sender")
    assert (own["event"], own["trace_id"]) == ("printed: to [email], twice", "a" * 32)
    assert more["event"] == "printed: over"
    assert long["event"].endswith("x… and 808 characters more")


HANDSHAKE = """
import socket, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from services.kit.access.tls import ServerTls, server_credentials
import grpc
server = grpc.server(ThreadPoolExecutor(1))
port = server.add_secure_port("127.0.0.1:0", server_credentials(ServerTls(*map(Path, sys.argv[1:]))))
server.start()
with socket.create_connection(("127.0.0.1", port)) as stranger:
    stranger.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
    stranger.shutdown(socket.SHUT_WR)
    # The server has found out what that was when it closes.
    while stranger.recv(100):
        pass
server.stop(0).wait()
"""


def test_grpcs_core_prints_nothing_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Such as for each handshake that fails, which anybody can make it do."""
    monkeypatch.delenv("GRPC_VERBOSITY", raising=False)
    files = map(str, Authority(tmp_path).issue("server"))
    done = subprocess.run(
        [sys.executable, "-c", HANDSHAKE, *files], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
