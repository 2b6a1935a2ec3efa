"""`rapport operations` against a served contacts service with its worker."""

from __future__ import annotations

import json
import re
from pathlib import Path
from uuid import uuid4

import pytest
from rapport.contacts.v1 import contacts_pb2
from rapport.operations.v1 import operations_pb2
from rapport_client import ServiceClient

from services.contacts.models import kit
from services.kit import operations
from tests.integration.cli.conftest import Office


@pytest.fixture
def imported(contacts: Office, folder: Path) -> str:
    """The name of an import that is done."""
    (folder / "people.csv").write_text(f"email\nan.{uuid4().hex}@example.test\n")
    ran = contacts.rapport("import", "contacts", "people.csv")
    assert ran.code == 0
    found = re.search(r"operations/[0-9a-f-]{36}", ran.out)
    assert found is not None
    return found[0]


def waiting(contacts: Office) -> operations_pb2.Operation:
    """Record an operation of a kind that no worker takes."""
    runtime = contacts.served.runtime
    with runtime.db.transaction() as connection:
        return operations.create(
            connection, kit, "nobody_does_it", contacts_pb2.ImportContactsConfig(), runtime.clock, unit="rows"
        )


def test_they_are_listed_and_shown(contacts: Office, imported: str) -> None:
    listed = contacts.rapport("operations", "list", "--service", "contacts", "--limit", "1")
    assert listed.code == 0
    assert re.search(rf"{imported}\W+contacts\W+import_contacts\W+done\W+1 of 1 rows", listed.out)
    open_one = waiting(contacts).name
    cut = contacts.rapport("operations", "list", "--service", "contacts", "--limit", "1")
    assert open_one in cut.out
    assert imported not in cut.out
    assert "there are older ones: contacts" in cut.err
    shown = contacts.rapport("operations", "show", imported)
    assert shown.code == 0
    first, *_ = shown.out.splitlines()
    assert first == f"{imported}: import_contacts of contacts, done"
    result = json.loads(shown.out[shown.out.index("{") :])
    assert result["created_count"] == "1"


def test_one_is_waited_for_by_its_id_alone(contacts: Office, imported: str) -> None:
    ran = contacts.rapport("operations", "wait", imported.removeprefix("operations/"))
    assert (ran.code, ran.err) == (0, "")
    assert json.loads(ran.out)["row_count"] == "1"


def test_one_is_cancelled(contacts: Office, imported: str) -> None:
    open_one = waiting(contacts).name
    ran = contacts.rapport("operations", "cancel", open_one, "--service", "contacts")
    assert (ran.code, ran.err) == (0, "")
    assert re.search(f"{open_one}: .*(stopping|failed)", contacts.rapport("operations", "show", open_one).out)
    done = contacts.rapport("operations", "cancel", imported)
    assert done.code == 1
    assert "OPERATION_DONE" in done.err


def test_an_unknown_one_and_an_unknown_service_are_named(contacts: Office) -> None:
    name = f"operations/{uuid4()}"
    for command in ("show", "wait", "cancel"):
        ran = contacts.rapport("operations", command, name)
        assert ran.code == 1
        assert name in ran.err
    ran = contacts.rapport("operations", "list", "--service", "crm")
    assert ran.code == 1
    assert "no service 'crm'; there are contacts" in ran.err


def test_ctrl_c_says_that_the_work_goes_on_and_how_to_follow_it(
    contacts: Office, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    (folder / "people.csv").write_text(f"email\nan.{uuid4().hex}@example.test\n")
    monkeypatch.setattr(ServiceClient, "wait_operation", interrupt)
    ran = contacts.rapport("import", "contacts", "people.csv")
    monkeypatch.undo()
    assert ran.code == 130
    told = re.search(r"(operations/\S+) goes on\. `rapport operations wait (\S+)`", ran.err)
    assert told is not None
    assert told[1] == told[2]
    assert contacts.rapport("operations", "wait", told[1]).code == 0


def test_one_is_found_by_a_part_of_its_id_that_no_other_has(contacts: Office, imported: str) -> None:
    # Ids begin with the time, so those of one day begin alike; they end at random.
    id_ = imported.removeprefix("operations/")
    other = waiting(contacts).name
    for part in (id_[-12:], id_[-12:].upper(), id_[:-1], f"operations/{id_[-12:]}"):
        shown = contacts.rapport("operations", "show", part, "--service", "contacts")
        assert (shown.code, shown.out.splitlines()[0]) == (
            0,
            f"{imported}: import_contacts of contacts, done",
        )
    cancelled = contacts.rapport("operations", "cancel", other[-12:], "--service", "contacts")
    assert cancelled.out == f"{other} stops at its next checkpoint\n"
    alone = contacts.rapport("operations", "show", id_[-12:])
    assert (alone.code, alone.out) == (0, shown.out)


def test_a_part_that_says_too_little_is_refused(contacts: Office, imported: str) -> None:
    first, second = waiting(contacts).name, waiting(contacts).name
    common = next(first[:end] for end in range(len(first), 0, -1) if second.startswith(first[:end]))
    common = common.removeprefix("operations/")
    ran = contacts.rapport("operations", "cancel", common, "--service", "contacts")
    assert (ran.code, ran.out) == (1, "")
    assert f"{common!r} is a beginning or end of " in ran.err
    for name in (first, second):
        assert f"  {name}: nobody_does_it of contacts, running" in ran.err
    for words, told in (
        (
            ("show", "0000-0"),
            "1,000 operations of each service none has an id that begins or ends with '0000-0'",
        ),
        (("show", "abc"), "'abc' is no id of an operation, nor a beginning or end of one"),
        (("wait", "import"), "`rapport operations list` shows them"),
    ):
        refused = contacts.rapport("operations", *words, "--service", "contacts")
        assert (refused.code, refused.out) == (1, "")
        assert told in refused.err
