"""Files of people, and the barest ways to load the same rows into PostgreSQL: the ceilings of imports and ingestion."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import BinaryIO

import psycopg
from rapport.contacts.v1 import contacts_pb2 as pb

from services.contacts.models import kit
from services.contacts.usecases import import_run, imports
from services.kit.names import parse_name
from services.kit.operations import OperationContext, store
from services.kit.runtime import Runtime
from tests.support.postgres import DatabaseFactory
from tests.support.schema import create_schema

GIVEN = ["An", "Bình", "Chi", "Dũng", "Hà", "James", "Mary", "伟", "芳", "Linh", "Minh", "Olivia"]
FAMILY = ["Nguyễn", "Trần", "Lê", "Phạm", "王", "李", "Smith", "Jones", "Đặng", "Vũ"]
CITIES = ["Hà Nội", "TP Hồ Chí Minh", "上海", "London", "Đà Nẵng"]


def make_rows(count: int, seed: int) -> list[tuple[str, ...]]:
    """Return rows of people, each with an e-mail address and a phone number of its own."""
    draw = random.Random(seed)
    return [
        (
            draw.choice(GIVEN),
            draw.choice(FAMILY),
            f"person.{seed}.{number}@example.test",
            f"09{seed % 10}{number:07d}"[:10],
            draw.choice(CITIES),
            "vi",
        )
        for number in range(count)
    ]


def make_csv(rows: list[tuple[str, ...]]) -> bytes:
    """Return rows as a file with a header."""
    header = "given_name,family_name,email,phone,address.locality,language_code\n"
    return (header + "".join(",".join(row) + "\n" for row in rows)).encode()


def ceiling(url: str, rows: list[tuple[str, ...]]) -> float:
    """Return the rows a second of a bare load of contacts that are known by two identities.

    A COPY into an unlogged staging table; from there the contacts into a table with no index but its key, and their
    e-mail addresses and phone numbers, ON CONFLICT DO NOTHING, into one where each is there once.
    """
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS bare, bare_identity, bare_staging")
        cursor.execute(
            "CREATE TABLE bare (id bigint PRIMARY KEY, given text, family text, city text, lang text)"
        )
        cursor.execute(
            "CREATE TABLE bare_identity (kind smallint, value text, contact bigint, PRIMARY KEY (kind, value))"
        )
        cursor.execute(
            "CREATE UNLOGGED TABLE bare_staging (id bigint GENERATED ALWAYS AS IDENTITY, "
            "given text, family text, email text, phone text, city text, lang text)"
        )
        connection.commit()
        start = time.perf_counter()
        with cursor.copy("COPY bare_staging (given, family, email, phone, city, lang) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        cursor.execute("INSERT INTO bare SELECT id, given, family, city, lang FROM bare_staging")
        for kind, column in enumerate(("email", "phone"), 1):
            cursor.execute(
                f"INSERT INTO bare_identity SELECT {kind}, {column}, id FROM bare_staging ON CONFLICT DO NOTHING"
            )
        connection.commit()
        return len(rows) / (time.perf_counter() - start)


def barest(url: str, rows: list[tuple[str, ...]]) -> float:
    """Return the rows a second of the same into one table with one unique identity."""
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS barest, barest_staging")
        cursor.execute(
            "CREATE TABLE barest "
            "(given text, family text, email text PRIMARY KEY, phone text, city text, lang text)"
        )
        cursor.execute("CREATE UNLOGGED TABLE barest_staging (LIKE barest)")
        connection.commit()
        start = time.perf_counter()
        with cursor.copy("COPY barest_staging FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        cursor.execute("INSERT INTO barest SELECT * FROM barest_staging ON CONFLICT DO NOTHING")
        connection.commit()
        return len(rows) / (time.perf_counter() - start)


def ready_made(url: str, tables: Sequence[str], counted: str) -> float:
    """Return the rows of one table a second that are loaded when what is in some tables, in the order of their keys, is
    loaded into the same tables and indexes, ready-made.

    The tables are emptied before, and hold the same rows afterwards.
    """
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        data = {}
        for table in tables:
            with cursor.copy(f"COPY {table} TO STDOUT") as copy:
                data[table] = b"".join(bytes(piece) for piece in copy)
        cursor.execute(f"TRUNCATE {', '.join(tables)} CASCADE")
        connection.commit()
        start = time.perf_counter()
        for table in tables:
            with cursor.copy(f"COPY {table} FROM STDIN") as copy:
                copy.write(data[table])
        connection.commit()
        seconds = time.perf_counter() - start
        cursor.execute(f"SELECT count(*) FROM {counted}")
        ((count,),) = cursor.fetchall()
        return count / seconds


def run_import(runtime: Runtime, file: BinaryIO) -> tuple[float, pb.ImportContactsResult]:
    """Return the rows a second of an import, and its counts."""
    pieces = iter(partial(file.read, 1 << 20), b"")
    operation = imports.start(runtime, pb.ImportContactsConfig(default_region="VN"), pieces)
    with runtime.db.transaction() as connection:
        claimed = store.claim(connection, kit, parse_name(operation.name, "operations"))
    assert claimed is not None
    start = time.perf_counter()
    result = import_run.run(runtime, OperationContext(runtime.db, kit, claimed))
    return result.row_count / (time.perf_counter() - start), result


@contextmanager
def database(admin_url: str) -> Iterator[str]:
    """Lend a database with the schema of contacts."""
    factory = DatabaseFactory(admin_url)
    try:
        url = factory("contacts")
        create_schema("contacts", url)
        yield url
    finally:
        factory.close()
