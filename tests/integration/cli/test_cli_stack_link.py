"""As root the stack's database is behind a link; removing that link must not hide the data."""

from __future__ import annotations

import os
from pathlib import Path

import psycopg
import pytest

from services.cli.stack import Stack
from services.kit.config import load_settings
from services.kit.postgres import libpq_url


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has the database behind a link")
def test_a_stack_whose_link_was_removed_finds_its_database(tmp_path: Path) -> None:
    folder = tmp_path / ".rapport"

    def run(statement: str) -> list[tuple[object, ...]]:
        stack = Stack(load_settings(data_dir=folder), postgres_settings={"fsync": "off"})
        with stack:
            url = stack.prepare_databases()["contacts"]
            with psycopg.connect(libpq_url(url), autocommit=True) as connection:
                cursor = connection.execute(statement.encode())
                return cursor.fetchall() if cursor.description else []

    try:
        run("CREATE TABLE kept AS SELECT 1 AS x")
        home = os.readlink(folder / "postgres")
        (folder / "postgres").unlink()
        assert run("SELECT x FROM kept") == [(1,)]
        assert os.readlink(folder / "postgres") == home
    finally:
        Stack(load_settings(data_dir=folder)).destroy_database()
