"""Database URLs mean the same to SQLAlchemy and to libpq."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy.engine import URL, make_url

from services.kit.postgres import PostgresError, libpq_url, sqlalchemy_url
from services.kit.postgres.urls import redacted, rewrite

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=20)
FOLDER = TEXT.map(lambda text: "/" + text)


@given(user=TEXT, password=TEXT, database=TEXT, host=FOLDER)
def test_any_credentials_survive_both_forms(user: str, password: str, database: str, host: str) -> None:
    url = URL.create(
        "postgresql+psycopg", user, password, database=database, query={"host": host, "port": "5433"}
    )
    text = url.render_as_string(hide_password=False)
    expected = {"user": user, "password": password, "dbname": database, "host": host, "port": "5433"}
    assert conninfo_to_dict(libpq_url(text)) == expected
    again = make_url(sqlalchemy_url(libpq_url(text)))
    assert (again.username, again.password, again.database) == (user, password, database)
    assert dict(again.query) == {"host": host, "port": "5433"}


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_every_usual_scheme_is_taken(scheme: str) -> None:
    url = f"{scheme}://u:p@db.example:6432/shop?sslmode=require"
    assert sqlalchemy_url(url) == "postgresql+psycopg://u:p@db.example:6432/shop?sslmode=require"
    assert libpq_url(url) == "postgresql://u:p@db.example:6432/shop?sslmode=require"


@pytest.mark.parametrize(
    "url", ["mysql://u:secret@h/d", "u:secret@h/d", "", "sqlite:///x", "postgresql://h:port/d"]
)
def test_other_urls_are_refused_without_showing_secrets(url: str) -> None:
    with pytest.raises(PostgresError, match="database URL") as caught:
        sqlalchemy_url(url)
    assert "secret" not in str(caught.value)


def test_a_numeric_address_of_six_keeps_its_brackets() -> None:
    assert conninfo_to_dict(libpq_url("postgresql://u:p@[::1]:6432/d"))["host"] == "::1"


def test_rewriting_changes_only_what_is_named() -> None:
    url = "postgresql://admin:a@h:1/postgres?sslmode=require"
    assert rewrite(url, database="x") == "postgresql+psycopg://admin:a@h:1/x?sslmode=require"
    assert (
        rewrite(url, database="x", user="u", password="p") == "postgresql+psycopg://u:p@h:1/x?sslmode=require"
    )


def test_messages_hide_the_password() -> None:
    assert redacted("postgresql://u:secret@h/d") == "postgresql+psycopg://u:***@h/d"
