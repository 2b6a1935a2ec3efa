"""Two replicas of every process: calls are spread over them, and either of them is enough."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from rapport_client import Rapport
from rapport_client.retry import NO_RETRY

from services.cli.demo import free_base_port
from services.cli.processes import process_name, replicas_of
from services.cli.stack import Stack
from services.demo.mailbox import Mailbox
from services.kit.config import SERVICES, Settings, load_settings
from services.kit.postgres import drop
from tests.e2e.calls import QUESTIONS, all_events_have_their_effects, orders_seen
from tests.e2e.conftest import PREFIX
from tests.support import rabbit
from tests.support.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(280)]

REPLICAS = 2
PEOPLE = 12
STANDBY = "standby: another process does this"


class Replicated:
    """A stack with two replicas of each process, a mail server, and a client whose calls are spread over them."""

    def __init__(self, stack: Stack, rapport: Rapport, mailbox: Mailbox) -> None:
        self.stack = stack
        self.rapport = rapport
        self.mailbox = mailbox
        self.each = replicas_of(stack.settings, REPLICAS)

    def answered(self, one: Settings, service: str) -> int:
        """Return how many calls the API of a replica has answered well, for whomever."""
        text = _get(f"http://{one.host}:{one.metrics_port(service, 'api')}/metrics")
        return int(
            sum(
                float(n)
                for n in re.findall(r'^rapport_grpc_server_calls_total{code="OK".*} (\S+)$', text, re.M)
            )
        )

    def doing(self, one: Settings, service: str) -> dict[str, str]:
        """Return what each entrypoint of a replica's worker does."""
        text = _get(f"http://{one.host}:{one.metrics_port(service, 'worker')}/healthz")
        found: dict[str, str] = json.loads(text)["entrypoints"]
        return found

    def names(self, role: str, replica: int) -> list[str]:
        """Return the names of all processes of a role and replica."""
        return [process_name(service, role, replica) for service in SERVICES]

    def all_answer(self, service: str) -> bool:
        """Ask a service a few times and say whether each replica of its API answered some of that."""
        before = [self.answered(one, service) for one in self.each]
        for _ in range(2 * REPLICAS):
            QUESTIONS[service](self.rapport)
        after = [self.answered(one, service) for one in self.each]
        return all(new > old for old, new in zip(before, after, strict=True))


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return str(answer.read().decode())


@pytest.fixture(scope="module")
def replicated(
    admin_url: str, amqp_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Replicated]:
    mailbox = Mailbox()
    mailbox.start()
    prefix = f"{PREFIX}_two"
    settings = load_settings(
        data_dir=tmp_path_factory.mktemp("replicas"),
        base_port=free_base_port("127.0.0.1", REPLICAS),
        database_url=admin_url,
        secret_key="not-a-secret-in-a-test",
        amqp_url=amqp_url,
        amqp_prefix=rabbit.new_prefix(),
    )
    environment = {
        "RAPPORT_PLUGIN_EMAIL_SMTP_HOST": mailbox.host,
        "RAPPORT_PLUGIN_EMAIL_SMTP_PORT": str(mailbox.port),
        "RAPPORT_PLUGIN_EMAIL_SMTP_SECURITY": "none",
    }
    try:
        with Stack(settings, environment=environment, database_prefix=prefix, replicas=REPLICAS) as stack:
            stack.start()
            with stack.client(timeout=60) as rapport:
                yield Replicated(stack, rapport, mailbox)
    finally:
        mailbox.stop()
        drop(admin_url, SERVICES, prefix=prefix)


def upsert(rapport: Rapport, number: int) -> str:
    identities = [
        {"type": "TYPE_EXTERNAL", "source": "e2e", "value": str(number)},
        {"type": "TYPE_EMAIL", "value": f"person{number}@example.test"},
    ]
    answer = rapport.contacts.upsert_contact(
        contact={"display_name": f"Person {number}", "identities": identities}
    )
    name = str(answer.contact.name)
    consent = {"channel": "email", "topic": "marketing", "state": "STATE_GRANTED"}
    rapport.contacts.record_consents(consents=[{"contact": name, **consent}])
    return name


def place_order(rapport: Rapport, contact: str, number: str) -> None:
    price = {"currency_code": "EUR", "units": 3}
    line = {"product_code": "cup", "quantity": "2", "unit_price": price}
    rapport.sales.place_order(
        order={
            "contact": contact,
            "source": "e2e",
            "external_id": number,
            "order_time": datetime.now(UTC),
            "lines": [line],
        }
    )


def test_the_main_job_is_done_once_by_all_replicas_together(replicated: Replicated):
    rapport, mailbox = replicated.rapport, replicated.mailbox
    people = [upsert(rapport, number) for number in range(PEOPLE)]
    rapport.sales.batch_upsert_products(products=[{"code": "cup", "title": "Cup"}])
    buyers = people[: PEOPLE // 2]
    for contact in buyers:
        place_order(rapport, contact, f"first of {contact}")
    made = rapport.segmentation.create_segment(
        segment_id="buyers", segment={"rule": "size(events.order_placed) >= 1"}
    )
    rapport.segmentation.wait_operation(made.rebuild, timeout=60)

    def members() -> int:
        return int(rapport.segmentation.get_segment(name="segments/buyers").segment.member_count)

    until(lambda: members() == len(buyers), "all buyers are in the segment")
    rapport.campaign.create_template(
        template_id="news",
        template={"contents": [{"subject": "News", "text": "News for {{ contact.name }}"}]},
    )
    rapport.campaign.create_campaign(
        campaign_id="news",
        campaign={
            "display_name": "News",
            "segment": "segments/buyers",
            "template": "templates/news",
            "channel": "email.smtp",
            "topic": "marketing",
        },
    )
    launched = rapport.campaign.launch_campaign(name="campaigns/news")
    rapport.campaign.wait_operation(launched.operation, timeout=120)
    recipients = sorted(mail.recipient for mail in mailbox.mails())
    assert recipients == sorted(f"person{number}@example.test" for number in range(len(buyers)))

    case = rapport.care.create_case(case={"contact": buyers[0], "subject": "Where is it?"}).case
    rapport.care.add_case_message(case=case.name, message={"kind": "KIND_REPLY", "text": "On its way."})
    until(
        lambda: any(f"[#{case.number}]" in str(mail.message["Subject"]) for mail in mailbox.mails()),
        "the answer arrives",
    )
    assert len(mailbox.mails()) == len(buyers) + 1
    # Each had its share of the calls.
    assert [replicated.answered(one, "contacts") > PEOPLE // 2 for one in replicated.each] == [
        True
    ] * REPLICAS
    assert [service for service in SERVICES if not replicated.all_answer(service)] == []


def test_each_subscription_and_timer_is_done_by_one_replica_while_the_other_stands_by(replicated: Replicated):
    def doers() -> dict[str, int]:
        found: dict[str, int] = {}
        for service in SERVICES:
            for one in replicated.each:
                for name, text in replicated.doing(one, service).items():
                    found[name if "." in name else f"{service} {name}"] = found.get(name, 0) + (
                        text != STANDBY
                    )
        return found

    # Operations have no single doer: whoever finds one takes it.
    until(
        lambda: all(count <= REPLICAS for count in doers().values()) and 1 in doers().values(), "it settles"
    )
    for service in SERVICES:
        first, second = (replicated.doing(one, service) for one in replicated.each)
        assert first.keys() == second.keys()
        stood = {name for name in first if STANDBY in (first[name], second[name])}
        both = {name for name in stood if first[name] == second[name] == STANDBY}
        assert not both, service
        operations = {name for name in first if re.match(r"waiting|running", first[name])}
        assert first.keys() - operations == stood, service


def test_one_replica_of_each_api_is_enough(replicated: Replicated):
    supervisor = replicated.stack.supervisor
    names = replicated.names("api", 0)
    # A process that has just come back is found again within two seconds.
    for service in SERVICES:
        until(lambda service=service: replicated.all_answer(service), "all replicas answer")  # type: ignore[misc]
    supervisor.hold(*names)
    try:
        # What is left answers every call at the first attempt: none is sent where nobody is.
        for ask in QUESTIONS.values():
            for _ in range(3 * REPLICAS):
                ask(replicated.rapport, _retry=NO_RETRY)
        contact = upsert(replicated.rapport, 100)
        place_order(replicated.rapport, contact, "an api is gone")
        until(lambda: orders_seen(replicated.rapport, contact) == 1, "services still reach each other")
    finally:
        supervisor.release(*names)
    assert all(supervisor.wait_ready(name, timeout=90) for name in names)


def test_a_worker_takes_over_from_one_that_is_gone(replicated: Replicated):
    supervisor = replicated.stack.supervisor
    contact = upsert(replicated.rapport, 200)
    # The one that does the work, for each service.
    names = []
    for service, method in (("contacts", "publisher"), ("sales", "publisher"), ("segmentation", "on_sales")):
        doing = [replicated.doing(one, service) for one in replicated.each]
        mine = [STANDBY not in text.get(method, text.get(f"{service}.{method}", "")) for text in doing]
        names.append(process_name(service, "worker", mine.index(True)))
    supervisor.hold(*names)
    try:
        place_order(replicated.rapport, contact, "workers are gone")
        until(lambda: orders_seen(replicated.rapport, contact) == 1, "the other workers take over")
        until(lambda: all_events_have_their_effects(replicated.rapport), "nothing is left to do")
    finally:
        supervisor.release(*names)
    assert all(supervisor.wait_ready(name, timeout=90) for name in names)
    assert orders_seen(replicated.rapport, contact) == 1
