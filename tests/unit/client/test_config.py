"""How the client finds an installation."""

from __future__ import annotations

import json

import pytest
from rapport_client.config import Location, locate

FILE = {"address": "127.0.0.1:{port}", "base_port": 9000, "token": "from-file"}


def put(folder, content):
    (folder / ".rapport").mkdir(parents=True)
    (folder / ".rapport" / "client.json").write_text(
        content if isinstance(content, str) else json.dumps(content)
    )


def test_the_file_of_a_running_stack_is_found_from_a_folder_below(tmp_path):
    put(tmp_path, FILE)
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    found = locate(environment={}, folder=deep)
    assert found.api("contacts") == "127.0.0.1:9001"
    assert found.api("care") == "127.0.0.1:9005"
    assert found.events("sales") == "127.0.0.1:9012"
    assert found.token == "from-file"


def test_the_environment_wins_over_the_file_and_arguments_over_both(tmp_path):
    put(tmp_path, FILE)
    environment = {
        "RAPPORT_ADDRESS": "rapport-{service}:{port}",
        "RAPPORT_TOKEN": "t",
        "RAPPORT_BASE_PORT": "8000",
    }
    found = locate(environment=environment, folder=tmp_path)
    assert (found.api("sales"), found.token) == ("rapport-sales:8002", "t")
    found = locate("x:{port}", "mine", base_port=5000, environment=environment, folder=tmp_path)
    assert (found.api("sales"), found.token) == ("x:5002", "mine")


def test_the_files_token_is_not_shown_to_another_address(tmp_path):
    put(tmp_path, FILE)
    assert locate("elsewhere:1", environment={}, folder=tmp_path).token == ""
    assert locate(environment={"RAPPORT_ADDRESS": "elsewhere:1"}, folder=tmp_path).token == ""


def test_a_given_token_is_used_with_the_files_address(tmp_path):
    put(tmp_path, FILE)
    found = locate(environment={"RAPPORT_TOKEN": "mine"}, folder=tmp_path)
    assert (found.token, found.base_port) == ("mine", 9000)


def test_nothing_found_says_what_to_do(tmp_path):
    with pytest.raises(ValueError, match=r"rapport up.*RAPPORT_ADDRESS"):
        locate(environment={}, folder=tmp_path)


@pytest.mark.parametrize(
    "content", ["{", "[]", "{}", '{"address": "x"}', '{"address": "x", "token": "t", "base_port": "y"}']
)
def test_a_malformed_file_is_named(tmp_path, content):
    put(tmp_path, content)
    with pytest.raises(ValueError, match=r"client\.json cannot be used .*`rapport up` writes it anew"):
        locate(environment={}, folder=tmp_path)


def test_bad_values_are_named(tmp_path):
    with pytest.raises(ValueError, match="RAPPORT_BASE_PORT"):
        locate(environment={"RAPPORT_ADDRESS": "x", "RAPPORT_BASE_PORT": "abc"}, folder=tmp_path)
    with pytest.raises(ValueError, match="no service 'marketing'"):
        Location("x:{port}", "", 1, "").api("marketing")
    with pytest.raises(ValueError, match="only"):
        Location("x:{host}", "", 1, "").api("sales")


def test_the_events_address_follows_only_from_a_port():
    assert Location("h:{port}", "", 7400, "").events("contacts") == "h:7411"
    assert Location("rapport-{service}:7400", "ev-{service}:7500", 7400, "").events("care") == "ev-care:7500"
    with pytest.raises(ValueError, match="RAPPORT_EVENTS_ADDRESS"):
        Location("rapport-{service}:7400", "", 7400, "").events("care")


def test_several_addresses_are_one_target_of_grpc():
    two = Location("127.0.0.1:{port}, 127.0.0.1:{port+50}", "", 7400, "")
    assert two.api("sales") == "ipv4:127.0.0.1:7402,127.0.0.1:7452"
    assert two.events("sales") == "ipv4:127.0.0.1:7412,127.0.0.1:7462"
    assert Location("[::1]:{port},[::2]:{port}", "", 7400, "").api("care") == "ipv6:[::1]:7405,[::2]:7405"


@pytest.mark.parametrize(
    "address", ["one:{port},two:{port}", "127.0.0.1:{port},[::1]:{port}", "127.0.0.1,127.0.0.2"]
)
def test_several_that_grpc_would_not_take_are_refused(address):
    with pytest.raises(ValueError, match="several need an IP address"):
        Location(address, "", 7400, "").api("sales")


def test_the_data_folder_of_the_environment_is_the_only_one_looked_into(tmp_path):
    put(tmp_path / "elsewhere", FILE)
    environment = {"RAPPORT_DATA_DIR": str(tmp_path / "elsewhere" / ".rapport")}
    assert locate(environment=environment, folder=tmp_path).token == "from-file"
    put(tmp_path, FILE)
    environment = {"RAPPORT_DATA_DIR": "other"}
    with pytest.raises(ValueError, match="RAPPORT_DATA_DIR=other"):
        locate(environment=environment, folder=tmp_path)
