"""`rapport segments` for lists and snapshots, against a served segmentation service with its worker."""

from __future__ import annotations

import re
from datetime import timedelta
from io import StringIO
from pathlib import Path
from unittest.mock import patch

import pytest

from services.segmentation.context import service_of
from tests.integration.cli.conftest import Office
from tests.support.segmentation import NOW, World, contact, contact_id, order

PEOPLE = [contact_id(number) for number in range(5)]


@pytest.fixture
def world(segmentation: Office) -> World:
    """Five contacts, of whom the first two have ordered, and an empty list."""
    made = World(service_of(segmentation.served.runtime), segmentation.served.clock)
    made.empty()
    made.deliver(*(contact(key) for key in PEOPLE))
    made.deliver(*(order(PEOPLE[number], NOW - timedelta(days=40 * number)) for number in range(2)))
    ran = segmentation.rapport("segments", "create", "friends", "--list", "--name", "Bạn bè")
    assert (ran.code, ran.out, ran.err) == (0, "friends is an empty list\n", "")
    return made


def test_add_and_remove_by_arguments_file_and_standard_input(
    segmentation: Office, world: World, folder: Path
) -> None:
    rapport = segmentation.rapport
    ran = rapport("segments", "add", "friends", str(PEOPLE[0]), f"contacts/{PEOPLE[1]}")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == "friends: 2 added, 0 were in it, 2 members\n"
    people = folder / "people.txt"
    people.write_text(
        f"# from the fair\ncontacts/{PEOPLE[1]}\n\n {PEOPLE[2]} \n{PEOPLE[2]}\n", encoding="utf-8"
    )
    ran = rapport("segments", "add", "segments/friends", "--file", str(people))
    assert ran.out == "segments/friends: 1 added, 1 were in it, 3 members\n"
    with patch("sys.stdin", StringIO(f"{PEOPLE[0]}\n{PEOPLE[4]}\n")):
        ran = rapport("segments", "remove", "friends", "-f", "-")
    assert ran.out == "friends: 1 removed, 1 were not in it, 2 members\n"
    assert world.members("friends") == set(PEOPLE[1:3])
    listed = rapport("segments", "list").out
    assert re.search(r"segments/friends\W+2\W+ready\W+1\W+\(a list\)", listed)


def test_more_contacts_than_one_call_takes_come_in_batches(segmentation: Office, world: World) -> None:
    with patch("services.cli.segments.lists.BATCH", 2):
        ran = segmentation.rapport("segments", "add", "friends", *map(str, PEOPLE))
        assert ran.out == "friends: 5 added, 0 were in it, 5 members\n"
        strange = [*map(str, PEOPLE[:2]), str(contact_id(99))]
        ran = segmentation.rapport("segments", "add", "friends", *strange)
    assert ran.code == 1
    assert "the first 2 contacts were dealt with" in ran.out
    assert f"contacts/{contact_id(99)}" in ran.err
    assert "UNKNOWN_CONTACTS" in ran.err


def test_bad_contacts_are_named_with_their_lines(segmentation: Office, world: World, folder: Path) -> None:
    (folder / "bad.txt").write_text(f"{PEOPLE[0]}\nann@example.test\n", encoding="utf-8")
    ran = segmentation.rapport("segments", "add", "friends", "x", "-f", "bad.txt")
    assert ran.code == 1
    assert "argument 1: 'x'" in ran.err
    assert "bad.txt:2: 'ann@example.test'" in ran.err
    assert world.members("friends") == set()
    (folder / "none.txt").write_text("# nobody\n", encoding="utf-8")
    assert segmentation.rapport("segments", "add", "friends", "-f", "none.txt").code == 2
    assert segmentation.rapport("segments", "add", "friends", "-f", "missing.txt").code == 1
    assert "segments/nobody" in segmentation.rapport("segments", "add", "nobody", str(PEOPLE[0])).err


def test_snapshot_waits_until_the_list_holds_them(segmentation: Office, world: World) -> None:
    rapport = segmentation.rapport
    ran = rapport(
        "segments", "snapshot", "then", "events.order_placed.size() > 0", "--as-of", "2026-02-01T00:00:00"
    )
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == "then: 1 members as of 2026-02-01T00:00:00Z\n"
    assert world.members("then") == {PEOPLE[1]}
    rapport("segments", "add", "friends", str(PEOPLE[3]))
    assert rapport("segments", "snapshot", "copy", "segments/friends", "--name", "Copy").code == 0
    assert world.members("copy") == {PEOPLE[3]}
    ran = rapport("segments", "snapshot", "typo", "contact.agee > 3")
    assert ran.code == 1
    assert "agee" in ran.err
    assert rapport("segments", "snapshot", "x", "true", "--as-of", "yesterday").code == 1
