"""Every RPC of every service lets in whom its proto names, and nobody else: by all kinds of tokens and each role.

The RPCs come from the descriptors, so that a new one is among them. They stand behind the real guard on a real port;
their handlers only say that they were reached. What is expected is worked out here from the protos, and not by the kit.
"""

from __future__ import annotations

import importlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from rapport.type.v1 import options_pb2

from services.kit.access.authenticator import make_authenticator
from services.kit.access.roles import BUILT_IN
from services.kit.access.service_tokens import ServiceTokens, create_key
from services.kit.auth import SERVICE_PERMISSIONS, add_tokens
from services.kit.config import Settings
from services.kit.grpc.server import ApiServer
from tests.support.identity import AUDIENCE, Provider, provider
from tests.unit.guards.test_guard_rpcs import methods

WAIT = 20.0
ADDED = {
    "narrow": ["*:own"],
    "team": ["care.*:team"],
    "wide-and-narrow": ["care.read", "care.*:own"],
    "clerk": ["contacts.read"],
}
ROLES = {**BUILT_IN, **ADDED}


class Reached:
    """Answer every RPC of a service with an empty message."""

    def __init__(self, methods: dict[str, MethodDescriptor]) -> None:
        self._methods = methods

    def __getattr__(self, name: str) -> Any:
        method = self._methods[name]
        answer = GetMessageClass(method.output_type)
        return lambda request, context: iter([answer()]) if method.server_streaming else answer()


class Asked:
    """Call RPCs over one channel."""

    def __init__(self, port: int, idp: Provider, keys: Path) -> None:
        self.idp = idp
        self.keys = keys
        self._channel = grpc.insecure_channel(f"127.0.0.1:{port}")

    def outcome(self, method: MethodDescriptor, token: str | None) -> str:
        """Return `in` when the guard let the call in, or else the reason why not."""
        kind = "_".join(
            "stream" if many else "unary" for many in (method.client_streaming, method.server_streaming)
        )
        call = getattr(self._channel, kind)(
            f"/{method.containing_service.full_name}/{method.name}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=GetMessageClass(method.output_type).FromString,
        )
        request = GetMessageClass(method.input_type)()
        metadata = () if token is None else (("authorization", f"Bearer {token}"),)
        try:
            answer = call(
                iter([request]) if method.client_streaming else request, metadata=metadata, timeout=WAIT
            )
            if method.server_streaming:
                list(answer)
            return "in"
        except grpc.RpcError as error:
            status = Status.FromString(dict(error.trailing_metadata())["grpc-status-details-bin"])
            info = ErrorInfo()
            assert any(detail.Unpack(info) for detail in status.details)
            # Its fields are looked at only after its caller.
            return "in" if info.reason == "INVALID_FIELDS" else str(info.reason)

    def close(self) -> None:
        self._channel.close()


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    folder = tmp_path_factory.mktemp("access")
    (folder / "roles.json").write_text(json.dumps(ADDED))
    for service in SERVICE_PERMISSIONS:
        create_key(service, folder / f"{service}.pem", folder / "keys.json")
    add_tokens(folder / "tokens.json", [("owner", ("*",), "the-owner")])
    with provider() as idp:
        settings = Settings(
            data_dir=folder,
            roles_file=folder / "roles.json",
            oidc_issuer=idp.issuer,
            oidc_audience=(AUDIENCE,),
            service_keys_file=folder / "keys.json",
        )
        server = ApiServer("127.0.0.1:0", make_authenticator(settings, "care"), threads=4)
        for name in sorted({method.containing_service.full_name for method in methods()}):
            own = {method.name: method for method in methods() if method.containing_service.full_name == name}
            service = next(iter(own.values())).containing_service
            module = importlib.import_module(
                service.file.name.removesuffix(".proto").replace("/", ".") + "_pb2_grpc"
            )
            add = getattr(module, f"add_{service.name}Servicer_to_server")
            server.add(lambda registry, add=add, own=own: add(Reached(own), registry))
        found = Asked(server.start(), idp, folder)
        try:
            yield found
        finally:
            found.close()
            server.stop(0)


def permission(method: MethodDescriptor) -> str:
    return str(method.GetOptions().Extensions[options_pb2.permission])


def expected(method: MethodDescriptor, grants: tuple[str, ...] | list[str]) -> str:
    """Return what a caller with these grants must meet."""
    wanted, reach = permission(method), method.GetOptions().Extensions[options_pb2.reach]
    if not wanted:
        return "in"
    for grant in grants:
        pattern, _, scope = grant.partition(":")
        covers = pattern in ("*", wanted) or (pattern.endswith(".*") and wanted.startswith(pattern[:-1]))
        if covers and (scope in ("", "all") or reach != options_pb2.REACH_UNSPECIFIED):
            return "in"
    return "PERMISSION_DENIED"


def differences(asked: Asked, token: str | None, outcome: Any) -> dict[str, tuple[str, str]]:
    """Return the RPCs that answered otherwise than they must."""
    return {
        method.full_name: (found, wanted)
        for method in methods()
        if (found := asked.outcome(method, token)) != (wanted := outcome(method))
    }


def refused(reason: str) -> Any:
    return lambda method: reason if permission(method) else "in"


def test_nobody_comes_in_without_a_good_token(asked: Asked):
    idp, now = asked.idp, int(time.time())
    assert differences(asked, None, refused("MISSING_TOKEN")) == {}
    assert differences(asked, "wrong", refused("INVALID_TOKEN")) == {}
    assert differences(asked, idp.token(roles=["owner"], exp=now - 3600), refused("TOKEN_EXPIRED")) == {}
    forged = idp.token(roles=["owner"])[:-8] + "AAAAAAAA"
    assert differences(asked, forged, refused("INVALID_TOKEN")) == {}
    other = ServiceTokens("campaign", asked.keys / "campaign.pem")("contacts")
    assert differences(asked, other, refused("INVALID_TOKEN")) == {}


@pytest.mark.parametrize("role", ROLES)
def test_each_role_may_call_what_its_permissions_say(asked: Asked, role: str):
    token = asked.idp.token(sub=f"a-{role}", roles=[role])
    assert differences(asked, token, lambda method: expected(method, ROLES[role])) == {}


def test_the_owner_may_call_everything_and_who_has_no_role_nothing(asked: Asked):
    assert differences(asked, "the-owner", lambda method: "in") == {}
    assert (
        differences(asked, asked.idp.token(roles=["no-such-role"]), lambda method: expected(method, ())) == {}
    )


@pytest.mark.parametrize("service", SERVICE_PERMISSIONS)
def test_each_service_may_call_what_it_needs(asked: Asked, service: str):
    token = ServiceTokens(service, asked.keys / f"{service}.pem")("care")
    assert differences(asked, token, lambda method: expected(method, SERVICE_PERMISSIONS[service])) == {}


def test_no_role_is_empty_or_names_what_no_rpc_asks_for():
    for grants in (*BUILT_IN.values(), *SERVICE_PERMISSIONS.values()):
        for grant in grants:
            assert any(permission(method) and expected(method, (grant,)) == "in" for method in methods()), (
                grant
            )
