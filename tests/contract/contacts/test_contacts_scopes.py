"""Who may see only some contacts neither reads, finds, lists, counts nor changes the others, whichever RPC."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from rapport_client import errors

from tests.support.scopes import caller, scoped_rpcs
from tests.support.stack import Served

MARK = f"z{uuid4().hex[:8]}"


@dataclass(frozen=True)
class Item:
    """A contact as the model knows it."""

    name: str
    email: str
    owner: str
    team: str
    organization: bool


@dataclass(frozen=True)
class Caller:
    """A user with a scope, and what the model says that it sees."""

    user: str
    scope: str
    teams: tuple[str, ...] = ()

    def sees(self, item: Item) -> bool:
        """Say whether a contact is within the scope."""
        own = item.owner == self.user
        return (
            self.scope == "all"
            or own
            or (self.scope == "team" and item.team != "" and item.team in self.teams)
        )


CALLERS = [
    Caller("hanh", "own", ("north",)),
    Caller("hanh", "team", ("north",)),
    Caller("hanh", "all"),
    Caller("binh", "team", ("north", "south")),
    Caller("binh", "team"),
    Caller("nobody", "own"),
    Caller("nobody", "team", ("",)),
]
# Each reads the one contact that it names; for one that is out of scope all answer NOT_FOUND.
BY_CONTACT: dict[str, Callable[[Any, Item], Any]] = {
    "get_contact": lambda client, item: client.get_contact(name=item.name).contact.name,
    "batch_get_contacts": lambda client, item: client.batch_get_contacts(names=[item.name]).contacts[0].name,
    "lookup_contact": lambda client, item: (
        client.lookup_contact(identity={"type": "TYPE_EMAIL", "value": item.email}).contact.name
    ),
    "list_consents": lambda client, item: client.list_consents(contact=item.name).consents[0].contact,
    "list_activities": lambda client, item: client.list_activities(contact=item.name).activities[0].contact,
}


def _recorded(client: Any, item: Item) -> str:
    client.record_consents(
        consents=[{"contact": item.name, "channel": "sms", "topic": "news", "state": "STATE_GRANTED"}]
    )
    return item.name


def _did(client: Any, item: Item) -> str:
    client.record_activities(
        activities=[
            {
                "contact": item.name,
                "type": "page.visited",
                "fields": {"url": {"string_value": "/"}},
                "source": MARK,
                "external_id": item.name,
                "occur_time": {"seconds": 1_700_000_000},
            }
        ]
    )
    return item.name


# Each changes the one contact that it names.
CHANGING: dict[str, Callable[[Any, Item], Any]] = {
    "update_contact": lambda client, item: (
        client.update_contact(
            contact={"name": item.name, "gender": f"g{uuid4().hex[:4]}"}, update_mask=["gender"]
        ).contact.name
    ),
    "modify_tags": lambda client, item: (
        client.modify_tags(name=item.name, add_tags=[f"t{uuid4().hex[:8]}"]).contact.name
    ),
    "record_consents": _recorded,
    "record_activities": _did,
}


@pytest.fixture(scope="module")
def items(served: Served) -> list[Item]:
    found = []
    for number, (owner, team) in enumerate(
        (owner, team) for owner in ("", "hanh", "binh") for team in ("", "north", "south")
    ):
        email = f"{MARK}.{number}@example.test"
        organization = number % 2 == 1
        contact = served.client.create_contact(
            contact={
                "kind": "KIND_ORGANIZATION" if organization else "KIND_PERSON",
                "display_name": f"{MARK} {number}",
                "identities": [{"type": "TYPE_EMAIL", "value": email}],
                "owner": owner,
                "team": team,
                "tags": [MARK],
            }
        ).contact
        assert (contact.owner, contact.team) == (owner, team)
        served.client.record_consents(
            consents=[
                {"contact": contact.name, "channel": "email", "topic": "news", "state": "STATE_GRANTED"}
            ]
        )
        served.client.record_activities(
            activities=[
                {
                    "contact": contact.name,
                    "type": "page.visited",
                    "fields": {"url": {"string_value": "/"}},
                    "occur_time": served.clock.now(),
                }
            ]
        )
        found.append(Item(contact.name, email, owner, team, organization))
    return found


@pytest.fixture(params=CALLERS, ids=lambda one: f"{one.user}:{one.scope}:{','.join(one.teams)}")
def who(request: pytest.FixtureRequest) -> Caller:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def narrow(served: Served, who: Caller) -> Any:
    return caller(served, who.user, f"contacts.*:{who.scope}", teams=[team for team in who.teams if team])


def test_every_rpc_that_heeds_scopes_is_tested_here() -> None:
    others = {"list_contacts", "count_contacts", "create_contact"}
    assert scoped_rpcs("contacts") == BY_CONTACT.keys() | CHANGING.keys() | others


def test_only_contacts_within_the_scope_are_listed_and_counted(
    items: list[Item], who: Caller, narrow: Any
) -> None:
    visible = [item for item in items if who.sees(item)]
    names = {item.name for item in visible}
    assert {one.name for one in narrow.list_contacts.iterate(tag=MARK, page_size=2)} == names
    assert {one.name for one in narrow.list_contacts(query=MARK).contacts} == names
    if who.scope != "all":
        assert {one.name for one in narrow.list_contacts.iterate()} == names
        counted = narrow.count_contacts()
        assert counted.contact_count == len(visible)
        assert counted.organization_count == sum(item.organization for item in visible)


@pytest.mark.parametrize("method", CHANGING)
def test_only_what_is_within_the_scope_is_changed(
    served: Served, items: list[Item], who: Caller, narrow: Any, method: str
) -> None:
    def state() -> list[Any]:
        full = served.client
        return [
            (
                full.get_contact(name=item.name).contact,
                full.list_consents(contact=item.name).consents,
                full.list_activities(contact=item.name).activities,
            )
            for item in items
            if not who.sees(item)
        ]

    before = state()
    for item in items:
        if who.sees(item):
            assert CHANGING[method](narrow, item) == item.name
            continue
        never = Item(f"contacts/{uuid4()}", "", "", "", False)
        with pytest.raises(errors.NotFound) as hidden:
            CHANGING[method](narrow, item)
        with pytest.raises(errors.NotFound) as absent:
            CHANGING[method](narrow, never)
        assert hidden.value.message.replace(item.name, never.name) == absent.value.message
    assert state() == before


def test_whose_a_new_contact_is(served: Served, items: list[Item], who: Caller, narrow: Any) -> None:
    for owner in ("", who.user, "somebody"):
        for team in ("", *who.teams, "elsewhere"):
            model = Item(
                "", "", owner or ("" if who.sees(Item("", "", "", team, False)) else who.user), team, False
            )
            asked = {"display_name": "new", "owner": owner, "team": team}
            if who.sees(model):
                made = narrow.create_contact(contact=asked).contact
                assert (made.owner, made.team) == (model.owner, team)
                if who.scope != "all":
                    assert narrow.get_contact(name=made.name).contact == made
                served.client.erase_contact(name=made.name)
            else:
                with pytest.raises(errors.PermissionDenied) as caught:
                    narrow.create_contact(contact=asked)
                assert caught.value.reason == "OUT_OF_SCOPE"


def test_whose_a_taken_identity_is_is_not_told(items: list[Item], who: Caller, narrow: Any) -> None:
    own = next((item for item in items if who.sees(item)), None)
    for item in items:
        wanted = [{"type": "TYPE_EMAIL", "value": item.email}]
        calls: list[Callable[[], Any]] = [
            lambda wanted=wanted: narrow.create_contact(contact={"display_name": "x", "identities": wanted})
        ]
        if own is not None and own is not item:
            change = {"name": own.name, "identities": wanted}
            calls.append(
                lambda change=change: narrow.update_contact(contact=change, update_mask=["identities"])
            )
        for call in calls:
            with pytest.raises(errors.AlreadyExists) as caught:
                call()
            assert caught.value.metadata["contact"] == (item.name if who.sees(item) else "")
            assert (item.name in caught.value.message) is who.sees(item)


@pytest.mark.parametrize("method", BY_CONTACT)
def test_a_contact_out_of_scope_does_not_exist(
    items: list[Item], who: Caller, narrow: Any, method: str
) -> None:
    never = Item(f"contacts/{uuid4()}", f"{uuid4().hex}@example.test", "", "", False)
    for item in items:
        if who.sees(item):
            assert BY_CONTACT[method](narrow, item) == item.name
            continue
        with pytest.raises(errors.NotFound) as hidden:
            BY_CONTACT[method](narrow, item)
        with pytest.raises(errors.NotFound) as absent:
            BY_CONTACT[method](narrow, never)
        assert hidden.value.reason == absent.value.reason
        assert hidden.value.message.replace(item.name, never.name) == absent.value.message


def test_a_batch_with_one_out_of_scope_is_refused_as_a_whole(
    items: list[Item], who: Caller, narrow: Any
) -> None:
    names = [item.name for item in items]
    hidden = [item.name for item in items if not who.sees(item)]
    if not hidden:
        assert len(narrow.batch_get_contacts(names=names).contacts) == len(names)
        return
    with pytest.raises(errors.NotFound) as caught:
        narrow.batch_get_contacts(names=names)
    assert caught.value.metadata["resource"] == hidden[0]


def test_where_a_merged_contact_went_is_told_only_to_who_may_see_it(served: Served) -> None:
    names = [
        served.client.create_contact(contact={"display_name": "merged", "owner": owner}).contact.name
        for owner in ("binh", "carl")
    ]
    served.client.merge_contacts(survivor=names[0], absorbed=names[1])
    for user, reason in (("binh", "CONTACT_MERGED"), ("carl", "NOT_FOUND")):
        with pytest.raises(errors.NotFound) as caught:
            caller(served, user, "contacts.read:own").get_contact(name=names[1])
        assert caught.value.reason == reason
        assert (names[0] in str(caught.value)) is (user == "binh")
    served.client.erase_contact(name=names[0])


def test_owner_and_team_follow_changes(served: Served, items: list[Item]) -> None:
    name = served.client.create_contact(contact={"display_name": "moving", "owner": "hanh"}).contact.name
    hanh, north = (
        caller(served, "hanh", "contacts.read:own"),
        caller(served, "dora", "contacts.read:team", teams=["north"]),
    )
    assert hanh.get_contact(name=name).contact.owner == "hanh"
    moved = served.client.update_contact(
        contact={"name": name, "team": "north"}, update_mask=["owner", "team"]
    )
    assert (moved.contact.owner, moved.contact.team) == ("", "north")
    with pytest.raises(errors.NotFound):
        hanh.get_contact(name=name)
    assert north.get_contact(name=name).contact.name == name
    served.client.erase_contact(name=name)


def test_what_may_touch_any_contact_needs_a_grant_on_all(served: Served, items: list[Item]) -> None:
    narrow = caller(served, "hanh", "contacts.*:own")
    own = next(item for item in items if item.owner == "hanh")
    for method, fields in {
        "upsert_contact": {"contact": {"identities": [{"type": "TYPE_EMAIL", "value": own.email}]}},
        "merge_contacts": {"survivor": own.name, "absorbed": own.name},
        "erase_contact": {"name": own.name},
    }.items():
        with pytest.raises(errors.PermissionDenied) as caught:
            getattr(narrow, method)(**fields)
        assert caught.value.metadata["permission"].endswith(":all")
    assert narrow.list_attributes().attributes
