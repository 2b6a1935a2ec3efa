"""The messages on the broker: batches of events with the place in the stream behind them."""

from __future__ import annotations

from collections.abc import Sequence

import amqp
from rapport.events.v1 import events_pb2

from services.kit.bus.amqp.topology import CONTENT_TYPE, MESSAGE_TYPE

PERSISTENT = 2


def encode(response: events_pb2.SubscribeResponse) -> bytes:
    """Return a batch as bytes."""
    return bytes(response.SerializeToString())


def message_of(body: bytes, types: Sequence[str] = (), *, expire_seconds: int | None = None) -> amqp.Message:
    """Return a message; types: of its events beyond the one that is its routing key.

    The broker routes by all of them, and once to each queue.
    """
    properties: dict[str, object] = {
        "content_type": CONTENT_TYPE,
        "type": MESSAGE_TYPE,
        "delivery_mode": PERSISTENT,
    }
    if types:
        properties["application_headers"] = {"CC": list(types)}
    if expire_seconds is not None:
        properties["expiration"] = str(expire_seconds * 1000)
    return amqp.Message(body, **properties)
