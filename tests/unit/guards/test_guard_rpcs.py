"""Guards: every RPC declares its permission, belongs to a served service and has a contract test."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from google.protobuf.descriptor import MethodDescriptor
from rapport.type.v1 import options_pb2
from rapport_client.client import service_descriptors

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = ("contacts", "sales", "segmentation", "campaign", "care", "events", "operations")


def methods() -> list[MethodDescriptor]:
    return [
        method
        for package in PACKAGES
        for service in service_descriptors(package)
        for method in service.methods
    ]


def snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def contract_tests() -> set[str]:
    names: set[str] = set()
    for path in (ROOT / "tests" / "contract").rglob("test_*.py"):
        names |= set(re.findall(r"^\s*def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE))
    return names


def test_the_api_is_found():
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
    prefix = f"test_{snake(method.name)}"
    found = [name for name in contract_tests() if name == prefix or name.startswith(prefix + "_")]
    assert found, f"no test in tests/contract is named {prefix}…"


def test_messages_of_each_rpc_are_its_own():
    shared = [
        method.full_name
        for method in methods()
        if (method.input_type.name, method.output_type.name)
        != (f"{method.name}Request", f"{method.name}Response")
    ]
    assert shared == []
