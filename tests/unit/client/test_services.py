"""Each service's client is made from its descriptors."""

from __future__ import annotations

import pytest
from rapport_client import SERVICES, Rapport, connect
from rapport_client.client import service_descriptors
from rapport_client.service import snake_case


@pytest.fixture
def rapport():
    with Rapport(address="127.0.0.1:{port}", token="") as client:
        yield client


@pytest.mark.parametrize("name", SERVICES)
def test_every_rpc_is_a_method(rapport, name):
    client = getattr(rapport, name)
    assert client is rapport.service(name)
    services = service_descriptors(name)
    assert services
    for service in services:
        for method in service.methods:
            found = getattr(client, snake_case(method.name))
            assert found.name == f"{service.full_name}/{method.name}"
            assert found.fields() == tuple(field.name for field in method.input_type.fields)
    assert "cancel_operation" in dir(client)


def test_events_and_operations_are_of_each_service(rapport):
    assert {"subscribe", "acknowledge", "get_stream"} <= set(dir(rapport.events("sales")))
    assert "wait_operation" in dir(rapport.operations("sales"))
    with pytest.raises(ValueError, match="no service 'marketing'"):
        rapport.service("marketing")


def test_connect_without_an_installation_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("RAPPORT_ADDRESS", "RAPPORT_TOKEN", "RAPPORT_EVENTS_ADDRESS", "RAPPORT_BASE_PORT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ValueError, match="rapport up"):
        connect()
    monkeypatch.setenv("RAPPORT_ADDRESS", "127.0.0.1:{port}")
    with connect() as client:
        assert "get_stream" in dir(client.events("contacts"))
