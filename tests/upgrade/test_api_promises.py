"""Changes of the API that break callers of the last release without changing a message's form are refused."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.api import field_behavior_pb2
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorSet
from rapport.type.v1 import options_pb2

from deploy.tools.release import API, ROOT

SPEC = importlib.util.spec_from_file_location("promises", ROOT / "protos" / "promises.py")
assert SPEC is not None
assert SPEC.loader is not None
promises = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(promises)

BEHAVIOR: Any = field_behavior_pb2.field_behavior
PERMISSION: Any = options_pb2.permission
REACH: Any = options_pb2.reach
RULES: Any = options_pb2.rules


class Api:
    """The released API, to be changed."""

    def __init__(self) -> None:
        self.files = FileDescriptorSet.FromString(API.read_bytes())
        (self.file,) = [f for f in self.files.file if f.name == "rapport/contacts/v1/contacts.proto"]

    def options(self, rpc: str) -> Any:
        """Return the options of an RPC of ContactService."""
        (service,) = [item for item in self.file.service if item.name == "ContactService"]
        (method,) = [item for item in service.method if item.name == rpc]
        return method.options.Extensions

    def message(self, name: str) -> DescriptorProto:
        """Return a message."""
        (found,) = [item for item in self.file.message_type if item.name == name]
        return found

    def field(self, message: str, name: str) -> FieldDescriptorProto:
        """Return a field."""
        (found,) = [item for item in self.message(message).field if item.name == name]
        return found


def set_permission(api: Api, permission: str) -> None:
    api.options("GetContact")[PERMISSION] = permission


def set_reach(api: Api, reach: int) -> None:
    api.options("GetContact")[REACH] = reach


def behave(api: Api, behavior: int, field: str = "display_name") -> None:
    api.field("Contact", field).options.Extensions[BEHAVIOR].append(behavior)


def bound(api: Api, message: str = "Contact", field: str = "display_name", **rules: Any) -> None:
    target = api.field(message, field).options.Extensions[RULES]
    for name, value in rules.items():
        setattr(target, name, value)


def add(api: Api, *behaviors: int) -> None:
    made = api.message("Contact").field.add(name="newest", number=17_000)
    made.options.Extensions[BEHAVIOR].extend(behaviors)


BREAKS: dict[str, tuple[Callable[[Api], None], str]] = {
    "another permission": (
        lambda api: set_permission(api, "contacts.write"),
        "ContactService/GetContact asks for the permission 'contacts.write', and asked for 'contacts.read'",
    ),
    "less reach": (
        lambda api: set_reach(api, 0),
        "GetContact is REACH_UNSPECIFIED now, and was REACH_RECORDS",
    ),
    "a field must be given": (
        lambda api: behave(api, field_behavior_pb2.REQUIRED),
        "v1.Contact.display_name must be given now",
    ),
    "a field is not taken": (
        lambda api: behave(api, field_behavior_pb2.OUTPUT_ONLY),
        "is not taken from callers",
    ),
    "a field cannot be changed": (
        lambda api: behave(api, field_behavior_pb2.IMMUTABLE),
        "cannot be changed any more",
    ),
    "a new field must be given": (
        lambda api: add(api, field_behavior_pb2.REQUIRED),
        "v1.Contact.newest must be given now",
    ),
    "a shorter text": (lambda api: bound(api, max_length=7), "max_length is 7 now"),
    "fewer items": (lambda api: bound(api, field="tags", max_items=1), "max_items is 1 now"),
    "a greater minimum": (lambda api: bound(api, minimum=5), "minimum is 5 now, and was without bound"),
    "a smaller maximum": (lambda api: bound(api, maximum=5), "maximum is 5 now, and was without bound"),
    "a name of a resource": (
        lambda api: bound(api, resource="contacts"),
        "must name one of contacts now, and could name anything",
    ),
}
KEEPS: dict[str, Callable[[Api], None]] = {
    "nothing": lambda api: None,
    "nobody asked": lambda api: set_permission(api, ""),
    "more reach": lambda api: set_reach(api, 2),
    "a new field": lambda api: add(api),
    "a new field of answers": lambda api: add(api, field_behavior_pb2.OUTPUT_ONLY),
    "a longer text": lambda api: bound(api, max_length=1_000_000),
    "a text without bound": lambda api: bound(api, max_length=0),
}


def found(change: Callable[[Api], None]) -> list[str]:
    api = Api()
    change(api)
    result: list[str] = promises.broken(API.read_bytes(), api.files.SerializeToString())
    return result


@pytest.mark.parametrize("name", BREAKS)
def test_what_breaks_callers_is_told(name: str) -> None:
    change, told = BREAKS[name]
    (line,) = found(change)
    assert told in line


@pytest.mark.parametrize("name", KEEPS)
def test_what_callers_do_not_notice_passes(name: str) -> None:
    assert found(KEEPS[name]) == []


def test_the_check_refuses_it(tmp_path: Path) -> None:
    """With fresh stubs, a change that buf has nothing against."""
    shutil.copytree(ROOT / "protos", tmp_path / "protos", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "buf.yaml", tmp_path)
    (tmp_path / "deploy").mkdir()
    shutil.copy(ROOT / "deploy" / "release.toml", tmp_path / "deploy")
    proto = tmp_path / "protos" / "rapport" / "contacts" / "v1" / "contacts.proto"
    text = proto.read_text()
    assert '(rapport.type.v1.permission) = "contacts.read"' in text
    proto.write_text(text.replace('permission) = "contacts.read"', 'permission) = "contacts.write"', 1))
    for arguments, status in ((["protos/gen"], 0), (["--check"], 1)):
        ran = subprocess.run(
            [sys.executable, "protos/generate.py", *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == status, ran.stdout + ran.stderr
    assert "asks for the permission 'contacts.write', and asked for 'contacts.read'" in ran.stderr
