"""`rapport segments` against a served segmentation service with its worker."""

from __future__ import annotations

import re
from datetime import timedelta
from io import StringIO
from unittest.mock import patch

import pytest
import sqlalchemy as sa
from rapport_client.errors import Details, FailedPrecondition

from services.cli.segments import definitions
from services.segmentation.context import service_of
from services.segmentation.models import segment
from services.segmentation.store import segments as store
from tests.integration.cli.conftest import Office
from tests.support.segmentation import NOW, World, contact, contact_id, order


@pytest.fixture
def world(segmentation: Office) -> World:
    """Five contacts, of whom the first two have ordered; no segments."""
    made = World(service_of(segmentation.served.runtime), segmentation.served.clock)
    made.empty()
    made.deliver(*(contact(contact_id(number)) for number in range(5)))
    made.deliver(*(order(contact_id(number), NOW - timedelta(days=40 * number)) for number in range(2)))
    return made


class Terminal(StringIO):
    """Somebody who answers."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def buyers(segmentation: Office, world: World) -> Office:
    """The segment of those who have ordered."""
    ran = segmentation.rapport("segments", "create", "buyers", "events.order_placed.size() > 0")
    assert (ran.code, ran.err) == (0, "")
    assert "buyers: 2 members" in ran.out
    return segmentation


def test_create_list_members_and_delete(buyers: Office) -> None:
    listed = buyers.rapport("segments", "list")
    assert listed.code == 0
    assert re.search(r"segments/buyers\W+2\W+ready\W+1\W+events.order_placed.size\(\) > 0", listed.out)
    members = buyers.rapport("segments", "members", "buyers")
    assert set(members.out.split()) == {f"contacts/{contact_id(number)}" for number in range(2)}
    assert members.err == ""
    some = buyers.rapport("segments", "members", "segments/buyers", "--limit", "1")
    assert len(some.out.split()) == 1
    assert "more members than --limit 1" in some.err
    for limit in ("2", "3"):
        assert buyers.rapport("segments", "members", "buyers", "--limit", limit).err == ""
    unasked = buyers.rapport("segments", "delete", "buyers")
    assert (unasked.code, unasked.out) == (1, "")
    assert "there is nobody to ask: add --yes to delete it" in unasked.err
    for answer, code in (("n\n", 1), ("y\n", 0)):
        assert "buyers" in buyers.rapport("segments", "list").out
        with patch("sys.stdin", Terminal(answer)):
            asked = buyers.rapport("segments", "delete", "buyers")
        assert asked.code == code
        assert asked.out.startswith("Delete segments/buyers with its 2 members? [y/N]: ")
    # Only segmentation is served here.
    assert "whether campaigns or journeys name segments/buyers is not known" in asked.err
    assert "buyers" not in buyers.rapport("segments", "list").out


def test_a_segment_that_others_name_is_not_deleted(buyers: Office) -> None:
    assert buyers.rapport("segments", "create", "some", 'in_segment("segments/buyers")').code == 0
    ran = buyers.rapport("segments", "delete", "buyers", "--yes")
    assert ran.code == 1
    assert (
        "segments/buyers is named by the rule of segments/some: change that first (SEGMENT_IN_USE)" in ran.err
    )
    assert buyers.rapport("segments", "delete", "none", "--yes").code == 1
    for one in ("some", "buyers"):
        assert buyers.rapport("segments", "delete", one, "-y").out == f"{one} is deleted\n"


def test_members_beyond_a_page_are_printed(
    segmentation: Office, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(definitions, "_PAGE", 2)
    assert segmentation.rapport("segments", "create", "all", "true").code == 0
    assert len(set(segmentation.rapport("segments", "members", "all").out.split())) == 5
    for limit, more in (("3", True), ("4", True), ("5", False), ("6", False)):
        ran = segmentation.rapport("segments", "members", "all", "--limit", limit)
        assert len(ran.out.split()) == min(int(limit), 5)
        assert ("more members" in ran.err) is more


def test_a_typo_is_pointed_at(segmentation: Office, world: World) -> None:
    for arguments in (("create", "typo", "contact.agee > 3"), ("evaluate", "contact.agee > 3")):
        ran = segmentation.rapport("segments", *arguments)
        assert ran.code == 1
        lines = ran.err.splitlines()
        assert "line 1" in ran.err
        assert "column" in ran.err
        assert "agee" in ran.err
        shown = next(number for number, line in enumerate(lines) if line.strip() == "contact.agee > 3")
        assert lines[shown + 1].strip() == "^"
        pointed = lines[shown][lines[shown + 1].index("^") :]
        assert pointed.startswith((".agee", "agee"))
    assert segmentation.served.client.list_segments().segments == []


def test_the_list_shows_why_a_segment_fails_and_says_it_once(buyers: Office) -> None:
    db = buyers.served.runtime.db
    for failed, stalled, shown in [
        ("tier: no luck", "", "tier: no luck"),
        ("", "tier: no luck", "tier: no luck"),
        ("tier: no luck", "tier: no luck", "tier: no luck"),
        ("tier: no luck; again in 3 s", "tier: no luck", "tier: no luck; again in 3 s"),
        ("its SQL failed", "tier: no luck", "its SQL failed; tier: no luck"),
    ]:
        with db.transaction() as connection:
            store.fail(connection, "buyers", failed)
            connection.execute(sa.update(segment).values(stalled=stalled))
        assert buyers.served.client.get_segment(name="segments/buyers").segment.state_message == shown
        listed = buyers.rapport("segments", "list").out
        assert "failed" in listed
        assert shown in listed
        assert listed.count("no luck") == shown.count("no luck")


def test_a_segment_whose_first_build_fails_is_told_to_remain(
    segmentation: Office, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise FailedPrecondition("tier: no luck", Details("REBUILD_FAILED"))

    monkeypatch.setattr(definitions, "follow", fail)
    ran = segmentation.rapport("segments", "create", "unlucky", "true")
    assert ran.code == 1
    assert ran.err.startswith("rapport: tier: no luck (REBUILD_FAILED)")
    for words in (
        "segments/unlucky is stored all the same",
        "`rapport segments rebuild unlucky`",
        "`rapport segments delete unlucky`",
    ):
        assert words in ran.err
    assert [one.name for one in segmentation.served.client.list_segments().segments] == ["segments/unlucky"]


@pytest.mark.parametrize(
    "rule",
    [
        "contact.age >",
        "",
        "1 + 1",
        "contact.age > 'ten'",
        "(" * 300 + "true" + ")" * 300,
        " || ".join(["contact.has_email"] * 5000),
    ],
    ids=["cut off", "empty", "not a truth", "types", "deep", "long"],
)
def test_a_rule_that_cannot_be_is_refused(segmentation: Office, world: World, rule: str) -> None:
    ran = segmentation.rapport("segments", "create", "bad", rule)
    assert ran.code == 1
    assert ran.err.startswith("rapport: ")
    assert "rule" in ran.err
    assert segmentation.served.client.list_segments().segments == []


def test_a_bad_or_taken_id_is_refused(buyers: Office) -> None:
    taken = buyers.rapport("segments", "create", "buyers", "true")
    assert taken.code == 1
    assert "buyers" in taken.err
    bad = buyers.rapport("segments", "create", "No Good!", "true")
    assert bad.code == 1
    assert "segment_id" in bad.err


@pytest.mark.parametrize(
    "arguments",
    [("members", "nobody"), ("rebuild", "nobody"), ("delete", "nobody")],
    ids=lambda words: words[0],
)
def test_an_unknown_segment_is_named(segmentation: Office, world: World, arguments: tuple[str, ...]) -> None:
    ran = segmentation.rapport("segments", *arguments)
    assert ran.code == 1
    assert "segments/nobody" in ran.err


def test_evaluate_stores_nothing_and_goes_back_in_time(buyers: Office) -> None:
    now = buyers.rapport("segments", "evaluate", "segments/buyers", "--sample", "5")
    assert (now.code, now.err) == (0, "")
    assert now.out.startswith("2 of 5 contacts")
    assert len(now.out.splitlines()) == 3
    then = buyers.rapport(
        "segments", "evaluate", "events.order_placed.size() > 0", "--as-of", "2026-02-01T00:00:00"
    )
    assert then.out.startswith("1 of 5 contacts as of 2026-02-01T00:00:00Z")
    assert len(buyers.served.client.list_segments().segments) == 1


def test_a_dry_run_creates_nothing(segmentation: Office, world: World) -> None:
    ran = segmentation.rapport("segments", "create", "dry", "events.order_placed.size() > 0", "--dry-run")
    assert (ran.code, ran.err) == (0, "")
    assert "2 members" in ran.out
    assert segmentation.served.client.list_segments().segments == []


def test_rebuild_tells_what_changed(buyers: Office) -> None:
    for arguments in (("rebuild",), ("rebuild", "buyers")):
        ran = buyers.rapport("segments", *arguments)
        assert (ran.code, ran.err) == (0, "")
        assert re.search(r"segments/buyers\W+1\W+0\W+0\W+2", ran.out)


def test_a_wrong_token_is_said(segmentation: Office) -> None:
    ran = segmentation.rapport("segments", "list", token="wrong")
    assert ran.code == 1
    assert "token" in ran.err


def test_members_and_history_of_an_earlier_time(buyers: Office, world: World) -> None:
    first, second, third = (f"contacts/{contact_id(number)}" for number in range(3))
    world.clock.instant = NOW + timedelta(days=2)
    world.deliver(order(contact_id(2), NOW + timedelta(days=1)))
    assert buyers.rapport("segments", "delete", "buyers", "--yes").code == 0

    then = buyers.rapport("segments", "members", "buyers", "--as-of", (NOW + timedelta(days=1)).isoformat())
    assert (set(then.out.split()), then.err) == ({first, second}, "")
    unknown = buyers.rapport("segments", "members", "buyers", "--as-of", "yesterday")
    assert (unknown.code, "--as-of" in unknown.err) == (1, True)
    before = buyers.rapport("segments", "members", "buyers", "--as-of", "2020-01-01")
    assert (before.code, "BEFORE_RETENTION" in before.err) == (1, True)

    for subject in (third, str(contact_id(2))):
        ran = buyers.rapport("segments", "history", subject)
        changes = re.findall(r"(entered|left)\W+segments/buyers\W+1", ran.out)
        assert (changes, ran.err) == (["left", "entered"], "")
    ran = buyers.rapport("segments", "history", "buyers", "--until", (NOW + timedelta(days=1)).isoformat())
    assert re.findall(r"entered|left", ran.out) == ["entered", "entered"]
    some = buyers.rapport("segments", "history", "buyers", "--limit", "2")
    assert (len(re.findall("left", some.out)), "raise --limit" in some.err) == (2, True)
    entire = buyers.rapport("segments", "history", "buyers", "--limit", "6")
    assert (len(re.findall("left|entered", entire.out)), entire.err) == (6, "")
    assert buyers.rapport("segments", "history", "segments/nobody").code == 1
