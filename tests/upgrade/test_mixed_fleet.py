"""The last release and this one on the same databases at once, which a next release has migrated already.

So each runs on a schema that is newer than its code, serves callers of the other, and has the other's rows and events.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from rapport_client import Rapport
from rapport_client.errors import InvalidArgument, NotFound, Unimplemented

from deploy.tools.release import ROOT
from services.cli.stack import EXTENSIONS, PLUGIN_SERVICES
from services.kit import revisions
from services.kit.auth import create_tokens
from services.kit.config import SERVICES
from services.kit.postgres import drop, libpq_url, provision
from tests.support import rabbit
from tests.support.ahead import migrate_ahead
from tests.support.fleet import Fleet, Ground, all_of, clients, environment_of
from tests.support.waiting import until
from tests.upgrade.deals import Deal, look, member, numbers, order, trade
from tests.upgrade.next_minor import FIELD, contact_service

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(280)]

PREFIX = f"upgrade_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"
CARRIERS = ("contacts-worker", "sales-worker", "segmentation-worker")
"""Who carries an order to its segment."""


@dataclass
class Stage:
    """Hold both releases: the old one whole, of the new one the APIs; and a client of each."""

    old: Fleet
    new: Fleet
    old_api: Rapport
    new_api: Rapport
    urls: dict[str, str]
    ahead: dict[str, str]


@pytest.fixture(scope="module")
def stage(
    request: pytest.FixtureRequest,
    released: Path,
    admin_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stage]:
    # A folder that outlives the run for a while: its logs say why a test failed.
    folder = tmp_path_factory.mktemp("fleets")
    try:
        urls = provision(
            admin_url, SERVICES, prefix=PREFIX, extensions=EXTENSIONS, plugin_services=PLUGIN_SERVICES
        )
        ahead = migrate_ahead(urls, folder / "ahead")
        tokens = create_tokens(folder / "tokens.json")
        broker = rabbit.stack_url(request), rabbit.new_prefix()
        ground = Ground(urls, tokens, folder / "tokens.json", *broker)
        with Fleet(released, folder / "old", ground) as old, Fleet(ROOT, folder / "new", ground) as new:
            old.start(*all_of("api"), *all_of("worker"))
            new.start(*all_of("api"))
            with clients(old, new) as (old_api, new_api):
                for number in range(2):
                    products = [{"code": "cup", "title": f"Cup {number}"}]
                    (old_api, new_api)[number].sales.batch_upsert_products(products=products)
                yield Stage(old, new, old_api, new_api, urls, ahead)
    finally:
        drop(admin_url, SERVICES, prefix=PREFIX)


def orders_seen(rapport: Rapport, contact: str) -> int:
    try:
        return int(rapport.segmentation.get_profile(contact=contact).event_counts.get("order_placed", 0))
    except NotFound:
        return 0


def test_they_are_of_different_code_and_the_schema_is_ahead_of_both(stage: Stage, released: Path) -> None:
    for fleet in (stage.old, stage.new):
        for name in ("contacts-api", "care-api"):
            assert Path(f"/proc/{fleet.supervisor.pid(name)}/cwd").resolve() == fleet.tree.resolve()
        code = "import services, rapport, rapport_client, rapport_builtin as b; "
        code += "print(*(p.__path__[0] for p in (services, rapport, rapport_client, b)))"
        ran = subprocess.run(
            [sys.executable, "-c", code],
            cwd=fleet.tree,
            env={**os.environ, **environment_of(fleet.tree)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert all(Path(found).is_relative_to(fleet.tree) for found in ran.stdout.split())
    for service, url in stage.urls.items():
        assert revisions.current_of(url) == stage.ahead[service] not in revisions.known(service)
    carriers = {item.name for item in stage.new_api.events("contacts").get_stream().subscriptions}
    assert ("relay/rabbitmq" in carriers) is bool(stage.old.settings.amqp_url)


def test_the_older_release_works_on_the_newer_schema_and_serves_newer_clients(stage: Stage) -> None:
    deal = trade(stage.old_api)
    until(lambda: member(stage.old_api, deal), "the older release's workers carry the order to its segment")
    for url, table in ((stage.urls["contacts"], "contact"), (stage.urls["care"], '"case"')):
        with psycopg.connect(libpq_url(url)) as connection:
            written = connection.execute(
                f"SELECT count(*) FROM {table} WHERE since_next_release = 'none' AND of_next_release IS NULL"
            ).fetchone()
        assert written is not None
        assert written[0] > 0


def test_each_release_reads_what_the_other_wrote(stage: Stage) -> None:
    """The older one's workers have the events of the newer one's APIs."""
    for writer, reader in ((stage.new_api, stage.old_api), (stage.old_api, stage.new_api)):
        deal = trade(writer)
        assert look(reader, deal) == look(writer, deal)
        until(lambda: member(reader, deal), "the older release's workers carry the order to its segment")  # noqa: B023
        glance = reader.care.get_customer_glance(contact=deal.contact)
        assert dict(glance.unavailable_parts) == {}
        assert [item.name for item in glance.sales.recent_orders] == [deal.order]


def test_an_older_client_calls_newer_servers(stage: Stage, released: Path) -> None:
    settings = stage.new.settings
    arguments = [f"{settings.host}:{{port}}", str(settings.base_port), stage.new_api._token, "4711"]
    ran = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("old_client.py")), *map(str, arguments)],
        cwd=released,
        env={**os.environ, **environment_of(released)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert Path(told["library"]).is_relative_to(released)
    assert stage.new_api.contacts.get_contact(name=told["contact"]).contact.display_name == "Old 4711"
    assert stage.old_api.sales.get_order(name=told["order"]).order.contact == told["contact"]
    assert stage.old_api.care.get_case(name=told["case"]).case.subject == "From the old client"
    assert told["segments"] == [item.name for item in stage.new_api.segmentation.list_segments().segments]
    assert told["campaigns"] == [item.name for item in stage.new_api.campaign.list_campaigns().campaigns]


@pytest.mark.parametrize("side", ["old", "new"])
def test_a_client_one_minor_newer_is_served_and_told_what_is_not_there(stage: Stage, side: str) -> None:
    """Fields that the server does not know are passed over, one in a mask is refused, and so is an RPC."""
    fleet = getattr(stage, side)
    with fleet.client() as rapport:
        contacts = rapport._client("next", "contacts", lambda: (contact_service(),))
        number = next(numbers)
        contact = {
            "display_name": "Tomorrow's",
            "identities": [{"type": "TYPE_EXTERNAL", "source": "next", "value": str(number)}],
            FIELD: "tomorrow",
        }
        made = contacts.upsert_contact(contact=contact, **{FIELD: "more"})
        assert (made.created, made.contact.display_name) == (True, "Tomorrow's")
        assert (getattr(made, FIELD), getattr(made.contact, FIELD)) == ("", "")
        with pytest.raises(InvalidArgument) as refused:
            contacts.update_contact(
                contact={"name": made.contact.name, FIELD: "tomorrow"}, update_mask={"paths": [FIELD]}
            )
        assert FIELD in str(refused.value)
        with pytest.raises(Unimplemented, match="runs an older release than this client") as missing:
            contacts.praise_contact(name=made.contact.name)
        assert missing.value.method == "rapport.contacts.v1.ContactService/PraiseContact"


def test_workers_take_over_from_the_other_release_and_give_back(stage: Stage) -> None:
    """Forward, with the older one's APIs still there; and back again, which is what a rollback is. Ends the newer."""
    before = trade(stage.new_api)
    until(lambda: member(stage.new_api, before), "the older release's workers carry the order to its segment")
    stage.old.stop(*CARRIERS)
    number = next(numbers)
    identities = [{"type": "TYPE_EXTERNAL", "source": "fleet", "value": str(number)}]
    given = {"display_name": f"Customer {number}", "identities": identities}
    contact = stage.old_api.contacts.upsert_contact(contact=given).contact.name
    stage.old_api.sales.place_order(order=order(contact, number))
    assert orders_seen(stage.old_api, contact) == 0
    stage.new.start(*CARRIERS)
    later = Deal(contact, segment=before.segment)
    until(lambda: member(stage.old_api, later), "the newer workers carry what the older APIs wrote")
    # Back: the newer release goes, and the older one has its rows.
    stage.new.stop(*CARRIERS, *all_of("api"))
    stage.old.resume(*CARRIERS)
    older = stage.old_api
    older.contacts.update_contact(
        contact={"name": before.contact, "display_name": "Renamed"}, update_mask=["display_name"]
    )
    older.sales.place_order(order=order(before.contact, next(numbers)))
    older.care.add_case_message(case=before.case, message={"kind": "KIND_REPLY", "text": "It comes"})
    until(lambda: orders_seen(older, before.contact) == 2, "the older workers go on with its rows")
    assert member(older, before)
    assert member(older, later)
    assert older.contacts.get_contact(name=before.contact).contact.display_name == "Renamed"
    again = trade(older)
    until(lambda: member(older, again), "the older release is whole again")
