"""Measure the import of contacts against the barest load of the same rows into PostgreSQL.

    python -m tests.bench.bench_import [rows] [administrator's database URL]

Without a URL it starts an embedded server of its own. The ceiling is a COPY of rows that need no work into an unlogged
staging table, followed by INSERT … SELECT … ON CONFLICT DO NOTHING into a table with one unique identity. The import
parses CSV, normalises names, e-mail addresses and phone numbers, finds the contacts by their identities, and writes
contacts, identities and events with checkpoints. A second ceiling loads what the import wrote, ready-made, into the
same tables, with all their indexes: what remains is the work on the rows. Ratios, measured in turns, are
what counts: all suffer alike from whatever else the machine does.
"""

from __future__ import annotations

import io
import random
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO

import psycopg
from rapport.contacts.v1 import contacts_pb2 as pb

from services.contacts.models import kit
from services.contacts.usecases import import_run, imports
from services.kit.config import Settings
from services.kit.names import parse_name
from services.kit.operations import OperationContext, store
from services.kit.postgres import libpq_url
from services.kit.runtime import Runtime, make_runtime
from tests.support.postgres import DatabaseFactory, shared_server
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
    """Return the rows a second of a bare load."""
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS bare, bare_staging")
        cursor.execute(
            "CREATE TABLE bare (given text, family text, email text PRIMARY KEY, phone text, city text, lang text)"
        )
        cursor.execute("CREATE UNLOGGED TABLE bare_staging (LIKE bare)")
        connection.commit()
        start = time.perf_counter()
        with cursor.copy("COPY bare_staging FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        cursor.execute("INSERT INTO bare SELECT * FROM bare_staging ON CONFLICT DO NOTHING")
        connection.commit()
        return len(rows) / (time.perf_counter() - start)


def ready_made(url: str) -> float:
    """Return the rows a second of loading what an import wrote, ready-made, into the same tables and indexes.

    The tables are emptied before, and hold the same rows afterwards.
    """
    tables = ("contact", "identity", "outbox")
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        data = {}
        for table in tables:
            with cursor.copy(f"COPY {table} TO STDOUT") as copy:
                data[table] = b"".join(bytes(piece) for piece in copy)
        cursor.execute(f"TRUNCATE {', '.join(tables)}")
        connection.commit()
        start = time.perf_counter()
        for table in tables:
            with cursor.copy(f"COPY {table} FROM STDIN") as copy:
                copy.write(data[table])
        connection.commit()
        seconds = time.perf_counter() - start
        cursor.execute("SELECT count(*) FROM contact")
        ((count,),) = cursor.fetchall()
        return count / seconds


def run_import(runtime: Runtime, file: BinaryIO) -> tuple[float, float, pb.ImportContactsResult]:
    """Return the rows a second of an import, this process's CPU seconds, and its counts."""
    pieces = iter(partial(file.read, 1 << 20), b"")
    operation = imports.start(runtime, pb.ImportContactsConfig(default_region="VN"), pieces)
    with runtime.db.transaction() as connection:
        claimed = store.claim(connection, kit, parse_name(operation.name, "operations"))
    assert claimed is not None
    before = resource.getrusage(resource.RUSAGE_SELF)
    start = time.perf_counter()
    result = import_run.run(runtime, OperationContext(runtime.db, kit, claimed))
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return result.row_count / seconds, cpu, result


def empty(url: str) -> None:
    """Remove all contacts."""
    with psycopg.connect(url) as connection:
        connection.execute("TRUNCATE contact, identity, outbox")


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


def main(count: int, admin_url: str) -> None:
    """Print one line for each turn: the ceiling, a first import, and the same file again."""
    with database(admin_url) as url:
        runtime = make_runtime("contacts", "worker", Settings(contacts_database_url=url, secret_key="k" * 32))
        ratios = []
        for turn in range(3):
            rows = make_rows(count, turn)
            data = make_csv(rows)
            empty(libpq_url(url))
            top = ceiling(libpq_url(url), rows)
            speed, cpu, result = run_import(runtime, io.BytesIO(data))
            again, _, second = run_import(runtime, io.BytesIO(data))
            same = ready_made(libpq_url(url))
            ratios.append(speed / top)
            print(
                f"{count} rows: bare load {top:,.0f}/s; the same tables ready-made {same:,.0f}/s; "
                f"import {speed:,.0f}/s = {speed / top:.2f} and {speed / same:.2f} of them, "
                f"{cpu / count * 1e6:.1f} µs of CPU in Python a row, created {result.created_count}, "
                f"errors {result.error_count}; again, unchanged {second.unchanged_count}: {again:,.0f}/s"
            )
        print(f"best ratio to the bare load {max(ratios):.2f}")
        runtime.close()


if __name__ == "__main__":
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    if len(sys.argv) > 2:
        main(rows, sys.argv[2])
    else:
        with tempfile.TemporaryDirectory() as folder, shared_server(Path(folder)) as embedded:
            main(rows, embedded)
