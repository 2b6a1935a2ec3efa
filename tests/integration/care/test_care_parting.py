"""Cases of merged contacts go to those that remain; of those of erased ones only the figures stay."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from services.care.domain.cases import Case, MessageKind
from services.care.models import metadata
from services.care.store import cases as store
from services.care.usecases import cases, parting, tasks
from services.care.usecases.opening import NewCase, open_case
from services.kit.access.scope import EVERYTHING
from services.kit.runtime import Runtime
from tests.support.care import make_queue
from tests.support.partings import batch


def opened(runtime: Runtime, contact: UUID, **values: Any) -> Case:
    new = NewCase(**({"subject": "s", "channel": "email", "contact_id": contact} | values))
    with runtime.db.transaction() as connection:
        return open_case(connection, new, runtime.clock.now())


def of(runtime: Runtime, contact: UUID) -> list[Case]:
    with runtime.db.read() as connection:
        return store.page(connection, EVERYTHING, contact_id=contact, count=100)


def rows(runtime: Runtime) -> str:
    with runtime.db.read() as connection:
        return "\n".join(
            str(row)
            for table in metadata.sorted_tables
            if table.name != "contact_gone"
            for (row,) in connection.exec_driver_sql(f'SELECT to_jsonb(t)::text FROM "{table.name}" AS t')
        )


def test_cases_follow_merges_whatever_the_order(runtime: Runtime) -> None:
    make_queue(runtime)
    first, second, third = uuid4(), uuid4(), uuid4()
    before = opened(runtime, first)
    parting.let_go(runtime, batch((second, third)))
    parting.let_go(runtime, batch((first, second)))
    late = opened(runtime, second)
    assert {case.id for case in of(runtime, third)} == {before.id, late.id}
    assert of(runtime, first) == of(runtime, second) == []
    assert of(runtime, third)[-1].etag != before.etag


def test_a_case_of_an_erased_contact_says_nothing_of_it(runtime: Runtime) -> None:
    """Nor does one that it opens later, nor one of a contact that is said to be merged into it afterwards."""
    make_queue(runtime)
    key, other, stranger = uuid4(), uuid4(), uuid4()
    spoken = {
        "subject": "Zebra asks",
        "text": "I am Zebra",
        "address": "zebra@x.test",
        "author": "zebra@x.test",
    }
    case = opened(runtime, key, external_id="<zebra@mail>", **spoken)
    merged_late = opened(runtime, other, **spoken)
    kept = opened(runtime, stranger, subject="Lion asks", text="I am Lion")
    with runtime.db.transaction() as connection:
        cases.add_message(runtime, connection, case.id, MessageKind.REPLY, "Dear Zebra", "agents/ana")
    parting.let_go(runtime, batch((key, None)))
    parting.let_go(runtime, batch((other, key)))
    left = rows(runtime)
    for word in ("Zebra", "zebra", str(key), str(other)):
        assert word not in left
    assert "agents/ana" in left
    assert "I am Lion" in left
    assert [one.id for one in of(runtime, stranger)] == [kept.id]
    with runtime.db.read() as connection:
        for one in (case, merged_late):
            found = store.get(connection, one.id, EVERYTHING)
            assert found is not None
            assert (found.contact_id, found.number, found.create_time) == (None, one.number, one.create_time)
    assert opened(runtime, key).contact_id is None


def made(runtime: Runtime, contact: UUID, title: str) -> UUID:
    with runtime.db.transaction() as connection:
        fields = {"title": title, "text": f"{title} at home"}
        return tasks.create_task(
            runtime, connection, contact_id=contact, case_id=None, source="", fields=fields
        ).id


def test_tasks_follow_merges_and_of_erased_contacts_say_nothing(runtime: Runtime) -> None:
    make_queue(runtime)
    first, second, other = uuid4(), uuid4(), uuid4()
    before = made(runtime, first, "Call Zebra")
    kept = made(runtime, other, "Call Lion")
    parting.let_go(runtime, batch((first, second)))
    late = made(runtime, first, "Write Zebra")
    assert {item.id for item in tasks.list_tasks(runtime, contact_id=second, count=9)} == {before, late}
    tasks.complete_task(runtime, before, drop=False, etag="")
    parting.let_go(runtime, batch((second, None)))
    assert "Zebra" not in rows(runtime)
    assert str(second) not in rows(runtime)
    done, dropped = (tasks.get_task(runtime, key) for key in (before, late))
    assert (done.state, dropped.state, dropped.contact_id) == ("done", "dropped", None)
    assert dropped.end_time is not None
    assert tasks.get_task(runtime, kept).title == "Call Lion"
    # Nor does one that is made later.
    assert tasks.get_task(runtime, made(runtime, second, "Call")).contact_id is None
