"""Lists among segments with rules: what follows from a change of members, and snapshots beside increments."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch
from uuid import UUID

import pytest
from rapport.segmentation.v1 import segmentation_pb2 as pb

from services.kit.errors import FailedPrecondition, NotFound
from services.segmentation.store import membership
from services.segmentation.usecases import defining, lists, projection, snapshots
from services.segmentation.usecases.defining import Change
from tests.support.segmentation import NOW, Progress, World, contact, contact_id, days, order
from tests.support.segmentation_scratch import agrees_with_scratch
from tests.support.waiting import until

KEYS = [contact_id(number) for number in range(6)]


def make_list(seg: World, id_: str) -> None:
    with seg.db.transaction() as connection:
        defining.create_list(seg.service, connection, id_, id_.title())


def put(seg: World, id_: str, *keys: UUID, entered: bool = True, historical: bool = False) -> int:
    """Put contacts into a list, or take them out; returns for how many that was new."""
    with seg.db.transaction() as connection:
        changed, _ = lists.change_members(
            seg.service, connection, id_, keys, entered=entered, historical=historical
        )
    return changed


def ask(seg: World, **arguments: Any) -> pb.SnapshotSegmentRequest:
    request = pb.SnapshotSegmentRequest(**arguments)
    with seg.db.transaction() as connection:
        snapshots.request_snapshot(seg.service, connection, request)
    return request


def take(seg: World, **arguments: Any) -> pb.SnapshotSegmentResult:
    return snapshots.take_snapshot(seg.service, ask(seg, **arguments), Progress())


@contextmanager
def held_before(name: str, module: Any, hold: threading.Event, reached: threading.Event) -> Any:
    """Let a function of a module wait for an event before it begins."""
    real = getattr(module, name)

    def held(*arguments: Any, **more: Any) -> Any:
        reached.set()
        assert hold.wait(20)
        return real(*arguments, **more)

    with patch.object(module, name, held):
        yield


def in_thread(action: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=action)
    thread.start()
    return thread


def test_rules_that_name_a_list_follow_in_the_same_transaction_through_several_levels(seg: World) -> None:
    seg.deliver(*(contact(key, region_code="VN" if at < 3 else "US") for at, key in enumerate(KEYS)))
    make_list(seg, "hand")
    seg.define("local", 'in_segment("segments/hand") && contact.region_code == "VN"')
    seg.define("other", '!in_segment("segments/local")')
    seg.define("top", 'in_segment("segments/other") && in_segment("segments/hand")')
    before = len(seg.told())
    assert put(seg, "hand", KEYS[0], KEYS[5]) == 2
    assert seg.everybody() == {
        "hand": {KEYS[0], KEYS[5]},
        "local": {KEYS[0]},
        "other": set(KEYS[1:]),
        "top": {KEYS[5]},
    }
    assert sorted(item[:2] + item[3:] for item in seg.told()[before:]) == [
        ("segment.entered", "hand", False),
        ("segment.entered", "hand", False),
        ("segment.entered", "local", False),
        ("segment.entered", "top", False),
        ("segment.left", "other", False),
    ]
    told = len(seg.told())
    assert put(seg, "hand", KEYS[0], KEYS[5]) == 0
    assert len(seg.told()) == told
    # A refusal takes everything back, in the dependents as well.
    with pytest.raises(FailedPrecondition):
        put(seg, "hand", KEYS[1], contact_id(77))
    with patch.object(membership, "member_count", side_effect=RuntimeError), pytest.raises(RuntimeError):
        put(seg, "hand", *KEYS)
    assert seg.members("local") == {KEYS[0]}
    assert len(seg.told()) == told
    assert put(seg, "hand", *KEYS, entered=False, historical=True) == 2
    assert [item for item in seg.told()[told:] if not item[3]] == []
    agrees_with_scratch(seg)


def test_no_evaluation_and_no_rebuild_touches_the_members_of_a_list(seg: World) -> None:
    seg.deliver(*(contact(key) for key in KEYS))
    make_list(seg, "hand")
    put(seg, "hand", *KEYS[:3])
    # With no rule at all, with one, and with more than one level of them.
    seg.deliver(contact(KEYS[0], revision=2, region_code="VN"))
    seg.define("vn", 'contact.region_code == "VN"')
    seg.deliver(contact(KEYS[1], revision=2, region_code="VN"), order(KEYS[4], NOW))
    seg.define("both", 'in_segment("segments/vn") && in_segment("segments/hand")')
    seg.deliver(
        contact(KEYS[2], revision=2, region_code="VN"), contact(KEYS[3], revision=2, region_code="VN")
    )
    seg.rebuild()
    assert seg.members("hand") == set(KEYS[:3])
    assert seg.members("both") == set(KEYS[:3])
    assert seg.sizes() == {"hand": 3, "vn": 4, "both": 3}
    agrees_with_scratch(seg)


def test_many_members_at_once(seg: World) -> None:
    many = [contact_id(number) for number in range(1000, 2300)]
    seg.deliver(*(contact(key) for key in many))
    make_list(seg, "hand")
    seg.define("copy", 'in_segment("segments/hand")')
    assert put(seg, "hand", *many) == 1300
    assert seg.members("copy") == set(many)
    assert put(seg, "hand", *many[300:], entered=False) == 1000
    assert seg.sizes() == {"hand": 300, "copy": 300}
    agrees_with_scratch(seg)


def test_a_snapshot_keeps_who_was_in_while_contacts_change(seg: World) -> None:
    seg.deliver(*(contact(key, region_code="VN") for key in KEYS))
    seg.define("vn", 'contact.region_code == "VN"')
    take(seg, segment_id="then", segment="segments/vn")
    seg.define("lost", 'in_segment("segments/then") && !in_segment("segments/vn")')
    seg.deliver(contact(KEYS[0], revision=2, region_code="US"))
    assert seg.members("then") == set(KEYS)
    assert seg.members("lost") == {KEYS[0]}
    agrees_with_scratch(seg)


def test_increments_go_on_while_a_snapshot_is_being_filled(seg: World) -> None:
    seg.deliver(*(contact(key, region_code="VN") for key in KEYS))
    seg.define("vn", 'contact.region_code == "VN"')
    request = ask(seg, segment_id="then", segment="segments/vn")
    filled, go = threading.Event(), threading.Event()
    with held_before("drop_vanished", membership, go, filled):
        # Everything is in the list, and not committed. The lock is owned from here on only.
        real = snapshots.locks.own_membership
        calls: list[int] = []
        before_end, end = threading.Event(), threading.Event()

        def own(connection: Any) -> None:
            calls.append(1)
            if len(calls) == 2:
                before_end.set()
                assert end.wait(20)
            real(connection)

        with patch.object(snapshots.locks, "own_membership", own):
            worker = in_thread(lambda: snapshots.take_snapshot(seg.service, request, Progress()))
            assert before_end.wait(20)
            seg.deliver(contact(KEYS[0], revision=2, region_code="US"))
            assert seg.members("vn") == set(KEYS[1:])
            # A rule that names the list meanwhile sees nobody in it, and is rebuilt after it.
            seg.define("near", 'in_segment("segments/then")')
            assert seg.members("near") == set()
            end.set()
            go.set()
            worker.join()
    assert seg.members("then") == set(KEYS)
    waiting = seg.query("SELECT count(*) FROM operation WHERE kind = 'rebuild_segments'")
    assert waiting == [3]
    seg.rebuild("near")
    assert seg.members("near") == set(KEYS)
    agrees_with_scratch(seg)


def test_a_snapshot_waits_for_an_evaluation_that_does_not_know_of_the_list(seg: World) -> None:
    """It would take the members out again: the one that began before the list was there must end first."""
    seg.deliver(*(contact(key, region_code="VN") for key in KEYS))
    seg.define("vn", 'contact.region_code == "VN"')
    with seg.db.transaction() as connection:
        projection.apply_events(seg.service, connection, [contact(KEYS[0], revision=2, region_code="US")])
        request = ask(seg, segment_id="then", rule='contact.region_code == "VN"')
        worker = in_thread(lambda: snapshots.take_snapshot(seg.service, request, Progress()))

        def waits() -> bool:
            sql = (
                "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database "
                "WHERE d.datname = current_database() AND l.locktype = 'advisory' AND NOT l.granted"
            )
            return seg.query(sql) == [1]

        until(waits, "the snapshot waits for the evaluation")
    worker.join()
    assert seg.members("then") == set(KEYS[1:])
    agrees_with_scratch(seg)


def test_a_contact_that_vanishes_while_a_snapshot_is_filled_is_not_in_it(seg: World) -> None:
    seg.deliver(*(contact(key) for key in KEYS))
    request = ask(seg, segment_id="then", rule="true")
    real = membership.drop_vanished

    def erased(connection: Any, notice: Any) -> int:
        connection.exec_driver_sql("DELETE FROM profile WHERE contact_id = %(key)s", {"key": KEYS[0]})
        connection.exec_driver_sql(
            "INSERT INTO contact_gone (contact_id, time) VALUES (%(key)s, %(now)s)",
            {"key": KEYS[0], "now": NOW},
        )
        return real(connection, notice)

    with patch.object(membership, "drop_vanished", erased):
        result = snapshots.take_snapshot(seg.service, request, Progress())
    assert result.member_count == 5
    assert seg.members("then") == set(KEYS[1:])
    agrees_with_scratch(seg)


def test_a_snapshot_that_was_deleted_meanwhile_ends_without_a_trace(seg: World) -> None:
    seg.deliver(*(contact(key) for key in KEYS))
    request = ask(seg, segment_id="then", rule="true")
    with seg.db.transaction() as connection:
        defining.delete_segment(seg.service, connection, "then", "")
    with pytest.raises(NotFound):
        snapshots.take_snapshot(seg.service, request, Progress())
    make_list(seg, "then")
    with pytest.raises(NotFound):
        snapshots.take_snapshot(seg.service, request, Progress())
    assert seg.members("then") == set()
    assert seg.told() == []


def test_a_snapshot_that_is_stopped_or_dies_leaves_an_empty_list(seg: World) -> None:
    seg.deliver(*(contact(key) for key in KEYS))
    request = ask(seg, segment_id="then", rule="true")
    with patch.object(membership, "drop_vanished", side_effect=RuntimeError), pytest.raises(RuntimeError):
        snapshots.take_snapshot(seg.service, request, Progress())
    assert (seg.members("then"), seg.told(), seg.sizes()) == (set(), [], {"then": 0})
    # The operation is taken up again.
    assert snapshots.take_snapshot(seg.service, request, Progress()).member_count == 6
    assert len(seg.told()) == 6


def test_an_update_waits_for_a_rebuild_of_the_same_segment(seg: World) -> None:
    """They lock the definition and the segment in opposite orders, so one must end before the other begins."""
    seg.deliver(contact(KEYS[0]))
    seg.define("a", "true", build=False)
    begun, go = threading.Event(), threading.Event()
    from services.segmentation.usecases import rebuilding

    with held_before("_put_in_force", rebuilding, go, begun):
        rebuild = in_thread(lambda: seg.rebuild("a"))
        assert begun.wait(20)

        def update() -> None:
            with seg.db.transaction() as connection:
                defining.update_segment(seg.service, connection, "a", Change(display_name="New"), "")

        other = in_thread(update)
        sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        until(lambda: seg.query(sql) == [1], "the update waits")
        go.set()
        rebuild.join()
        other.join()
    assert seg.query("SELECT display_name FROM segment") == ["New"]
    assert seg.query("SELECT state FROM segment") == ["ready"]


def test_expiry_leaves_lists_alone(seg: World) -> None:
    from services.segmentation.usecases import upkeep

    seg.deliver(contact(KEYS[0]), order(KEYS[0], NOW - days(1)))
    make_list(seg, "hand")
    put(seg, "hand", KEYS[0])
    seg.define(
        "recent", 'in_segment("segments/hand") && events.order_placed.exists(o, now - o.time <= days(3))'
    )
    assert seg.members("recent") == {KEYS[0]}
    seg.clock.instant = NOW + days(5)
    assert upkeep.expire(seg.service) == 1
    assert seg.everybody() == {"hand": {KEYS[0]}, "recent": set()}
    agrees_with_scratch(seg)
