"""The contacts API as a next minor release may have it: one more field here and there, and one more RPC."""

from __future__ import annotations

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FileDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from rapport.contacts.v1 import contacts_pb2

FIELD = "of_next_minor"
NUMBER = 18_000


def contact_service() -> ServiceDescriptor:
    """Return ContactService with the RPC PraiseContact, and the field in Contact, and in UpsertContact's messages."""
    pool = descriptor_pool.DescriptorPool()
    service = contacts_pb2.DESCRIPTOR.services_by_name["ContactService"]
    _add(pool, contacts_pb2.DESCRIPTOR, set())
    return pool.FindServiceByName(service.full_name)


def _add(pool: descriptor_pool.DescriptorPool, file: FileDescriptor, done: set[str]) -> None:
    if file.name in done:
        return
    done.add(file.name)
    for needed in file.dependencies:
        _add(pool, needed, done)
    described = FileDescriptorProto()
    file.CopyToProto(described)
    for message in described.message_type:
        if message.name in ("Contact", "UpsertContactRequest", "UpsertContactResponse"):
            _extend(message)
    for service in described.service:
        if service.name == "ContactService":
            (get,) = [method for method in service.method if method.name == "GetContact"]
            service.method.add().CopyFrom(get)
            service.method[-1].name = "PraiseContact"
    pool.Add(described)


def _extend(message: DescriptorProto) -> None:
    message.field.add(
        name=FIELD,
        number=NUMBER,
        type=FieldDescriptorProto.TYPE_STRING,
        label=FieldDescriptorProto.LABEL_OPTIONAL,
    )
