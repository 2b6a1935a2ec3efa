"""An upgrade as operators make it: the last release's databases, with its rows, are migrated while it serves.

Then this release takes over, and what only the older one used is taken away.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from rapport_client import Rapport

from deploy.tools.release import ROOT, last_release
from services.cli.stack import EXTENSIONS, PLUGIN_SERVICES
from services.kit import migrations, revisions
from services.kit.auth import create_tokens
from services.kit.config import SERVICES
from services.kit.errors import FailedPrecondition
from services.kit.postgres import drop, provision
from tests.support import rabbit
from tests.support.fleet import Fleet, Ground, all_of, clients, environment_of
from tests.support.waiting import until
from tests.upgrade.deals import Deal, look, member, numbers, order, trade

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(280)]

PREFIX = f"in_place_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"
LACKS = ("('add_table',", "('add_column',", "('add_index',", "('add_constraint',", "('add_fk',")
EVERYTHING = (*all_of("api"), *all_of("worker"))


@pytest.fixture
def urls(admin_url: str, released: Path) -> Iterator[dict[str, str]]:
    """The URLs of databases that the last release's code has migrated, by service."""
    try:
        made = provision(
            admin_url, SERVICES, prefix=PREFIX, extensions=EXTENSIONS, plugin_services=PLUGIN_SERVICES
        )
        code = "import sys; from services.kit import migrations; migrations.upgrade(*sys.argv[1:])"
        for service, url in made.items():
            subprocess.run(
                [sys.executable, "-c", code, service, url],
                cwd=released,
                env={**os.environ, **environment_of(released)},
                check=True,
            )
            assert revisions.current_of(url) == last_release().schema[service]
        yield made
    finally:
        drop(admin_url, SERVICES, prefix=PREFIX)


@pytest.fixture
def ground(request: pytest.FixtureRequest, urls: dict[str, str], tmp_path: Path) -> Ground:
    tokens = create_tokens(tmp_path / "tokens.json")
    return Ground(urls, tokens, tmp_path / "tokens.json", rabbit.stack_url(request), rabbit.new_prefix())


def write_to(rapport: Rapport, deal: Deal) -> Rapport:
    """Let a journey write to everybody who enters the segment of a deal."""
    name = deal.segment.partition("/")[2]
    send = {"template": f"templates/hello-{name.partition('-')[2]}", "channel": "email.smtp"}
    rapport.campaign.create_journey(
        journey_id=name,
        journey={
            "trigger": {
                "event_type": "segment.entered",
                "segment": deal.segment,
                "reentry_after": timedelta(0),
            },
            "steps": [{"send": {**send, "topic": "transactional"}}],
        },
    )
    rapport.campaign.activate_journey(name=f"journeys/{name}")
    return rapport


def new_customer(rapport: Rapport) -> str:
    number = next(numbers)
    identities = [
        {"type": "TYPE_EXTERNAL", "source": "fleet", "value": str(number)},
        {"type": "TYPE_EMAIL", "value": f"c{number}@example.test"},
    ]
    contact = rapport.contacts.upsert_contact(
        contact={"display_name": f"Customer {number}", "identities": identities}
    ).contact.name
    rapport.sales.place_order(order=order(contact, number))
    return str(contact)


def written_to(rapport: Rapport, contact: str) -> bool:
    """Tell whether a message to a contact is planned, which an order led to over two services' events."""
    return len(rapport.campaign.list_messages(contact=contact).messages) == 1


def missing(released: Path, service: str, url: str) -> list[str]:
    """Return what the last release's models know and a database does not have, or has of another type."""
    code = "import json, sys; from services.kit import migrations; print(json.dumps(migrations.check(*sys.argv[1:])))"
    ran = subprocess.run(
        [sys.executable, "-c", code, service, url],
        cwd=released,
        env={**os.environ, **environment_of(released)},
        check=True,
        capture_output=True,
        text=True,
    )
    found: list[str] = json.loads(ran.stdout)
    # What there is beside is not the older one's; what may be null now, the linter judges.
    return [one for one in found if one.startswith(LACKS) or "('modify_type'" in one]


@contextmanager
def trading(rapport: Rapport) -> Iterator[list[str]]:
    """Let customers come and order all the time; yield them as they come. Raises what any of the calls raised."""
    stop, customers, problems = threading.Event(), list[str](), list[Exception]()

    def trade_on() -> None:
        try:
            while not stop.is_set():
                customers.append(new_customer(rapport))
        except Exception as error:
            problems.append(error)

    thread = threading.Thread(target=trade_on)
    thread.start()
    try:
        yield customers
    finally:
        stop.set()
        thread.join()
    assert problems == []


def test_the_last_releases_databases_are_migrated_while_it_serves(
    released: Path, ground: Ground, urls: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    # A folder that outlives the run for a while: its logs say why a test failed.
    folder = tmp_path_factory.mktemp("in_place")
    with (
        Fleet(released, folder / "old", ground) as old,
        Fleet(ROOT, folder / "new", ground) as new,
        clients(old, new) as (old_api, new_api),
    ):
        old.start(*EVERYTHING)
        old_api.sales.batch_upsert_products(products=[{"code": "cup", "title": "Cup"}])
        deal = trade(old_api)
        write_to(old_api, deal)
        first = new_customer(old_api)
        until(lambda: written_to(old_api, first), "the older release's workers plan a message")

        with trading(old_api) as customers:
            for service, url in urls.items():
                migrations.upgrade(service, url)
                assert revisions.current_of(url) == revisions.needed(service)
                assert missing(released, service, url) == []
            came = len(customers)
            until(lambda: len(customers) > came + 5, "customers still come when all is migrated")
        for contact in (customers[0], customers[-1]):
            until(lambda: written_to(old_api, contact), "the older workers go on on the newer schema")  # noqa: B023

        # What the older one uses is not taken from it.
        taking = [service for service in SERVICES if revisions.contracts(service)]
        for service in taking:
            with pytest.raises(FailedPrecondition) as caught:
                migrations.upgrade(service, urls[service], contract=True)
            assert caught.value.reason == "RELEASE_IN_USE"
            assert f"rapport-{service}-api" in caught.value.message
            assert f"rapport-{service}-worker" in caught.value.message

        before = look(old_api, deal)
        new.start(*all_of("api"))
        assert look(new_api, deal) == before
        assert written_to(new_api, first)
        old.stop(*EVERYTHING)
        new.start(*all_of("worker"))
        for service in taking:
            migrations.upgrade(service, urls[service], contract=True)
            assert migrations.check(service, urls[service]) == []
        # Of which there is something to tell, or the above would tell nothing.
        assert all(missing(released, service, urls[service]) for service in taking)

        assert look(new_api, deal) == before
        last = new_customer(new_api)
        until(lambda: written_to(new_api, last), "the older one's journey goes on with the newer workers")
        again = trade(new_api)
        until(lambda: member(new_api, again), "the newer release is whole")
