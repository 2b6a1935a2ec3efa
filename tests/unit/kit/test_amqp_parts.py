"""The parts of the RabbitMQ transport that need no broker."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import amqp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rapport.events.v1 import events_pb2

from services.cli.stack import Stack
from services.kit.bus.amqp.broker import Broker, explain, parse_url
from services.kit.bus.amqp.progress import Progress
from services.kit.bus.amqp.publisher import Unconfirmed
from services.kit.bus.transport import StreamBroken
from services.kit.config import Settings, load_settings
from services.kit.errors import InvalidArgument, Unavailable

SECRET = "t0ps3cret"


@pytest.mark.parametrize(
    ("url", "shown", "secure"),
    [
        ("amqp://localhost", "RabbitMQ at localhost:5672, virtual host /", False),
        (f"amqp://crm:{SECRET}@mq:5673/crm", "RabbitMQ at mq:5673, virtual host crm", False),
        (f"amqps://crm:{SECRET}@mq/a%2Fb", "RabbitMQ at mq:5671, virtual host a/b", True),
        (f"amqp://u:{SECRET}@a/v, amqp://u:{SECRET}@b:1/v", "RabbitMQ at a:5672, b:1, virtual host v", False),
    ],
)
def test_a_url_is_taken_apart_and_shown_without_its_password(url: str, shown: str, secure: bool) -> None:
    broker = parse_url(url)
    assert (str(broker), broker.secure) == (shown, secure)
    assert SECRET not in repr(broker)


def test_credentials_may_hold_any_character() -> None:
    broker = parse_url("amqp://a%40b:p%2F%3A%25@mq/")
    assert (broker.user, broker.password, broker.virtual_host) == ("a@b", "p/:%", "/")


@pytest.mark.parametrize(
    "url",
    [
        f"http://u:{SECRET}@mq/",
        f"amqp://u:{SECRET}@/",
        f"amqp://u:{SECRET}@mq:port/",
        f"amqp://u:{SECRET}@mq:99999/",
        f"amqp://u:{SECRET}@a/v,amqp://u:{SECRET}@b/w",
        f"amqp://u:{SECRET}@[mq/",
        f"{SECRET}",
        ",",
    ],
)
def test_a_malformed_url_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_url(url)
    assert caught.value.reason == "INVALID_AMQP_URL"
    assert SECRET not in caught.value.message
    with pytest.raises(InvalidArgument) as set_so:
        load_settings(amqp_url=url)
    assert "RAPPORT_AMQP_URL" in set_so.value.message
    assert SECRET not in set_so.value.message


def test_settings_do_not_show_it() -> None:
    assert SECRET not in repr(Settings(amqp_url=f"amqp://u:{SECRET}@mq/"))


@pytest.mark.parametrize(
    ("error", "words", "needs_help"),
    [
        (amqp.AccessRefused("ACCESS_REFUSED - Login was refused"), "Login was refused", True),
        (amqp.PreconditionFailed("inequivalent arg 'x-queue-type' for queue 'a'"), "delete the queue", True),
        (
            amqp.PreconditionFailed("delivery acknowledgement on channel 1 timed out"),
            "timed out; raise consumer_timeout",
            True,
        ),
        (amqp.ConnectionForced("broker forced connection closure"), "forced", False),
        (ConnectionRefusedError(111, "Connection refused"), "Connection refused", False),
        (TimeoutError(), "no answer", False),
    ],
)
def test_errors_say_where_and_what(error: Exception, words: str, needs_help: bool) -> None:
    text, help_needed = explain(error, parse_url(f"amqp://u:{SECRET}@mq/"))
    assert text.startswith("RabbitMQ at mq:5672")
    assert words in text
    assert SECRET not in text
    assert help_needed is needs_help


def test_a_stack_without_its_broker_says_so_before_it_starts(tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path / "data", amqp_url=f"amqp://u:{SECRET}@127.0.0.1:1/")
    with Stack(settings) as stack, pytest.raises(Unavailable) as caught:
        stack.start()
    assert "Connection refused" in caught.value.message
    assert "RAPPORT_AMQP_URL" in caught.value.message
    assert SECRET not in caught.value.message


Confirms = Sequence[tuple[int, bool]]


@given(
    st.integers(1, 30).flatmap(lambda n: st.tuples(st.just(n), st.permutations(range(1, n + 1)), st.data()))
)
def test_the_place_is_behind_all_that_is_confirmed_and_before_the_first_that_is_not(
    case: tuple[int, list[int], st.DataObject],
) -> None:
    count, order, data = case
    window = Unconfirmed()
    for number in range(1, count + 1):
        window.add(number * 10)
    confirmed: set[int] = set()
    place = 0
    for tag in order:
        multiple = data.draw(st.booleans())
        window.confirm(tag, multiple)
        confirmed |= set(range(1, tag + 1)) if multiple else {tag}
        place = window.settle() or place
        first_open = next((number for number in range(1, count + 1) if number not in confirmed), count + 1)
        assert place == (first_open - 1) * 10
        assert len(window) == count - (first_open - 1)
    assert (place, len(window), window.refused) == (count * 10, 0, False)
    window.refuse(1, False)
    assert window.refused


class Sources:
    """Note what they are told; away for so many calls first."""

    def __init__(self, away: int = 0, *, needs_help: bool = False) -> None:
        self.away = away
        self.needs_help = needs_help
        self.told: list[tuple[str, str, int]] = []

    def acknowledge(self, source: str, subscription: str, cursor: events_pb2.Cursor) -> None:
        if self.away:
            self.away -= 1
            raise StreamBroken("away", needs_help=self.needs_help)
        self.told.append((source, subscription, cursor.position))


def test_progress_tells_the_newest_place_at_the_latest_when_it_closes() -> None:
    sources = Sources()
    progress = Progress(sources)  # type: ignore[arg-type]
    for position in range(1, 50):
        progress.report("sales", "a.b", events_pb2.Cursor(position=position))
        progress.report("care", "a.c", events_pb2.Cursor(position=position))
    progress.close()
    assert sources.told[-1][2] == 49
    assert {told[:2] for told in sources.told if told[2] == 49} == {("sales", "a.b"), ("care", "a.c")}
    assert len(sources.told) < 98


def test_a_place_that_could_not_be_told_is_told_again_unless_it_is_of_no_use() -> None:
    for needs_help, told in ((False, [("sales", "a.b", 7)]), (True, [])):
        sources = Sources(away=1, needs_help=needs_help)
        progress = Progress(sources)  # type: ignore[arg-type]
        progress.report("sales", "a.b", events_pb2.Cursor(position=7))
        progress.close()
        assert sources.told == told


def test_a_broker_is_one_value() -> None:
    assert parse_url("amqp://u:p@mq/v") == Broker((("mq", 5672),), "v", "u", "p", False)
