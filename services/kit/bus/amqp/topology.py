"""The exchanges and queues on the broker, and how they are declared.

Per source one topic exchange, `<prefix>.<source>`; per consumer one quorum queue, `<prefix>.<service>.<method>`, and
the queue of its dead letters, the same with `.dead`. A third, `.ready`, is always empty: it stands for as long as the
consumer's queue holds everything from some time on, so that nothing need be replayed into it. What is no message of
ours is put aside in `.unreadable`, which is there only then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import amqp

DELIVERY_LIMIT = 12
"""So often a message may come back before the broker itself puts it among the dead letters. Consumers do so earlier, if
they live for long enough."""

MARK = "mark"
"""Routing key of messages without events, which tell how far the stream has come."""

PUBLISHER = "relay/rabbitmq"
"""The publisher's own subscription at its source: so far all is on the broker. No other's name can have a slash."""

CONTENT_TYPE = "application/x-protobuf"
MESSAGE_TYPE = "rapport.events.v1.SubscribeResponse"
_QUORUM = {"x-queue-type": "quorum"}


@dataclass(frozen=True)
class ConsumerQueues:
    """Name what one consumer has on the broker."""

    exchange: str
    main: str
    dead: str
    ready: str
    unreadable: str
    types: tuple[str, ...]

    @classmethod
    def of(cls, prefix: str, source: str, subscription: str, types: Sequence[str]) -> ConsumerQueues:
        """Return the names of a consumer's queues."""
        main = f"{prefix}.{subscription}"
        return cls(
            exchange_name(prefix, source),
            main,
            dead=f"{main}.dead",
            ready=f"{main}.ready",
            unreadable=f"{main}.unreadable",
            types=tuple(types),
        )


def exchange_name(prefix: str, source: str) -> str:
    """Return the name of the exchange of a service's events."""
    return f"{prefix}.{source}"


def has_exchange(connection: amqp.Connection, name: str) -> bool:
    """Tell whether an exchange is there."""
    # The broker answers no by closing the channel.
    channel = connection.channel()
    try:
        channel.exchange_declare(name, "topic", passive=True)
    except amqp.NotFound:
        return False
    channel.close()
    return True


def declare_exchange(channel: amqp.Channel, name: str) -> None:
    """Make an exchange unless it is there."""
    channel.exchange_declare(name, "topic", durable=True, auto_delete=False)


def declare_queues(connection: amqp.Connection, queues: ConsumerQueues) -> bool:
    """Make a consumer's queues unless they are there, and return whether its queue was complete before.

    False: it is new, or what was in it is lost, or its last replay was interrupted, or nothing came to it any more.
    Raises amqp.PreconditionFailed when a queue of the name has other properties.
    """
    complete = (
        _exists(connection, queues.main)
        and _exists(connection, queues.ready)
        # With an exchange go all bindings of its queues.
        and has_exchange(connection, queues.exchange)
    )
    channel = connection.channel()
    if not complete:
        # Before the queue is made: a mark without its queue would vouch for what was never in it.
        channel.queue_delete(queues.ready)
    declare_exchange(channel, queues.exchange)
    channel.queue_declare(queues.dead, durable=True, auto_delete=False, arguments=_QUORUM)
    channel.queue_declare(
        queues.main,
        durable=True,
        auto_delete=False,
        arguments={
            **_QUORUM,
            "x-delivery-limit": DELIVERY_LIMIT,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": queues.dead,
            # A dead letter leaves this queue when the other one has it, not before.
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
        },
    )
    for key in (*(queues.types or ("#",)), MARK):
        channel.queue_bind(queues.main, queues.exchange, key)
    channel.close()
    return complete


def mark_complete(connection: amqp.Connection, queues: ConsumerQueues) -> None:
    """Remember that a consumer has had all that its queue will not bring."""
    channel = connection.channel()
    channel.queue_declare(queues.ready, durable=True, auto_delete=False, arguments=_QUORUM)
    channel.close()


def declare_unreadable(channel: amqp.Channel, queues: ConsumerQueues) -> None:
    """Make the queue of messages that cannot be read unless it is there."""
    channel.queue_declare(queues.unreadable, durable=True, auto_delete=False, arguments=_QUORUM)


def give_up_queue(connection: amqp.Connection, prefix: str, subscription: str) -> None:
    """Delete the queue of a consumer, which then makes a new one, and reads the stream for what that lacks.

    Its dead letters stay.
    """
    queues = ConsumerQueues.of(prefix, "", subscription, ())
    channel = connection.channel()
    for name in (queues.ready, queues.main):
        channel.queue_delete(name)
    channel.close()


def delete_queues(connection: amqp.Connection, prefix: str, subscription: str) -> None:
    """Delete a consumer's queues with what is in them; it makes new ones, and reads the stream for what they lack."""
    queues = ConsumerQueues.of(prefix, "", subscription, ())
    channel = connection.channel()
    # The mark first: without its queue it would vouch for what was never in it.
    for name in (queues.ready, queues.main, queues.dead, queues.unreadable):
        channel.queue_delete(name)
    channel.close()


def _exists(connection: amqp.Connection, queue: str) -> bool:
    # The broker answers by closing the channel.
    channel = connection.channel()
    try:
        channel.queue_declare(queue, passive=True)
    except amqp.NotFound:
        return False
    channel.close()
    return True
