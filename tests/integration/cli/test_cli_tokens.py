"""`rapport tokens`: what they make, a running service takes, and refuses once revoked."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from services.kit.access.scope import Reach, Scope
from services.kit.access.service_tokens import ServiceTokens, ServiceVerifier
from services.kit.auth import SERVICE_PERMISSIONS, TokenStore
from services.kit.config import SERVICES
from tests.integration.cli.conftest import Office
from tests.support.cli import Ran, run_cli
from tests.support.waiting import until


def tokens(file: Path, *arguments: str) -> Ran:
    return run_cli("tokens", *arguments, environment={"RAPPORT_TOKENS_FILE": str(file)})


def test_a_token_may_do_what_it_was_given_until_it_is_revoked(contacts: Office, folder: Path) -> None:
    file = contacts.served.folder / "tokens.json"
    made = tokens(file, "create", "shop", "--permission", "operations.read")
    assert made.code == 0
    token = made.out.strip()
    assert "\n" not in token
    assert token not in file.read_text()

    def listing() -> Ran:
        return contacts.rapport("operations", "list", "--service", "contacts", token=token)

    until(lambda: listing().code == 0, "the service knows the token")
    (folder / "people.csv").write_text("email\na@example.test\n")
    refused = contacts.rapport("import", "contacts", "people.csv", token=token)
    assert refused.code == 1
    assert "contacts.import" in refused.err
    listed = tokens(file, "list")
    assert "shop" in listed.out
    assert "operations.read" in listed.out
    assert token not in listed.out
    assert tokens(file, "revoke", "shop").code == 0
    until(lambda: "INVALID_TOKEN" in listing().err, "the service has forgotten the token")
    assert "shop" not in tokens(file, "list").out


def test_the_file_is_private_and_keeps_what_others_have(tmp_path: Path) -> None:
    file = tmp_path / "tokens.json"
    assert tokens(file, "list").code == 0
    first = tokens(file, "create", "a", "-p", "contacts.*", "-p", "sales.read")
    second = tokens(file, "create", "b", "-p", "*")
    assert (first.code, second.code) == (0, 0)
    assert first.out != second.out
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert {item["principal"]: item["permissions"] for item in json.loads(file.read_text())} == {
        "a": ["contacts.*", "sales.read"],
        "b": ["*"],
    }


def test_a_token_may_have_roles_teams_and_narrow_permissions(tmp_path: Path) -> None:
    file = tmp_path / "tokens.json"
    made = tokens(file, "create", "an", "--role", "agent", "--team", "vn", "-p", "sales.read:own")
    assert made.code == 0
    found = TokenStore(file).find(made.out.strip())
    assert found is not None
    assert found.scope("care.cases.write") == Scope(Reach.TEAM, "an", ("vn",))
    assert found.scope("sales.read") == Scope(Reach.OWN, "an", ("vn",))
    assert not found.may("care.setup.write")
    assert "vn" in tokens(file, "list").out


def test_a_service_gets_a_key_beside_its_old_one(tmp_path: Path) -> None:
    key, keys = str(tmp_path / "care.pem"), str(tmp_path / "keys.json")
    made = [run_cli("keys", "create", "care", "--key-file", key, "--keys-file", keys) for _ in range(2)]
    assert [ran.code for ran in made] == [0, 0]
    ids = [ran.out.strip() for ran in made]
    listed = run_cli("keys", "list", "--keys-file", keys)
    assert all(kid in listed.out for kid in ids)
    assert run_cli("keys", "remove", ids[0], "--keys-file", keys).code == 0
    assert ids[0] not in run_cli("keys", "list", "--keys-file", keys).out
    again = run_cli("keys", "remove", ids[0], "--keys-file", keys)
    assert (again.code, ids[0] in again.err) == (1, True)
    assert run_cli("keys", "create", "shop", "--key-file", key, "--keys-file", keys).code == 1
    found = ServiceVerifier("contacts", tmp_path / "keys.json")
    token = ServiceTokens("care", tmp_path / "care.pem")("contacts")
    assert found.verify(token, {"kid": ids[1]})[0].name == "service:care"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("create", "a", "-p", "contacts.read"), "a token named a already"),
        (("create", "b"), "--permission or --role"),
        (("create", "b", "-p", "care.read:mine"), "'care.read:mine'"),
        (("create", "b", "-r", "boss"), "no role 'boss'; there are agent,"),
        (("create", "b", "-p", "contacts.raed"), "did you mean contacts.read?"),
        (("create", "b", "-p", "contacts"), "'contacts'"),
        (("create", "Big Shop", "-p", "*"), "'Big Shop' cannot name a token"),
        (("create", "owner", "-p", "*"), "owner"),
        (("create", "service:care", "-p", "*"), "cannot name a token"),
        (("revoke", "nobody"), "no token named nobody"),
        (("revoke", "owner"), "the stack's own"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    file = tmp_path / "tokens.json"
    held = [{"sha256": "0" * 64, "principal": name, "permissions": ["*"]} for name in ("a", "owner")]
    file.write_text(json.dumps(held))
    ran = tokens(file, *arguments)
    assert (ran.code, ran.out) == (1, "")
    assert words in ran.err
    assert json.loads(file.read_text()) == held


@pytest.mark.parametrize("content", ["{", "{}", '[{"sha256": "x"}]'])
def test_a_broken_file_is_left_alone_and_comes_with_a_remedy(tmp_path: Path, content: str) -> None:
    file = tmp_path / "tokens.json"
    file.write_text(content)
    for arguments in (("list",), ("create", "a", "-p", "*"), ("revoke", "a")):
        ran = tokens(file, *arguments)
        assert ran.code == 1
        assert str(file) in ran.err
        assert "move it away" in ran.err
        assert file.read_text() == content


def test_the_tokens_of_a_cluster_are_made_once_and_renewed_when_asked(tmp_path: Path) -> None:
    file = tmp_path / "tokens.json"
    shop = tokens(file, "create", "shop", "-p", "contacts.read").out.strip()
    made = tokens(file, "services")
    assert made.code == 0
    first = dict(line.split("=", 1) for line in made.out.splitlines())
    assert set(first) == {"OWNER_TOKEN", *(f"{service.upper()}_TOKEN" for service in SERVICES)}
    store = TokenStore(file)
    for service, permissions in SERVICE_PERMISSIONS.items():
        found = store.find(first[f"{service.upper()}_TOKEN"])
        assert found is not None
        assert (found.name, found.permissions) == (f"service:{service}", permissions)
    again = tokens(file, "services")
    assert (again.code, again.out) == (1, "")
    assert "--renew" in again.err
    assert TokenStore(file).find(first["CARE_TOKEN"]) is not None
    renewed = tokens(file, "services", "--renew")
    assert renewed.code == 0
    assert TokenStore(file).find(first["CARE_TOKEN"]) is None
    assert TokenStore(file).find(shop) is not None
