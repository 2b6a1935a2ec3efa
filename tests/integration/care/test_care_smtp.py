"""The listener for mail, spoken to by SMTP."""

from __future__ import annotations

import smtplib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import pytest
import sqlalchemy as sa

from services.care import smtp
from services.care.models import received_mail
from services.care.usecases import cases
from services.kit.errors import FailedPrecondition
from services.kit.runtime import Runtime
from services.kit.signing import CASE, MESSAGE
from tests.support.care import DOMAIN, Campaign, at_once, mail, neighbour, reply_address
from tests.support.stack import Served
from tests.support.waiting import until

OPEN = f"care@{DOMAIN}"
SENDER = "customer@example.test"


@contextmanager
def client(served: Served) -> Iterator[smtplib.SMTP]:
    settings = served.runtime.settings
    with smtplib.SMTP(settings.inbound_mail_host, settings.inbound_mail_port, timeout=30) as made:
        yield made


def send(served: Served, raw: bytes, *recipients: str, sender: str = SENDER) -> tuple[int, bytes]:
    with client(served) as made:
        made.ehlo()
        made.mail(sender)
        for recipient in recipients or (OPEN,):
            assert made.rcpt(recipient)[0] == 250
        return made.data(raw)


def count(served: Served) -> int:
    return len(cases.list_cases(served.runtime, count=100))


def test_a_mail_is_accepted_once_it_is_stored(served: Served):
    code, text = send(served, mail("Xin chào"))
    assert (code, text) == (250, b"2.6.0 opened")
    [case] = cases.list_cases(served.runtime, count=10)
    assert case.address == SENDER
    answer = mail("again")
    assert send(served, answer, reply_address(served.runtime, CASE, case.id)) == (250, b"2.6.0 continued")
    assert send(served, answer, reply_address(served.runtime, CASE, case.id)) == (250, b"2.6.0 duplicate")
    said = cases.list_messages(served.runtime, case.id, after=None, count=10)
    assert [item.text for item in said] == ["Xin chào", "again"]


def test_250_comes_after_the_commit(served: Served):
    raw = mail(message_id="<held@x>")
    answers: list[tuple[int, bytes]] = []
    # Whoever holds the mail's row keeps the listener from committing.
    with served.runtime.db.transaction() as connection:
        connection.execute(sa.text('LOCK TABLE "case" IN EXCLUSIVE MODE'))
        sending = threading.Thread(target=lambda: answers.append(send(served, raw)))
        sending.start()
        with served.runtime.db.read() as other:
            waiting = sa.text(
                "SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation "
                "JOIN pg_database d ON d.oid = l.database AND d.datname = current_database() "
                "WHERE c.relname = 'case' AND NOT l.granted"
            )
            while not other.scalar(waiting):
                sending.join(0.02)
                assert sending.is_alive()
        assert answers == []
    sending.join(30)
    assert answers == [(250, b"2.6.0 opened")]
    assert count(served) == 1


@pytest.mark.parametrize("address", ["care@else.test", f"nobody@{DOMAIN}", "care"])
def test_recipients_that_are_not_ours_are_refused(served: Served, address: str):
    with client(served) as made:
        made.ehlo()
        made.mail(SENDER)
        assert made.rcpt(address)[0] == 550
        assert made.rcpt(OPEN)[0] == 250
        assert made.data(mail())[0] == 250
    assert count(served) == 1


def test_what_is_no_mail_is_refused_for_good(served: Served):
    assert send(served, b"just words")[0] == 554
    assert count(served) == 0


def test_a_mail_that_is_too_large_is_refused(served: Served):
    with client(served) as made:
        made.ehlo()
        assert int(made.esmtp_features["size"]) == smtp.MAX_MAIL_BYTES
        made.mail(SENDER)
        made.rcpt(OPEN)
        line = b"x" * 70 + b"\r\n"
        assert made.data(mail() + line * (smtp.MAX_MAIL_BYTES // len(line) + 1))[0] == 552
    assert count(served) == 0


def test_too_many_recipients_are_put_off(served: Served, monkeypatch):
    monkeypatch.setattr(smtp, "MAX_RECIPIENTS", 2)
    with client(served) as made:
        made.ehlo()
        made.mail(SENDER)
        assert [made.rcpt(OPEN)[0] for _ in range(3)] == [250, 250, 452]


def test_with_campaign_away_an_answer_is_put_off_and_not_lost(served: Served):
    fake = Campaign()
    address = reply_address(served.runtime, MESSAGE, fake.went_to(f"contacts/{uuid4()}"))
    raw = mail()
    assert send(served, raw, address)[0] == 451
    with neighbour(served, "campaign", fake):
        assert send(served, raw, address) == (250, b"2.6.0 opened")
    assert count(served) == 1


def test_when_the_database_fails_mail_is_put_off_and_not_lost(served: Served):
    raw = mail()
    engine = served.runtime.db.engine
    with engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE received_mail RENAME TO away"))
    assert send(served, raw)[0] == 451
    with engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE away RENAME TO received_mail"))
    # A connection that the server has cut is no reason to lose mail either.
    killer = sa.create_engine(engine.url, isolation_level="AUTOCOMMIT")
    with killer.connect() as connection:
        others = "pid <> pg_backend_pid() AND datname = current_database()"
        connection.execute(sa.text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}"))
    killer.dispose()
    for _ in range(3):
        code, _text = send(served, raw)
        assert code in (250, 451)
    assert count(served) == 1


def test_the_null_sender_and_unicode_addresses_are_understood(served: Served):
    assert send(served, mail("away"), sender="") == (250, b"2.6.0 automatic")
    with client(served) as made:
        made.ehlo()
        assert made.has_extn("smtputf8")
        made.mail("kháchhàng@example.test", ["SMTPUTF8", "BODY=8BITMIME"])
        made.rcpt(OPEN)
        assert made.data("From: kháchhàng@example.test\r\nSubject: Đơn\r\n\r\nchào".encode())[0] == 250
    [case] = cases.list_cases(served.runtime, count=10)
    assert (case.address, case.subject) == ("kháchhàng@example.test", "Đơn")


def test_the_same_mail_from_many_connections_is_stored_once(served: Served):
    raw = mail()
    answers = at_once(6, lambda _: send(served, raw))
    assert sorted(text for _, text in answers) == [b"2.6.0 duplicate"] * 5 + [b"2.6.0 opened"]
    with served.runtime.db.read() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(received_mail)) == 1


def test_a_port_in_use_is_named_at_once(served: Served):
    settings = served.runtime.settings
    second = smtp.SmtpListener(served.runtime)
    with pytest.raises(FailedPrecondition, match=str(settings.inbound_mail_port)) as caught:
        second.start()
    assert caught.value.reason == "PORT_IN_USE"
    second.stop()


def test_a_listener_that_stops_finishes_the_mail_in_hand(runtime: Runtime, monkeypatch):
    reached, go_on = threading.Event(), threading.Event()
    original = smtp.receive_mail

    def slowly(*arguments):
        reached.set()
        assert go_on.wait(30)
        return original(*arguments)

    monkeypatch.setattr(smtp, "receive_mail", slowly)
    listener = smtp.SmtpListener(runtime)
    listener.start()
    idle = socket.create_connection((listener.host, listener.port))
    answers: list[object] = []

    def send_one() -> None:
        with smtplib.SMTP(listener.host, listener.port, timeout=30) as made:
            answers.append(made.sendmail(SENDER, [OPEN], mail()))

    sending = threading.Thread(target=send_one)
    stopping = threading.Thread(target=listener.stop)
    sending.start()
    assert reached.wait(30)
    stopping.start()
    # No new sender is let in, while the one at work is waited for.
    until(lambda: _refused(listener), "the listener closes its port")
    assert stopping.is_alive()
    go_on.set()
    stopping.join(30)
    sending.join(30)
    assert answers == [{}]
    assert len(cases.list_cases(runtime, count=10)) == 1
    idle.close()


def test_too_many_connections_are_told_to_come_again(runtime: Runtime, monkeypatch):
    monkeypatch.setattr(smtp, "MAX_CONNECTIONS", 3)
    listener = smtp.SmtpListener(runtime)
    listener.start()
    try:
        held = [socket.create_connection((listener.host, listener.port), timeout=30) for _ in range(3)]
        assert all(one.recv(3) == b"220" for one in held)
        with pytest.raises(smtplib.SMTPConnectError) as caught:
            smtplib.SMTP(listener.host, listener.port, timeout=30)
        assert caught.value.smtp_code == 421
        held.pop().close()
        until(lambda: listener._open == 2, "the place is free")
        with smtplib.SMTP(listener.host, listener.port, timeout=30) as made:
            assert made.sendmail(SENDER, [OPEN], mail()) == {}
        for one in held:
            one.close()
        until(lambda: listener._open == 0, "all places are free")
    finally:
        listener.stop()


def _refused(listener: smtp.SmtpListener) -> bool:
    try:
        socket.create_connection((listener.host, listener.port), timeout=5).close()
    except OSError:
        return True
    return False
