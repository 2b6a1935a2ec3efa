"""The list of erased people that is kept beside the backups."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from services.cli.backup.erasing import CONSUMERS
from services.cli.backup.erasures import Erasures, Known, append, read_list
from services.kit.backup.manifest import Place
from services.kit.bus.inventory import consumers
from services.kit.config import SERVICES
from services.kit.errors import InvalidArgument

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_nothing_leaves_a_list_and_it_knows_how_far_it_goes(tmp_path: Path):
    file = tmp_path / "kept" / "erased.json"
    first, second = uuid4(), uuid4()
    done = append(file, Erasures(known={"a": Known(position=5, time=NOON)}, contacts={first: NOON}))
    assert (done.total, done.new) == (1, 1)
    # After a restore the database may know less, on a timeline of its own.
    for known in ({"b": Known(position=4, time=NOON)}, {"a": Known(position=3, time=NOON)}):
        done = append(file, Erasures(known=known, contacts={second: NOON}))
    assert (done.total, done.new) == (2, 0)
    found = read_list(file)
    assert set(found.contacts) == {first, second}
    assert [found.covers(Place(timeline="a", position=at)) for at in (4, 5, 6)] == [True, True, False]
    assert not found.covers(Place(timeline="c", position=0))
    assert found.covers(Place(timeline="", position=0)), "a stack that never told anything"
    assert file.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("text", ["", "{}", '{"format": "rapport erasures 2", "known": {}, "contacts": {}}'])
def test_a_file_that_is_no_list_is_refused(tmp_path: Path, text: str):
    (tmp_path / "erased.json").write_text(text)
    with pytest.raises(InvalidArgument) as caught:
        read_list(tmp_path / "erased.json")
    assert caught.value.reason == "NO_ERASURES"


def test_every_consumer_of_erasures_is_brought_there():
    told = {
        consumer.name
        for service in SERVICES
        for consumer in consumers(service)
        if consumer.source == "contacts" and "contact.erased" in (consumer.types or ("contact.erased",))
    }
    assert set(CONSUMERS) == told
