"""Sending with the real contacts service: its addresses, its consents, and the permissions that campaign has there."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

from rapport.contacts.v1 import contacts_pb2
from rapport_testing.smtp import SmtpServer

from services.campaign import channels
from services.campaign.domain.ledger import NewMessage
from services.campaign.store import ledger
from services.campaign.usecases import templates
from services.campaign.usecases.sending import Sender
from services.kit.auth import SERVICE_PERMISSIONS
from services.kit.clock import FixedClock
from services.kit.config import load_settings
from services.kit.locks import Locks
from services.kit.names import new_id, parse_name
from services.kit.plugins import PluginHost, PluginManager, PluginSource, installed_plugins
from services.kit.runtime import make_runtime
from tests.plugins.plugin_sources import load_source
from tests.support.campaign import CHANNEL, NOW, make_template, smtp_environment
from tests.support.postgres import DatabaseFactory
from tests.support.stack import serve

GRANTED, DENIED = contacts_pb2.Consent.STATE_GRANTED, contacts_pb2.Consent.STATE_DENIED

VETO = """
import json
from rapport_sdk import Veto, hookimpl

@hookimpl
def rapport_send_veto(recipient):
    with open({path!r}, "a") as asked:
        print(json.dumps([recipient.tags, recipient.consents, recipient.language_code]), file=asked)
    return Veto("tagged do-not-write") if "do-not-write" in recipient.tags else None
"""
SHIPPED = [found for found in installed_plugins() if found.name == "email"]


def veto_by_tag(folder: Path) -> PluginSource:
    """A plugin that vetoes by tag and notes in `asked` what it was shown."""
    text = VETO.format(path=str(folder / "asked"))
    return PluginSource("tags", lambda: load_source(folder, text), "tags", "1")


def test_consents_and_addresses_of_contacts_decide(
    make_database: DatabaseFactory,
    database_url: str,
    tmp_path: Path,
    plugin_host: PluginHost,
    smtp: SmtpServer,
) -> None:
    url = make_database.with_tables("contacts")
    grant = ("service:campaign", SERVICE_PERMISSIONS["campaign"], "campaign's token")
    with serve("contacts", url, now=NOW, tokens=[grant]) as contacts:
        identity = contacts_pb2.Identity
        people = {}
        for key, (states, tags) in {
            "yes": ([GRANTED], ["vip", "early"]),
            "no": ([], []),
            "withdrawn": ([GRANTED, DENIED], []),
            "tagged": ([GRANTED], ["vip", "do-not-write"]),
        }.items():
            mail = identity(type=identity.TYPE_EMAIL, value=f"{key}@mail.test")
            made = contacts.client.create_contact(
                contact=contacts_pb2.Contact(
                    kind=contacts_pb2.Contact.KIND_PERSON,
                    given_name="Lan",
                    language_code="vi-VN",
                    identities=[mail],
                    tags=tags,
                )
            )
            people[key] = made.contact.name
            for state in states:
                contacts.clock.instant += timedelta(seconds=1)
                decision = contacts_pb2.Consent(
                    contact=made.contact.name, channel="email", topic="marketing", state=state
                )
                contacts.client.record_consents(consents=[decision])
        settings = load_settings(
            campaign_database_url=database_url,
            secret_key="k" * 32,
            address=f"127.0.0.1:{contacts.ports.api}",
            token="campaign's token",
        )
        runtime = make_runtime("campaign", "sender", settings, clock=FixedClock(NOW))
        channels.provide(runtime, plugin_host)
        locks = Locks(runtime.db.engine)
        manager = PluginManager(
            sources=[*SHIPPED, veto_by_tag(tmp_path)], environment=smtp_environment(smtp.port)
        )
        manager.load()
        sender = Sender(runtime, manager, locks)
        try:
            make_template(runtime, subject="Chào {{ contact.given_name }}")
            shown = templates.preview_template(runtime, "hello", parse_name(people["yes"], "contacts"))
            assert shown.subject == "Chào Lan"
            model = NewMessage(
                id=new_id(),
                origin="journeys/x",
                lane="journeys/x",
                contact_id=None,
                channel=CHANNEL,
                topic="marketing",
                template_id="hello",
            )
            keys = [parse_name(name, "contacts") for name in people.values()]
            with runtime.db.transaction() as connection:
                ledger.plan_campaign(connection, model, [new_id() for _ in keys], keys, NOW)
            while sender.run_once():
                pass
            with runtime.db.read() as connection:
                counts = ledger.counts(connection, ["journeys/x"])["journeys/x"]
        finally:
            sender.close()
            locks.close()
            runtime.close()
    assert [mail.to for mail in smtp.received()] == ["yes@mail.test"]
    assert counts.by_reason == {"NO_CONSENT": 1, "CONSENT_DENIED": 1, "VETOED": 1}
    # Those who refused were never shown to a plugin; the others with what contacts knows of them.
    asked = [json.loads(line) for line in (tmp_path / "asked").read_text().splitlines()]
    assert sorted(asked) == [
        [["do-not-write", "vip"], {"email_marketing": "granted"}, "vi-VN"],
        [["early", "vip"], {"email_marketing": "granted"}, "vi-VN"],
    ]
