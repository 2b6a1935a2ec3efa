"""A journey's webhook step by a real sender process: its own URL is called, whatever the channel's settings name."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from rapport.sales.v1 import events_pb2 as sales_events
from rapport_builtin.webhook.signature import read_secret, signature
from rapport_testing.channels import Received
from rapport_testing.http import HttpServer, Request

from services.campaign import channels
from services.campaign.domain.steps import Send, Webhook
from services.campaign.models import message
from services.campaign.usecases import journeys
from services.kit.clock import write_clock
from services.kit.plugins import PluginHost
from services.kit.runtime import Runtime
from tests.integration.campaign.test_campaign_journeys import event, feed
from tests.support.campaign import NOW, World, make_journey, make_template, start_sender
from tests.support.waiting import until

SECRET = f"whsec_{base64.b64encode(b'between us and them, we say').decode()}"
CHANNEL = "webhook.post"


def read(request: Request) -> Received:
    data = json.loads(request.body)["data"]
    return Received(data["message_id"], data["to"], data["text"], request.body)


@pytest.fixture
def theirs() -> Iterator[HttpServer]:
    """What the journey calls."""
    with HttpServer(read) as running:
        yield running


@pytest.fixture
def ours() -> Iterator[HttpServer]:
    """What the settings of the channel name."""
    with HttpServer(read) as running:
        yield running


@pytest.fixture
def environment(runtime: Runtime, ours: HttpServer) -> Iterator[dict[str, str]]:
    """The channel's settings, which the API's checks of journeys know as well as the sender."""
    given = {
        "RAPPORT_PLUGIN_WEBHOOK_URL": f"{ours.url}/contacts",
        "RAPPORT_PLUGIN_WEBHOOK_SECRETS": SECRET,
        "RAPPORT_PLUGIN_WEBHOOK_ALLOW_HTTP": "true",
        "RAPPORT_PLUGIN_WEBHOOK_ALLOW_NETWORKS": "127.0.0.1",
    }
    host = PluginHost(allowed=("webhook",), environment=given)
    channels.provide(runtime, host)
    yield {"RAPPORT_PLUGINS_ALLOW": "webhook", **given}
    host.close()


def test_the_step_calls_its_own_url(
    runtime: Runtime,
    database_url: str,
    neighbours_at: str,
    world: World,
    theirs: HttpServer,
    ours: HttpServer,
    environment: dict[str, str],
    tmp_path: Path,
) -> None:
    [contact] = world.add()
    make_template(runtime, text="Thank you")
    call = Webhook(f"{theirs.url}/orders?from=rapport", CHANNEL)
    make_journey(runtime, [call, Send("hello", CHANNEL, "marketing")])
    feed(runtime, event(contact, payload=sales_events.OrderPlaced(category="shoes")))
    journeys.advance_journeys(runtime)
    write_clock(tmp_path / "clock", NOW)
    clock = f"file:{tmp_path / 'clock'}"
    sender = start_sender(tmp_path, database_url, "k" * 32, neighbours_at, 1, clock, **environment)
    try:
        until(lambda: bool(theirs.requests and ours.requests), "both are called")
    finally:
        assert sender.stop() == 0, sender.log.read_text()
    with runtime.db.read() as connection:
        query = sa.select(message.c.id, message.c.state, message.c.topic).order_by(message.c.step)
        [(called, *first), (sent, *second)] = connection.execute(query)
    assert (first, second) == (["sent", "transactional"], ["sent", "marketing"])
    [request] = theirs.requests
    assert (request.method, request.path) == ("POST", "/orders?from=rapport")
    assert request.headers["webhook-id"] == str(called)
    stamp = int(request.headers["webhook-timestamp"])
    assert stamp == int(NOW.timestamp())
    signed = signature([read_secret(SECRET)], str(called), stamp, request.body)
    assert request.headers["webhook-signature"] == signed
    told = json.loads(json.loads(request.body)["data"]["text"])
    assert (told["journey"], told["contact"]) == ("journeys/thanks", contact)
    assert told["event"]["category"] == "shoes"
    [other] = ours.requests
    assert (other.path, other.headers["webhook-id"]) == ("/contacts", str(sent))
    assert json.loads(other.body)["data"]["text"] == "Thank you"
