"""Services prove themselves to each other: signed tokens, certificates, and keys changed while processes run."""

from __future__ import annotations

import base64
import json
import stat
import time
from pathlib import Path

import grpc
import jwt
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from rapport.events.v1 import events_pb2, events_pb2_grpc
from rapport_client import Rapport, Tls, connect, errors
from rapport_client.retry import NO_RETRY
from rapport_client.tls import ChannelSecurity
from structlog.testing import capture_logs

from services.care.models import kit as care_tables
from services.kit.access import service_tokens
from services.kit.access.authenticator import Authenticator, make_authenticator
from services.kit.access.outgoing import client_tls, token_provider
from services.kit.access.roles import Roles
from services.kit.access.service_tokens import (
    ServiceTokens,
    ServiceVerifier,
    create_key,
    read_keys,
    remove_key,
)
from services.kit.access.tls import ServerTls, server_credentials, server_tls
from services.kit.auth import TokenStore, add_tokens
from services.kit.bus.laptop import LaptopTransport
from services.kit.config import Settings
from services.kit.errors import InvalidArgument, Unauthenticated
from services.kit.events.store import ensure_stream
from services.kit.grpc.server import ApiServer
from services.kit.runtime import Clients
from tests.support.care import free_base_port
from tests.support.echo import OWNER, Echo, pb, stubs
from tests.support.identity import Authority
from tests.support.stack import serve

WAIT = 20.0


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    files = tmp_path / "care.pem", tmp_path / "service-keys.json"
    create_key("care", *files)
    return files


def accepting(service: str, keys_file: Path) -> Authenticator:
    return Authenticator(None, roles=Roles(), services=ServiceVerifier(service, keys_file))


def test_a_service_is_known_by_its_key(keys):
    token = ServiceTokens("care", keys[0])("contacts")
    principal = accepting("contacts", keys[1]).find(token)
    assert principal.name == "service:care"
    assert principal.may("contacts.read")
    assert not principal.may("contacts.write")
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == 300


def test_a_token_is_for_one_service_and_for_a_short_time(keys, monkeypatch):
    made = ServiceTokens("care", keys[0])
    token = made("contacts")
    assert made("contacts") == token
    assert made("sales") != token
    with pytest.raises(Unauthenticated, match="aud"):
        accepting("sales", keys[1]).find(token)
    now = time.time()
    monkeypatch.setattr(service_tokens, "machine_seconds", lambda: now + 200)
    assert made("contacts") != token
    monkeypatch.setattr(service_tokens, "machine_seconds", lambda: now - 400)
    with pytest.raises(Unauthenticated) as caught:
        accepting("contacts", keys[1]).find(ServiceTokens("care", keys[0])("contacts"))
    assert caught.value.reason == "TOKEN_EXPIRED"


def test_no_service_can_be_another_one(keys, tmp_path):
    create_key("campaign", tmp_path / "campaign.pem", keys[1])
    with pytest.raises(Unauthenticated):  # the key of campaign, the words of care
        accepting("contacts", keys[1]).find(ServiceTokens("care", tmp_path / "campaign.pem")("contacts"))
    private = load_pem_private_key(keys[0].read_bytes(), None)
    kid = next(key.kid for key in read_keys(keys[1]).values() if key.service == "care")
    now = int(time.time())

    def signed(headers=None, **changes):
        claims = {"iss": "care", "sub": "care", "aud": "contacts", "iat": now, "exp": now + 300, **changes}
        header = {"kid": kid, "typ": "rapport-service+jwt", **(headers or {})}
        return jwt.encode(claims, private, algorithm="EdDSA", headers=header)

    assert accepting("contacts", keys[1]).find(signed())
    for bad in (
        signed(sub="sales"),
        signed(exp=now + 86_400),
        signed(headers={"kid": "other"}),
    ):
        with pytest.raises(Unauthenticated):
            accepting("contacts", keys[1]).find(bad)
    # Without its type a service's token counts as one of an identity provider, and there is none.
    assert accepting("contacts", keys[1]).find(signed(headers={"typ": "JWT"})) is None
    assert Authenticator(None, roles=Roles()).find(signed()) is None


def test_a_key_is_changed_without_a_restart_and_without_a_gap(keys):
    made, there = ServiceTokens("care", keys[0]), accepting("contacts", keys[1])
    old = made("contacts")
    assert there.find(old)
    before = set(read_keys(keys[1]))
    create_key("care", *keys)
    there.refresh()
    assert there.find(old)
    made._made.clear()
    new = made("contacts")
    assert jwt.get_unverified_header(new)["kid"] != jwt.get_unverified_header(old)["kid"]
    assert there.find(new)
    remove_key(before.pop(), keys[1])
    there.refresh()
    assert there.find(new)
    with pytest.raises(Unauthenticated, match="no service has its key"):
        there.find(old)
    keys[1].write_text("{")
    there.refresh()
    assert there.find(new)


def test_the_private_key_is_private_and_the_public_file_holds_none(keys):
    assert stat.S_IMODE(keys[0].stat().st_mode) == 0o600
    assert {name for key in json.loads(keys[1].read_text())["keys"] for name in key} == {
        *("kid", "service", "kty", "crv", "x")
    }
    private = load_pem_private_key(keys[0].read_bytes(), None).private_bytes_raw()
    assert base64.urlsafe_b64encode(private).decode()[:20] not in keys[1].read_text()


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '{"keys": [1]}',
        '{"keys": [{"kty": "OKP", "crv": "Ed25519", "service": "shop", "x": "AA"}]}',
        '{"keys": [{"kty": "OKP", "crv": "Ed25519", "service": "care", "x": "AA"}]}',
        '{"keys": [{"kty": "oct", "service": "care", "k": "AA"}]}',
    ],
)
def test_files_that_cannot_be_used_are_named(tmp_path, content):
    file = tmp_path / "keys"
    with pytest.raises(InvalidArgument, match="keys"):
        ServiceVerifier("care", file)
    file.write_text(content)
    with pytest.raises(InvalidArgument, match="keys") as caught:
        ServiceVerifier("care", file)
    assert caught.value.reason == "SERVICE_KEYS_FILE"
    with pytest.raises(InvalidArgument, match="keys") as caught:
        ServiceTokens("care", file)
    assert caught.value.reason == "SERVICE_KEY_FILE"


def test_settings_choose_what_is_shown_and_what_is_accepted(keys, tmp_path):
    plain = Settings(token="plain", data_dir=tmp_path)
    assert token_provider(plain, "care")("contacts") == "plain"
    signed = Settings(token="plain", data_dir=tmp_path, service_key_file=keys[0], service_keys_file=keys[1])
    found = make_authenticator(signed, "contacts").find(token_provider(signed, "care")("contacts"))
    assert found.name == "service:care"
    with pytest.raises(InvalidArgument, match="rapport up"):
        make_authenticator(plain, "contacts")
    add_tokens(tmp_path / "tokens.json", [("shop", ("contacts.read",), "of-the-shop")])
    both = make_authenticator(signed, "contacts")
    assert both.find("of-the-shop").name == "shop"
    assert both.find("nobody's") is None


def serve_tls(tmp_path: Path, tls: ServerTls) -> ApiServer:
    add_tokens(tmp_path / "tokens.json", [("owner", ("*",), OWNER)])
    server = ApiServer("127.0.0.1:0", TokenStore(tmp_path / "tokens.json"), tls=tls)
    server.add(lambda registry: stubs.add_EchoServiceServicer_to_server(Echo(), registry))
    server.start()
    return server


def ask(server: ApiServer, tls: Tls) -> str:
    credentials = ChannelSecurity(tls, None).credentials()
    with grpc.secure_channel(f"localhost:{server.port}", credentials) as channel:
        answer = stubs.EchoServiceStub(channel).Echo(
            pb.EchoRequest(text="xin chào"), metadata=(("authorization", f"Bearer {OWNER}"),), timeout=WAIT
        )
    return str(answer.text)


def test_both_sides_show_certificates_and_new_ones_need_no_restart(tmp_path):
    authority, stranger = Authority(tmp_path), Authority(tmp_path, "stranger")
    certificate, key = authority.issue("contacts")
    client = Tls(authority.file, *authority.issue("care"))
    server = serve_tls(tmp_path, ServerTls(certificate, key, authority.file))
    try:
        assert ask(server, client) == "xin chào"
        for other in (
            Tls(authority.file),
            Tls(authority.file, *stranger.issue("forger")),
            Tls(stranger.file, *authority.issue("care")),
        ):
            with pytest.raises(grpc.RpcError) as caught:
                ask(server, other)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        # All changes hands: the server's certificate, and who signs.
        successor = Authority(tmp_path, "successor")
        authority.file.write_bytes(successor.file.read_bytes())
        successor.issue("contacts")
        with capture_logs() as lines:
            assert ask(server, Tls(successor.file, *successor.issue("care-2"))) == "xin chào"
        assert [line["audit"] for line in lines if line["event"] == "TLS files changed"] == ["access.changed"]
        with pytest.raises(grpc.RpcError):
            ask(server, Tls(successor.file, *authority.issue("care-3")))
        # A key that does not fit leaves things as they are.
        key.write_bytes(successor.issue("other")[1].read_bytes())
        assert ask(server, Tls(successor.file, *successor.issue("care-2"))) == "xin chào"
    finally:
        server.stop(0)


def test_certificate_files_that_cannot_be_used_are_named(tmp_path):
    authority = Authority(tmp_path)
    certificate, key = authority.issue("contacts")
    for files in (
        ServerTls(certificate, tmp_path / "none"),
        ServerTls(certificate, authority.issue("other")[1]),
        ServerTls(key, certificate),
        ServerTls(certificate, key, key),
    ):
        with pytest.raises(InvalidArgument) as caught:
            server_credentials(files)
        assert caught.value.reason == "TLS_FILES"
        assert str(files.certificate) in caught.value.message
    for half in (
        {"tls_cert_file": certificate},
        {"tls_key_file": key},
        {"tls_client_ca_file": authority.file},
    ):
        with pytest.raises(InvalidArgument):
            server_tls(Settings(**half))
    assert server_tls(Settings()) is None
    assert client_tls(Settings()) is None
    assert client_tls(Settings(tls_ca_file=key, tls_cert_file=certificate, tls_key_file=key)) == Tls(
        key, certificate, key
    )


def test_a_client_follows_its_files_and_asks_for_a_token_at_each_call(tmp_path, monkeypatch):
    from rapport.operations.v1 import operations_pb2, operations_pb2_grpc

    class Operations(operations_pb2_grpc.OperationServiceServicer):
        def ListOperations(self, request, context):
            return operations_pb2.ListOperationsResponse()

    authority = Authority(tmp_path)
    certificate, key = authority.issue("contacts")
    add_tokens(tmp_path / "tokens.json", [("owner", ("*",), "token-2")])
    server = ApiServer(
        "127.0.0.1:0", TokenStore(tmp_path / "tokens.json"), tls=ServerTls(certificate, key, authority.file)
    )
    server.add(
        lambda registry: operations_pb2_grpc.add_OperationServiceServicer_to_server(Operations(), registry)
    )
    port = server.start()
    asked: list[str] = []

    def provide(service: str) -> str:
        asked.append(service)
        return f"token-{len(asked)}"

    files = authority.issue("care")
    try:
        with Rapport(address=f"localhost:{port}", token=provide, tls=Tls(authority.file, *files)) as rapport:
            with pytest.raises(errors.Unauthenticated):
                rapport.operations("contacts").list_operations()
            rapport.operations("contacts").list_operations()
            assert asked == ["contacts", "contacts"]
            first = rapport.operations("contacts")
            rapport._security._next_look = 0.0
            assert rapport.operations("contacts") is first
            authority.issue("care")
            rapport._security._next_look = 0.0
            assert rapport.operations("contacts") is not first
        monkeypatch.setenv("RAPPORT_TLS_CA_FILE", str(authority.file))
        monkeypatch.setenv("RAPPORT_TLS_CERT_FILE", str(files[0]))
        monkeypatch.setenv("RAPPORT_TLS_KEY_FILE", str(files[1]))
        with connect(f"localhost:{port}", lambda _: "token-2") as rapport:
            rapport.operations("contacts").list_operations()
    finally:
        server.stop(0)
    with pytest.raises(ValueError, match="needs its key"):
        Tls(certificate=certificate)


def test_the_calls_and_streams_of_a_service_go_encrypted_with_its_own_key(tmp_path, make_database):
    url = make_database.with_tables("care")
    authority = Authority(tmp_path)
    server_files, client_files = authority.issue("care-server"), authority.issue("campaign-client")
    create_key("campaign", tmp_path / "campaign.pem", tmp_path / "keys.json")
    secured = {
        "base_port": free_base_port(),
        "tls_cert_file": server_files[0],
        "tls_key_file": server_files[1],
        "tls_client_ca_file": authority.file,
        "service_keys_file": tmp_path / "keys.json",
    }
    with serve("care", url, settings=secured) as served:
        with served.runtime.db.transaction() as connection:
            ensure_stream(connection, care_tables)
        settings = Settings(
            address=f"localhost:{served.ports.api}",
            events_address=f"localhost:{served.ports.events}",
            tls_ca_file=authority.file,
            tls_cert_file=client_files[0],
            tls_key_file=client_files[1],
            service_key_file=tmp_path / "campaign.pem",
        )
        clients, transport = Clients(settings, "campaign"), LaptopTransport(settings, "campaign")
        try:
            assert clients.events("care").get_stream().head.position == 0
            with pytest.raises(errors.PermissionDenied, match="service:campaign"):
                clients.care.create_agent(agent_id="an", agent={"display_name": "An"})
            stub = events_pb2_grpc.EventServiceStub(transport._connect("care"))
            answer = stub.GetStream(
                events_pb2.GetStreamRequest(), metadata=transport._metadata("care"), timeout=WAIT
            )
            assert answer.head.position == 0
        finally:
            clients.close()
            transport.close()
        with pytest.raises(errors.Unavailable):  # in the clear
            served.client.list_cases(_retry=NO_RETRY, _timeout=5)
