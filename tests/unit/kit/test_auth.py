"""Access tokens: hashes in a private file, permissions by pattern, changes seen without a restart."""

from __future__ import annotations

import json
import os
import stat

import pytest

from services.kit.auth import (
    SERVICE_PERMISSIONS,
    Principal,
    TokenStore,
    add_tokens,
    create_tokens,
    hash_token,
    new_token,
)
from services.kit.errors import FailedPrecondition, InvalidArgument


@pytest.mark.parametrize(
    ("pattern", "permission", "allowed"),
    [
        ("*", "contacts.read", True),
        ("contacts.*", "contacts.read", True),
        ("contacts.*", "contacts.import.run", True),
        ("contacts.*", "contactsx.read", False),
        ("contacts.*", "contacts", False),
        ("contacts.read", "contacts.read", True),
        ("contacts.read", "contacts.readall", False),
        ("contacts.read", "sales.read", False),
    ],
)
def test_patterns(pattern, permission, allowed):
    principal = Principal("x", ("other.thing", pattern))
    assert principal.may(permission) is allowed
    assert principal.may(permission) is allowed


def test_the_stack_gets_an_owner_and_one_token_a_service(tmp_path):
    path = tmp_path / "deep" / "tokens.json"
    tokens = create_tokens(path)
    assert set(tokens) == {"owner", *SERVICE_PERMISSIONS}
    store = TokenStore(path)
    owner = store.find(tokens["owner"])
    assert owner is not None
    assert owner.may("anything.at.all")
    care = store.find(tokens["care"])
    assert care is not None
    assert care.name == "service:care"
    assert care.may("contacts.read")
    assert not care.may("campaign.write")
    assert store.find("nonsense") is None
    assert store.find("") is None


def test_the_file_is_private_and_holds_no_token(tmp_path):
    path = tmp_path / "tokens.json"
    previous = os.umask(0)
    try:
        tokens = create_tokens(path)
    finally:
        os.umask(previous)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    text = path.read_text()
    assert not any(token in text for token in tokens.values())
    assert hash_token(tokens["owner"]) in text
    assert list(tmp_path.iterdir()) == [path]


def test_a_restart_keeps_the_owner_and_the_operators_tokens_but_renews_the_services(tmp_path):
    path = tmp_path / "tokens.json"
    first = create_tokens(path)
    add_tokens(path, [("pos", ("sales.write",), "pos-token")])
    second = create_tokens(path, owner_token=first["owner"])
    assert second["owner"] == first["owner"]
    store = TokenStore(path)
    assert store.find(first["owner"]) is not None
    assert store.find(first["care"]) is None
    assert store.find(second["care"]) is not None
    pos = store.find("pos-token")
    assert pos is not None
    assert pos.permissions == ("sales.write",)


def test_a_changed_file_is_read_again_and_a_broken_one_changes_nothing(tmp_path):
    path = tmp_path / "tokens.json"
    add_tokens(path, [("a", ("*",), "token-a")])
    store = TokenStore(path)
    add_tokens(path, [("b", ("*",), "token-b")])
    store.refresh()
    assert store.find("token-b") is not None
    path.write_text("{ not json")
    store.refresh()
    assert store.find("token-a") is not None
    path.unlink()
    store.refresh()
    assert store.find("token-a") is not None
    add_tokens(path, [("c", ("*",), "token-c")])
    store.refresh()
    assert store.find("token-a") is None
    assert store.find("token-c") is not None


def test_a_missing_file_says_how_to_make_it(tmp_path):
    with pytest.raises(InvalidArgument, match="rapport up"):
        TokenStore(tmp_path / "none.json")


@pytest.mark.parametrize(
    "content",
    [
        "[",
        "{}",
        "[1]",
        json.dumps([{"sha256": "short", "principal": "a", "permissions": []}]),
        json.dumps([{"sha256": "A" * 64, "principal": "a", "permissions": []}]),
        json.dumps([{"sha256": "a" * 64, "principal": "", "permissions": []}]),
        json.dumps([{"sha256": "a" * 64, "principal": "a", "permissions": "*"}]),
        json.dumps([{"sha256": "a" * 64, "principal": "a", "permissions": [1]}]),
        json.dumps([{"sha256": "a" * 64, "principal": "a"}]),
    ],
)
def test_a_malformed_file_is_refused(tmp_path, content):
    path = tmp_path / "tokens.json"
    path.write_text(content)
    with pytest.raises(InvalidArgument, match=r"tokens\.json") as caught:
        TokenStore(path)
    assert caught.value.reason == "TOKENS_FILE"


def test_an_unwritable_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FailedPrecondition, match="cannot write the tokens file"):
        create_tokens(tmp_path / "file" / "tokens.json")


def test_tokens_are_long_and_never_the_same():
    assert len({new_token() for _ in range(50)}) == 50
    assert len(new_token()) >= 43
