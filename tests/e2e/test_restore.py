"""A backup of a stack that goes on, restored into an empty one beside it, which then goes on from there."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from rapport_client import Rapport
from rapport_client.errors import FailedPrecondition, NotFound

from services.cli.demo import free_base_port
from services.cli.stack import Stack
from services.kit.backup import manifest
from services.kit.config import SERVICES
from services.kit.postgres import drop, libpq_url
from tests.e2e.calls import all_events_have_their_effects, new_contact, place_order
from tests.e2e.conftest import NOW, PREFIX, Running
from tests.support import rabbit
from tests.support.cli import Ran, run_cli
from tests.support.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]
PREFIX_OF_COPY = f"{PREFIX}_copy"
RULE = "events.order_placed.size() > 0"


@dataclass
class Copy:
    """The stack that the backup is restored into: not started before it was."""

    stack: Stack
    urls: dict[str, str]

    def run(self, *arguments: object) -> Ran:
        return _run(self.urls, self.stack.settings, *arguments)


@contextmanager
def _copy(running: Running, folder: Path) -> Iterator[Copy]:
    settings = running.settings.model_copy(
        update={
            "data_dir": folder,
            "base_port": free_base_port("127.0.0.1"),
            "amqp_prefix": rabbit.new_prefix(),
        }
    )
    environment = dict(running.stack._environment)
    try:
        with Stack(settings, environment=environment, database_prefix=PREFIX_OF_COPY) as stack:
            yield Copy(stack, stack.prepare_databases())
    finally:
        drop(settings.database_url, SERVICES, prefix=PREFIX_OF_COPY)


def _run(urls: dict[str, str], settings: object, *arguments: object) -> Ran:
    given = {f"RAPPORT_{service.upper()}_DATABASE_URL": url for service, url in urls.items()}
    told = {
        f"RAPPORT_{name.upper()}": str(getattr(settings, name))
        for name in ("data_dir", "clock", "amqp_url", "amqp_prefix")
    }
    return run_cli(*map(str, arguments), environment=given | told)


@contextmanager
def _writing(rapport: Rapport) -> Iterator[list[str]]:
    """Have customers come and buy for as long as the block lasts; gives their names."""
    written: list[str] = []
    stop = threading.Event()

    def write() -> None:
        # At a steady pace: as fast as it can be done would take the machine from the backup that it goes on beside.
        while not stop.wait(0.1):
            contact = new_contact(rapport)
            place_order(rapport, contact)
            written.append(contact)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        until(lambda: len(written) > 5, "something was written")
        yield written
    finally:
        stop.set()
        thread.join()


def _rows(url: str, query: str) -> set[tuple[object, ...]]:
    with psycopg.connect(libpq_url(url)) as connection:
        return set(connection.execute(query.encode()))


def _members(rapport: Rapport) -> set[str]:
    found: set[str] = set()
    token = ""
    while True:
        page = rapport.segmentation.list_members(segment="segments/restored", page_token=token)
        found |= set(page.contacts)
        token = page.next_page_token
        if not token:
            return found


def _define(rapport: Rapport) -> None:
    made = rapport.segmentation.create_segment(segment_id="restored", segment={"rule": RULE})
    rapport.segmentation.wait_operation(made.rebuild, timeout=60)
    rapport.campaign.create_template(
        template_id="later", template={"contents": [{"subject": "An hour later", "text": "Thank you"}]}
    )
    rapport.campaign.create_template(
        template_id="news", template={"contents": [{"subject": "The news", "text": "New cups"}]}
    )
    send = {"template": "templates/later", "channel": "email.smtp", "topic": "transactional"}
    rapport.campaign.create_journey(
        journey_id="an-hour-later",
        journey={
            "trigger": {
                "event_type": "segment.entered",
                "segment": "segments/restored",
                "reentry_after": timedelta(0),
            },
            "steps": [{"wait": {"duration": timedelta(hours=1)}}, {"send": send}],
        },
    )
    rapport.campaign.activate_journey(name="journeys/an-hour-later")


def _is_on_the_way(rapport: Rapport, contact: str) -> bool:
    found = rapport.campaign.list_journey_entries(journey="journeys/an-hour-later", contact=contact)
    return len(found.entries) == 1


def test_a_backup_is_restored_into_an_empty_stack(running: Running, tmp_path: Path):
    old = running.rapport

    def mails_to(contact: str, subject: str) -> int:
        address = next(
            item.value
            for item in old.contacts.get_contact(name=contact).contact.identities
            if item.value.endswith("@example.test")
        )
        return sum(
            mail.recipient == address and str(mail.message["Subject"]) == subject
            for mail in running.mailbox.mails()
        )

    # Before the backup: a mail that is out, somebody who waits for one, somebody who will be erased, a case.
    _define(old)
    informed, waiting, forgotten = (new_contact(old) for _ in range(3))
    for contact in (waiting, forgotten):
        place_order(old, contact)
    for contact in (waiting, forgotten):
        until(lambda who=contact: _is_on_the_way(old, who), "the journey starts for those who bought")
    old.campaign.send_message(
        contact=informed, channel="email.smtp", topic="transactional", subject="The news", text="New cups",
        request_id="news-of-the-day",
    )  # fmt: skip
    until(lambda: mails_to(informed, "The news") == 1, "the news is out")
    case = old.care.create_case(case={"contact": waiting, "subject": "Where is it?"}, text="Not here.").case
    # A system of the business that reads the events of sales, and keeps its place itself.
    early = old.events("sales").get_stream().head

    with _writing(old) as written:
        began = len(written)
        made = _run(running.urls, running.settings, "backup", tmp_path / "backup")
        assert made.code == 0, made.err
        assert len(written) > began, "writing went on"
    kept = manifest.read(tmp_path / "backup")

    # After the backup: more customers, somebody is erased, and the mail that was waited for goes out.
    late = [new_contact(old) for _ in range(3)]
    for contact in late:
        place_order(old, contact)
    until(lambda: old.events("sales").get_stream().unpositioned_events == 0, "the orders are told of")
    beyond = old.events("sales").get_stream().head
    old.contacts.erase_contact(name=forgotten)
    running.set_clock(NOW + timedelta(hours=2))
    try:
        until(lambda: mails_to(waiting, "An hour later") == 1, "the journey goes on")
        erased = tmp_path / "erased.json"
        assert _run(running.urls, running.settings, "backup", "erasures", erased).code == 0
        with _copy(running, tmp_path / "copy") as copy:
            _restore(copy, tmp_path / "backup", erased)
            assert not _rows(copy.urls["contacts"], _contact(forgotten)), "erased before anything runs"
            for service in ("sales", "segmentation", "campaign", "care"):
                gone = f"SELECT 1 FROM contact_gone WHERE contact_id = '{forgotten[9:]}' AND \"into\" IS NULL"
                assert _rows(copy.urls[service], gone), service
            copy.stack.start()
            with copy.stack.client(timeout=60) as new:
                _compare(running, copy, new, kept)
                _messages(copy, new, mails_to, waiting, informed)
                with pytest.raises(NotFound):
                    new.contacts.get_contact(name=forgotten)
                for contact in late:
                    with pytest.raises(NotFound):
                        new.contacts.get_contact(name=contact)
                assert new.care.get_case(name=case.name).case.subject == "Where is it?"
                _cursors(new, early, beyond, kept)
                _goes_on(running, new)
    finally:
        running.set_clock(NOW)


def _contact(name: str) -> str:
    return f"SELECT id FROM contact WHERE id = '{name[9:]}'"


def _restore(copy: Copy, backup: Path, erased: Path) -> None:
    refused = copy.run("restore", backup)
    assert (refused.code, "--erasures FILE" in refused.err) == (1, True)
    done = copy.run("restore", backup, "--erasures", erased)
    assert done.code == 0, done.err
    assert "erased again: 1;" in done.out
    again = copy.run("restore", backup, "--erasures", erased)
    assert (again.code, "are not empty" in again.err) == (1, True)


def _compare(running: Running, copy: Copy, new: Rapport, kept: manifest.Manifest) -> None:
    """What every service made of the others' events fits what these have, and nothing of the backup is missing."""
    until(lambda: all_events_have_their_effects(new), "what was told before the backup has its effects")
    urls = copy.urls
    contacts = _rows(urls["contacts"], "SELECT id FROM contact")
    assert len(contacts) == kept.services["contacts"].rows["public.contact"] - 1
    orders = _rows(urls["sales"], "SELECT id, contact_id FROM sales_order WHERE contact_id IS NOT NULL")
    assert {contact for _, contact in orders} <= {contact for (contact,) in contacts}
    assert _rows(urls["segmentation"], "SELECT contact_id FROM profile") == contacts
    seen = "SELECT contact_id, count(*) FROM event WHERE type = 'order.placed' GROUP BY contact_id"
    counted = "SELECT contact_id, count(*) FROM sales_order WHERE contact_id IS NOT NULL GROUP BY contact_id"
    assert _rows(urls["segmentation"], seen) == _rows(urls["sales"], counted)
    taken = (
        "SELECT id FROM sale WHERE kind = 'order' AND contact_id <> '00000000-0000-0000-0000-000000000000'"
    )
    assert _rows(urls["campaign"], taken) == {(order,) for order, _ in orders}
    # What is in both stacks is the same in both.
    for service, query in {
        "contacts": "SELECT to_jsonb(contact)::text FROM contact",
        "sales": "SELECT to_jsonb(sales_order)::text FROM sales_order",
        "care": 'SELECT to_jsonb("case")::text FROM "case"',
    }.items():
        assert _rows(urls[service], query) <= _rows(running.urls[service], query), service
    members = _members(new)
    assert members == {f"contacts/{contact}" for _, contact in orders}
    again = new.segmentation.rebuild_segments(names=["segments/restored"]).operation
    new.segmentation.wait_operation(again, timeout=60)
    assert _members(new) == members


def _messages(
    copy: Copy, new: Rapport, mails_to: Callable[[str, str], int], waiting: str, informed: str
) -> None:
    """Nothing goes out before the release; what may have gone out after the backup is unknown then."""
    # The mail that the old stack sent after the backup is planned again, and held.
    released = copy.run("backup", "release")
    assert released.code == 0, released.err
    unknown = new.campaign.list_messages(state="STATE_UNKNOWN", page_size=1000).messages
    assert waiting in {item.contact for item in unknown}
    assert f"{len(unknown)} of them are unknown now" in released.out
    assert {item.reason.partition(":")[0] for item in unknown} == {"RESTORED"}
    assert copy.run("backup", "release").code == 1, "once"
    (sent,) = new.campaign.list_messages(contact=informed, state="STATE_SENT").messages
    assert mails_to(informed, "The news") == 1
    # The same request again is known: it was sent before the backup.
    same = new.campaign.send_message(
        contact=informed, channel="email.smtp", topic="transactional", subject="The news", text="New cups",
        request_id="news-of-the-day",
    ).message  # fmt: skip
    assert same.name == sent.name
    assert mails_to(waiting, "An hour later") == 1


def _cursors(new: Rapport, early: Any, beyond: Any, kept: manifest.Manifest) -> None:
    fork = kept.services["sales"].head.position
    events = new.events("sales")
    with events.subscribe(start=early, max_batch_size=1) as responses:
        assert next(responses).events[0].position == early.position + 1
    assert beyond.position > fork
    with pytest.raises(FailedPrecondition) as caught, events.subscribe(start=beyond) as responses:
        next(responses)
    assert caught.value.reason == "TIMELINE_CHANGED"
    assert caught.value.metadata["fork_position"] == str(fork)


def _goes_on(running: Running, new: Rapport) -> None:
    """A new customer buys, enters the segment and gets a mail, once."""
    before = len(running.mailbox.mails())
    contact = new_contact(new)
    place_order(new, contact)
    until(lambda: contact in _members(new), "membership follows the order")
    until(lambda: all_events_have_their_effects(new), "the journey started")
    running.set_clock(NOW + timedelta(hours=4))
    address = f"{new.contacts.get_contact(name=contact).contact.identities[1].value}"
    until(
        lambda: any(mail.recipient == address for mail in running.mailbox.mails()[before:]), "the mail is out"
    )
    until(lambda: all_events_have_their_effects(new), "campaign has told of it")
    assert sum(mail.recipient == address for mail in running.mailbox.mails()) == 1
