"""The databases that a backup is restored into: whether they may be, and the statements around an archive's own."""

from __future__ import annotations

from psycopg import sql
from rapport_sdk.views import SCHEMA

from services.kit import revisions
from services.kit.backup.cut import Connection, tables_of
from services.kit.postgres.provision import PLUGIN_SUFFIX

_BEGIN = f"""
CREATE TABLE {revisions.UNFINISHED} (note text NOT NULL);
"""

# What the role owns in this database, but for what extensions brought. Dropping the role's things at once (DROP OWNED)
# would take its rights on the database with them.
_CLEAR = """
DO $clear$
DECLARE
    one record;
BEGIN
    FOR one IN SELECT nspname FROM pg_namespace
        WHERE nspowner = current_user::regrole AND nspname <> 'public' AND nspname NOT LIKE 'pg\\_%'
    LOOP EXECUTE format('DROP SCHEMA %I CASCADE', one.nspname); END LOOP;
    FOR one IN SELECT c.relname, CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW'
            WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind
        FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
        AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
            -- Sequences of columns go with their tables.
            AND (d.deptype = 'e' OR c.relkind = 'S' AND d.deptype IN ('a', 'i')))
    LOOP EXECUTE format('DROP %s IF EXISTS public.%I CASCADE', one.kind, one.relname); END LOOP;
    -- Their names before the first is dropped, which may take others with it.
    FOR one IN SELECT unnest(array_agg(p.oid::regprocedure::text)) AS name FROM pg_proc p
        WHERE p.pronamespace = 'public'::regnamespace AND NOT EXISTS (SELECT FROM pg_depend d
            WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
    LOOP EXECUTE format('DROP ROUTINE IF EXISTS %s CASCADE', one.name); END LOOP;
    FOR one IN SELECT t.typname FROM pg_type t
        WHERE t.typnamespace = 'public'::regnamespace AND t.typtype IN ('e', 'd') AND NOT EXISTS (
            SELECT FROM pg_depend d WHERE d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e')
    LOOP EXECUTE format('DROP TYPE IF EXISTS public.%I CASCADE', one.typname); END LOOP;
END
$clear$;
"""

# Rights are not in what is restored: the role that SQL of plugins runs under may be called otherwise here.
_GRANT = f"""
DO $grant$
BEGIN
    IF EXISTS (SELECT FROM pg_namespace WHERE nspname = '{SCHEMA}') THEN
        EXECUTE format('GRANT USAGE ON SCHEMA {SCHEMA} TO %I', current_user || '{PLUGIN_SUFFIX}');
        EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA {SCHEMA} TO %I', current_user || '{PLUGIN_SUFFIX}');
    END IF;
END
$grant$;
"""


def is_empty(connection: Connection) -> bool:
    """Tell whether a database has no tables yet, but what extensions brought."""
    return not tables_of(connection)


def statements(*, replace: bool, note: str = "") -> tuple[str, str]:
    """Return the statements before and after those of an archive, for one transaction with them.

    Before: what is there is dropped, if it is to be replaced, and the database is marked as one of several that are not
    all whole yet; note: what must outlive what is dropped, see `note_of`. After: the views of plugins may be read by
    the plugins' role.
    """
    kept = f"INSERT INTO {revisions.UNFINISHED} VALUES ({sql.Literal(note).as_string()});\n"
    return (_CLEAR if replace else "") + _BEGIN + kept, _GRANT


def note_of(connection: Connection) -> str | None:
    """Return the note that a restore which was cut short left in a database, or None when there was none."""
    there = connection.execute(f"SELECT to_regclass('{revisions.UNFINISHED}')".encode()).fetchone()
    if there == (None,):
        return None
    # By its name, as an older release left other columns.
    row = connection.execute(
        f"SELECT to_jsonb(u) ->> 'note' FROM {revisions.UNFINISHED} u".encode()
    ).fetchone()
    return str(row[0] or "") if row else ""


def finish(connection: Connection) -> None:
    """Take the mark away: all databases are whole."""
    connection.execute(f"DROP TABLE {revisions.UNFINISHED}".encode())
