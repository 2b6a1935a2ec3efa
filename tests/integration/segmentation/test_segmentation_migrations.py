"""The migrations make what the models say, with the views for plugins, and can be taken back."""

from __future__ import annotations

import psycopg
import pytest
import sqlalchemy as sa

from services.kit import migrations, revisions
from services.kit.db import make_engine
from services.kit.errors import FailedPrecondition
from services.kit.postgres import libpq_url
from tests.support.postgres import DatabaseFactory


def test_migrations_match_the_models_and_can_be_taken_back(make_database: DatabaseFactory) -> None:
    """Twice, so that nothing stays behind."""
    url = make_database("segmentation")
    for _ in range(2):
        migrations.upgrade("segmentation", url)
        assert migrations.check("segmentation", url) == []
        engine = make_engine(url)
        with engine.connect() as connection:
            role = f"{engine.url.username}_plugin"
            connection.exec_driver_sql(f'SET ROLE "{role}"')
            assert connection.exec_driver_sql("SELECT count(*) FROM sdk.profile, sdk.event").scalar_one() == 0
            with pytest.raises(sa.exc.ProgrammingError, match="permission denied"):
                connection.exec_driver_sql("SELECT * FROM public.membership")
        engine.dispose()
        migrations.downgrade("segmentation", url)


def test_lists_go_when_their_migration_is_taken_back(make_database: DatabaseFactory) -> None:
    """With their members; segments with a rule stay, and are of that kind when it comes again."""
    url = make_database("segmentation")
    migrations.upgrade("segmentation", url)
    engine = make_engine(url)
    insert = (
        "INSERT INTO segment (number, id, display_name, version, state, revision, create_time, update_time, kind) "
        "VALUES (%(number)s, %(id)s, '', 1, 'ready', 1, now(), now(), %(kind)s)"
    )
    with engine.begin() as connection:
        for number, kind in enumerate(("rule", "list"), 1):
            connection.exec_driver_sql(insert, {"number": number, "id": kind, "kind": kind})
            connection.exec_driver_sql(
                "INSERT INTO membership VALUES (%(n)s, gen_random_uuid(), now())", {"n": number}
            )
            connection.exec_driver_sql("INSERT INTO segment_size VALUES (%(n)s, 1)", {"n": number})
    migrations.downgrade("segmentation", url, "0003")
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT id FROM segment").scalars().all() == ["rule"]
        assert connection.exec_driver_sql("SELECT segment_number FROM membership").scalars().all() == [1]
        assert connection.exec_driver_sql("SELECT segment_number FROM segment_size").scalars().all() == [1]
    migrations.upgrade("segmentation", url)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT kind FROM segment").scalars().all() == ["rule"]
    engine.dispose()


def test_a_database_without_the_role_of_plugins_is_refused_with_what_to_do(
    make_database: DatabaseFactory, admin_url: str
) -> None:
    """As one that an administrator made by hand may be."""
    url = make_database("segmentation")
    user = sa.make_url(url).username
    with psycopg.connect(libpq_url(admin_url), autocommit=True) as admin:
        admin.execute(f'REVOKE "{user}_plugin" FROM "{user}"')
        with pytest.raises(FailedPrecondition, match=f'GRANT "{user}_plugin"') as caught:
            migrations.upgrade("segmentation", url)
        assert caught.value.reason == "NO_PLUGIN_ROLE"
        assert revisions.current_of(url) is None
        admin.execute(f'GRANT "{user}_plugin" TO "{user}"')
    migrations.upgrade("segmentation", url)
