"""The barest contacts API: grpcio and SQLAlchemy Core over the tables of contacts, with nothing around the handlers.

It answers the same messages from the same rows, and writes the same tables, an event included. It checks no token, no
permission and no field, normalises nothing, and heeds no one else's write.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from concurrent import futures
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import grpc
import sqlalchemy as sa
from google.protobuf.timestamp_pb2 import Timestamp
from rapport.contacts.v1 import contacts_pb2 as pb
from rapport.contacts.v1 import contacts_pb2_grpc
from sqlalchemy import Connection, Row
from sqlalchemy.dialects import postgresql as pg

from services.contacts.models import contact, identity, kit

_GET = sa.select(contact).where(contact.c.id == sa.bindparam("key"))
_GET_MANY = sa.select(contact).where(
    contact.c.id == sa.any_(sa.bindparam("keys", type_=pg.ARRAY(pg.UUID(as_uuid=True))))
)
_LIST = (
    sa.select(contact)
    .order_by(contact.c.create_time, contact.c.id)
    .limit(sa.bindparam("count", type_=sa.Integer))
)
_OWNERS = sa.select(identity.c.type, identity.c.value, identity.c.contact_id).where(
    identity.c.value == sa.any_(sa.bindparam("values_", type_=pg.ARRAY(sa.Text)))
)
_TEXTS = (
    *(
        "folded_name",
        "language_code",
        "time_zone",
        "region_code",
        "administrative_area",
        "locality",
        "sublocality",
    ),
    *("postal_code", "gender", "lifecycle_stage", "industry", "occupation"),
)
_EMPTY: dict[str, Any] = {
    **dict.fromkeys(_TEXTS, ""),
    **dict.fromkeys(("owner", "team"), ""),
    "address_lines": [],
    "attributes": {},
    "tags": [],
    "consents": {},
    "kind": 1,
    "revision": 1,
}


class Contacts(contacts_pb2_grpc.ContactServiceServicer):
    """Answer the five calls that are measured."""

    def __init__(self, url: str) -> None:
        """Connect as SQLAlchemy does by default."""
        self._engine = sa.create_engine(url, pool_size=16)
        self._reading = self._engine.execution_options(isolation_level="AUTOCOMMIT")

    def GetContact(self, request: Any, context: Any) -> Any:
        """Return a contact."""
        with self._reading.connect() as connection:
            row = connection.execute(_GET, {"key": _key(request.name)}).one()
        return pb.GetContactResponse(contact=_encode(row))

    def BatchGetContacts(self, request: Any, context: Any) -> Any:
        """Return contacts in the order of their names."""
        keys = [_key(name) for name in request.names]
        with self._reading.connect() as connection:
            rows = {row.id: row for row in connection.execute(_GET_MANY, {"keys": keys})}
        return pb.BatchGetContactsResponse(contacts=[_encode(rows[key]) for key in keys])

    def ListContacts(self, request: Any, context: Any) -> Any:
        """Return the first page."""
        with self._reading.connect() as connection:
            rows = connection.execute(_LIST, {"count": request.page_size}).all()
        return pb.ListContactsResponse(contacts=[_encode(row) for row in rows])

    def UpsertContact(self, request: Any, context: Any) -> Any:
        """Make or change a contact."""
        with self._engine.begin() as connection:
            [row] = _upsert(connection, [request.contact])
        return pb.UpsertContactResponse(contact=_encode(row))

    def BatchUpsertContacts(self, request: Any, context: Any) -> Any:
        """Make or change contacts."""
        with self._engine.begin() as connection:
            rows = _upsert(connection, request.contacts)
        return pb.BatchUpsertContactsResponse(
            results=[pb.UpsertResult(name=f"contacts/{row.id}") for row in rows]
        )


def _key(name: str) -> UUID:
    return UUID(name.partition("/")[2])


def _upsert(connection: Connection, given: Sequence[pb.Contact]) -> list[Row[Any]]:
    now = datetime.now(UTC)
    values = [one.identities[0].value for one in given]
    owners = {row.value: row.contact_id for row in connection.execute(_OWNERS, {"values_": values})}
    rows, fresh, events = [], [], []
    columns = {column.name for column in contact.c}
    for one, value in zip(given, values, strict=True):
        key = owners.get(value)
        if key is None:
            key = owners[value] = uuid4()
            fresh.append({"type": one.identities[0].type, "source": "", "value": value, "contact_id": key})
        name = f"{one.given_name} {one.family_name}"
        row = {
            **_EMPTY,
            "id": key,
            "display_name": name,
            "folded_name": name.lower(),
            "given_name": one.given_name,
            "family_name": one.family_name,
            "language_code": one.language_code,
            "identities": [[one.identities[0].type, "", value]],
            "create_time": now,
            "update_time": now,
        }
        rows.append({column: content for column, content in row.items() if column in columns})
        events.append(
            {
                "id": uuid4(),
                "type": "contact.updated",
                "subject": f"contacts/{key}",
                "contact_id": key,
                "revision": 1,
                "occur_time": now,
                "record_time": now,
                "historical": False,
                "data_type": "rapport.contacts.v1.ContactChanged",
                "data": b"",
                "traceparent": "",
            }
        )
    insert = pg.insert(contact)
    kept = {"id", "create_time", "revision"}
    changed = {name: insert.excluded[name] for name in rows[0] if name not in kept}
    statement = insert.on_conflict_do_update(
        index_elements=["id"], set_={**changed, "revision": contact.c.revision + 1}
    ).returning(contact)
    found = list(connection.execute(statement, rows))
    if fresh:
        connection.execute(sa.insert(identity), fresh)
    connection.execute(sa.insert(kit.outbox), events)
    return found


def _encode(row: Row[Any]) -> pb.Contact:
    made = pb.Contact(
        name=f"contacts/{row.id}",
        kind=row.kind,
        display_name=row.display_name,
        given_name=row.given_name,
        family_name=row.family_name,
        language_code=row.language_code,
        time_zone=row.time_zone,
        tags=row.tags,
        identities=[
            pb.Identity(type=kind, source=source, value=value) for kind, source, value in row.identities
        ],
        revision=row.revision,
        etag=str(row.revision),
        create_time=_timestamp(row.create_time),
        update_time=_timestamp(row.update_time),
    )
    if row.region_code or row.locality:
        made.address.region_code, made.address.locality = row.region_code, row.locality
    return made


def _timestamp(instant: datetime) -> Timestamp:
    made = Timestamp()
    made.FromDatetime(instant)
    return made


def main() -> None:
    """Serve the database of a URL until standard input closes; prints the port."""
    server = grpc.server(futures.ThreadPoolExecutor(16))
    contacts_pb2_grpc.add_ContactServiceServicer_to_server(Contacts(sys.argv[1]), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(json.dumps({"port": port}), flush=True)
    sys.stdin.read()
    server.stop(1).wait()


if __name__ == "__main__":
    main()
