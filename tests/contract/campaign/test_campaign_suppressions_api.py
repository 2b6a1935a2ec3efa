"""The suppression list over a real port."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from rapport.campaign.v1 import campaign_pb2 as pb
from rapport_client import errors

from services.kit.wire import from_timestamp
from tests.support.campaign_desk import Desk
from tests.support.stack import NOW


def fields(caught: pytest.ExceptionInfo[errors.RapportError]) -> set[str]:
    return {violation.field for violation in caught.value.violations}


def entry(address: str, kind: str = "email", reason: str = "") -> dict[str, str]:
    return {"kind": kind, "address": address, "reason": reason}


def add(api: Any, *entries: dict[str, str]) -> int:
    return int(api.add_suppressions(suppressions=list(entries)).added_count)


def remove(api: Any, *entries: dict[str, str]) -> int:
    return int(api.remove_suppressions(suppressions=list(entries)).removed_count)


def listed(api: Any) -> list[tuple[str, str, str]]:
    return [(item.kind, item.address, item.reason) for item in api.list_suppressions.iterate(page_size=2)]


def test_add_suppressions(desk: Desk, api: Any) -> None:
    assert add(api, entry("a@mail.test", reason="hard bounce"), entry("b@mail.test")) == 2
    desk.served.clock.instant = NOW + timedelta(days=1)
    assert add(api, entry("A@Mail.Test", reason="other"), entry("c@mail.test")) == 1
    # Known ones stay as they are.
    found = list(api.list_suppressions().suppressions)
    assert [(item.address, item.reason) for item in found] == [
        ("a@mail.test", "hard bounce"),
        ("b@mail.test", ""),
        ("c@mail.test", ""),
    ]
    assert from_timestamp(found[0].create_time) == NOW
    assert from_timestamp(found[2].create_time) == NOW + timedelta(days=1)


def test_add_suppressions_counts_each_address_once(api: Any) -> None:
    assert add(api, entry("a@mail.test"), entry("A@MAIL.TEST"), entry("a@mail.test", kind="sms")) == 2
    assert len(listed(api)) == 2


def test_add_suppressions_refuses_all_for_one(api: Any) -> None:
    good = entry("good@mail.test")
    for bad, field in (
        (entry(""), "suppressions[1].address"),
        (entry("  "), "suppressions[1].address"),
        (entry("x@mail.test", kind=""), "suppressions[1].kind"),
        (entry("x" * 321), "suppressions[1].address"),
        (entry("x@mail.test", reason="r" * 201), "suppressions[1].reason"),
    ):
        with pytest.raises(errors.InvalidArgument) as caught:
            add(api, good, bad)
        assert fields(caught) == {field}
    with pytest.raises(errors.InvalidArgument) as caught:
        add(api, *(entry(f"{number}@mail.test") for number in range(1001)))
    assert fields(caught) == {"suppressions"}
    assert listed(api) == []
    assert add(api, *(entry(f"{number}@mail.test") for number in range(1000))) == 1000


def test_remove_suppressions(api: Any) -> None:
    add(api, entry("a@mail.test"), entry("b@mail.test"), entry("b@mail.test", kind="sms"))
    assert remove(api, entry("B@mail.TEST", reason="ignored"), entry("unknown@mail.test")) == 1
    assert remove(api, entry("b@mail.test")) == 0
    assert [item[:2] for item in listed(api)] == [("email", "a@mail.test"), ("sms", "b@mail.test")]
    with pytest.raises(errors.InvalidArgument) as caught:
        remove(api, *(entry(f"{number}@mail.test") for number in range(1001)))
    assert fields(caught) == {"suppressions"}


def test_list_suppressions(api: Any) -> None:
    assert listed(api) == []
    add(
        api,
        *(entry(address) for address in ("b@mail.test", "ä@mail.test", "a@mail.test", "a.b@mail.test")),
        entry("+49", kind="sms"),
        entry("z@mail.test", kind="chat"),
    )
    found = [item[:2] for item in listed(api)]
    assert found == sorted(found)
    assert len(found) == 6
    token = api.list_suppressions(page_size=1).next_page_token
    assert api.list_suppressions(page_size=1, page_token=token).suppressions[0].kind == "email"
    with pytest.raises(errors.InvalidArgument) as caught:
        api.list_messages(page_token=token)
    assert caught.value.reason == "PAGE_TOKEN_MISMATCH"


def test_list_suppressions_returns_a_hundred_by_default(api: Any) -> None:
    add(api, *(entry(f"{number:03}@mail.test") for number in range(101)))
    page = api.list_suppressions()
    assert len(page.suppressions) == 100
    rest = api.list_suppressions(page_token=page.next_page_token)
    assert [item.address for item in rest.suppressions] == ["100@mail.test"]


def test_suppressions_hold_at_the_moment_of_sending(desk: Desk, api: Any) -> None:
    desk.template()
    desk.directory.add(address="First@mail.test")
    second = desk.directory.add(address="second@mail.test")
    add(api, entry("second@mail.test"))
    name = desk.campaign()
    desk.launch(name)
    add(api, entry("first@mail.test"))
    remove(api, entry("second@mail.test"))
    desk.send()
    assert {item.contact: item.state for item in api.list_messages(origin=name).messages}[second] == (
        pb.Message.STATE_SENT
    )
    assert dict(api.get_campaign(name=name).campaign.counts.suppressed_by_reason) == {"SUPPRESSED": 1}
