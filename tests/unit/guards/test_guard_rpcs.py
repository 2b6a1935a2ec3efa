"""Guards: every RPC declares its permission, can be repeated, is named in its README, and has a contract test."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import MethodDescriptor
from rapport.type.v1 import options_pb2
from rapport_client.client import service_descriptors
from rapport_client.retry import is_safe

from services.kit.config import SERVICES
from tests.support.contracts import contract_tests, snake

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = sorted(
    folder.parent.name
    for folder in (ROOT / "protos/rapport").glob("*/v1")
    if any(re.search(r"^service ", path.read_text(), re.MULTILINE) for path in folder.glob("*.proto"))
)


def methods() -> list[MethodDescriptor]:
    return [
        method
        for package in PACKAGES
        for service in service_descriptors(package)
        for method in service.methods
    ]


def test_the_api_is_found():
    assert {"contacts", "sales", "segmentation", "campaign", "care", "events", "operations"} <= set(PACKAGES)
    assert len(methods()) >= 90


@pytest.mark.parametrize("method", methods(), ids=lambda method: method.full_name)
def test_rpc_declares_a_permission(method: MethodDescriptor):
    options = method.GetOptions()
    assert options.HasExtension(options_pb2.permission), f"{method.full_name} has no permission option"
    permission = options.Extensions[options_pb2.permission]
    assert re.fullmatch(r"[a-z]+(\.[a-z]+)+|", permission), permission


def test_only_token_proven_rpcs_are_open_to_all():
    open_to_all = {
        method.name for method in methods() if not method.GetOptions().Extensions[options_pb2.permission]
    }
    # The token in the request proves the caller.
    assert open_to_all == {"RecordCsatAnswer"}


@pytest.mark.parametrize("method", methods(), ids=lambda method: method.full_name)
def test_rpc_has_a_contract_test(method: MethodDescriptor):
    folder = ROOT / "tests" / "contract" / method.containing_service.file.package.split(".")[1]
    assert contract_tests(folder, method.name), (
        f"no test in {folder.relative_to(ROOT)} is named test_{snake(method.name)}…, "
        f"calls .{snake(method.name)}() or .{method.name}(), and checks something"
    )


@pytest.mark.parametrize("package", [name for name in PACKAGES if name in SERVICES])
def test_readme_of_a_service_names_its_rpcs(package: str):
    words = set(re.findall(r"\w+", (ROOT / "services" / package / "README.md").read_text(encoding="utf-8")))
    names = {method.name for service in service_descriptors(package) for method in service.methods}
    assert names
    assert names - words == set()


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("def test_get_thing(client):\n    assert client.get_thing(name='x').thing", True),
        ("def test_get_thing(stub):\n    assert stub.GetThing(pb.GetThingRequest())", True),
        ("def test_get_thing_in_pages(client):\n    assert list(client.get_thing.iterate())", True),
        ("def test_get_thing(client):\n    with pytest.raises(E):\n        client.get_thing()", True),
        (
            "def test_get_thing(client):\n    check(client)\n"
            "def check(client):\n    assert client.get_thing()",
            True,
        ),
        (
            "from tests.support.planted import look\ndef test_get_thing(client):\n    assert look(client)",
            True,
        ),
        ("def test_get_thing(client):\n    pass", False),
        ("def test_get_thing(client):\n    client.get_thing()", False),
        ("def test_get_thing(client):\n    client.get_thing()\n    assert True", False),
        ("def test_get_thing(client):\n    assert client.get_things()", False),
        ("def test_get_thing(client):\n    assert 'client.get_thing()'", False),
        ("def test_get_things(client):\n    assert client.get_thing()", False),
        ("def test_other(client):\n    assert client.get_thing()", False),
        ("def helper(client):\n    assert client.get_thing()", False),
        # A use case called in the test's own process is no call over a port.
        (
            "from services.x import usecases\ndef test_get_thing():\n    assert usecases.get_thing(1)",
            False,
        ),
    ],
)
def test_the_guard_tells_a_contract_test_from_what_looks_like_one(tmp_path: Path, text: str, counts: bool):
    folder = tmp_path / "tests" / "contract" / "things"
    folder.mkdir(parents=True)
    (tmp_path / "tests" / "support").mkdir()
    (tmp_path / "tests" / "support" / "planted.py").write_text(
        "def look(client):\n    return client.get_thing()\n"
    )
    (folder / "test_things.py").write_text(text)
    assert bool(contract_tests(folder, "GetThing", tmp_path)) is counts


def test_a_contract_test_of_another_service_does_not_count(tmp_path: Path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "test_things.py").write_text("def test_get_thing(client):\n    assert client.get_thing()")
    assert contract_tests(other, "GetThing", tmp_path)
    (tmp_path / "things").mkdir()
    assert not contract_tests(tmp_path / "things", "GetThing", tmp_path)


# RPCs that a client must not repeat by itself, each with the reason why it can be neither idempotent nor known again.
NOT_REPEATABLE: dict[str, str] = {}


def repeatable(method: MethodDescriptor) -> bool:
    """Say whether a call whose answer was lost may be made again (AIP-155); of a stream its first message counts."""
    if is_safe(method):
        return True
    parts = [field.message_type for field in method.input_type.fields if field.message_type is not None]
    return method.client_streaming and any("request_id" in part.fields_by_name for part in parts)


@pytest.mark.parametrize("method", methods(), ids=lambda method: method.full_name)
def test_rpc_can_be_repeated(method: MethodDescriptor):
    assert repeatable(method) or NOT_REPEATABLE.get(method.full_name), (
        f"{method.full_name}: declare idempotency_level NO_SIDE_EFFECTS or IDEMPOTENT, or give it a request_id"
    )


def test_what_is_not_repeatable_is_there_and_is_not():
    known = {method.full_name: method for method in methods()}
    assert not [name for name in NOT_REPEATABLE if name not in known or repeatable(known[name])]


def test_the_guard_sees_an_rpc_that_cannot_be_repeated():
    file = descriptor_pb2.FileDescriptorProto(name="planted.proto", package="planted", syntax="proto3")
    config = file.message_type.add(name="Config")
    config.field.add(name="request_id", number=1, type="TYPE_STRING")
    plain = file.message_type.add(name="Plain")
    plain.field.add(name="config", number=1, type="TYPE_MESSAGE", type_name=".planted.Config")
    service = file.service.add(name="Things")
    for name, input_type, streamed, level in (
        ("Make", "Plain", False, "IDEMPOTENCY_UNKNOWN"),
        ("MakeOnce", "Config", False, "IDEMPOTENCY_UNKNOWN"),
        ("Upload", "Plain", True, "IDEMPOTENCY_UNKNOWN"),
        ("Set", "Plain", False, "IDEMPOTENT"),
    ):
        method = service.method.add(
            name=name, input_type=f".planted.{input_type}", output_type=".planted.Plain"
        )
        method.client_streaming = streamed
        method.options.idempotency_level = descriptor_pb2.MethodOptions.IdempotencyLevel.Value(level)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = pool.FindServiceByName("planted.Things").methods_by_name
    assert {name: repeatable(method) for name, method in found.items()} == {
        "Make": False,
        "MakeOnce": True,
        "Upload": True,
        "Set": True,
    }


def test_messages_of_each_rpc_are_its_own():
    shared = [
        method.full_name
        for method in methods()
        if (method.input_type.name, method.output_type.name)
        != (f"{method.name}Request", f"{method.name}Response")
    ]
    assert shared == []
