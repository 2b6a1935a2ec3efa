-- Make the roles and databases of Rapport, or complete them; as an administrator, with psql:
--
--   psql "$ADMIN_URL" -v contacts=… -v sales=… -v segmentation=… -v campaign=… -v care=… -f deploy/databases.sql
--
-- where each … is the password of a role. May be repeated, which sets the passwords. Needs PostgreSQL 15 or newer; the
-- administrator must be a superuser or have CREATEROLE and CREATEDB. Tables are made by `rapport migrate`.
\set ON_ERROR_STOP on
SET client_min_messages = warning;

-- Each service has a role and a database of its own, both of one name.
SELECT format('CREATE ROLE %I', name) FROM unnest(ARRAY['rapport_contacts', 'rapport_sales', 'rapport_segmentation',
  'rapport_campaign', 'rapport_care']) AS name
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec
ALTER ROLE rapport_contacts LOGIN PASSWORD :'contacts';
ALTER ROLE rapport_sales LOGIN PASSWORD :'sales';
ALTER ROLE rapport_segmentation LOGIN PASSWORD :'segmentation';
ALTER ROLE rapport_campaign LOGIN PASSWORD :'campaign';
ALTER ROLE rapport_care LOGIN PASSWORD :'care';

-- Segmentation runs the SQL of plugins under a role that sees nothing but views; it is called <role>_plugin.
SELECT 'CREATE ROLE rapport_segmentation_plugin NOLOGIN'
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'rapport_segmentation_plugin') \gexec
GRANT rapport_segmentation_plugin TO rapport_segmentation;

-- An administrator who is no superuser must be a member of a role to give it a database.
SELECT format('GRANT %I TO CURRENT_USER', rolname) FROM pg_roles
WHERE rolname IN ('rapport_contacts', 'rapport_sales', 'rapport_segmentation', 'rapport_campaign', 'rapport_care')
  AND NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) \gexec

SELECT format('CREATE DATABASE %I OWNER %I TEMPLATE template0 ENCODING ''UTF8''%s', name, name,
  CASE WHEN current_setting('server_version_num')::int >= 170000
    THEN ' LOCALE_PROVIDER builtin BUILTIN_LOCALE ''C.UTF-8''' ELSE '' END)
FROM unnest(ARRAY['rapport_contacts', 'rapport_sales', 'rapport_segmentation', 'rapport_campaign', 'rapport_care'])
  AS name
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = name) \gexec
SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC', datname), format('ALTER DATABASE %I SET timezone TO ''UTC''', datname)
FROM pg_database
WHERE datname IN ('rapport_contacts', 'rapport_sales', 'rapport_segmentation', 'rapport_campaign', 'rapport_care') \gexec

\connect rapport_contacts
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS unaccent;
CREATE EXTENSION IF NOT EXISTS pg_trgm;
CREATE EXTENSION IF NOT EXISTS btree_gin;

\connect rapport_sales
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS unaccent;
CREATE EXTENSION IF NOT EXISTS pg_trgm;
CREATE EXTENSION IF NOT EXISTS btree_gin;

\connect rapport_segmentation
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS unaccent;
CREATE EXTENSION IF NOT EXISTS pg_trgm;
CREATE EXTENSION IF NOT EXISTS btree_gin;

\connect rapport_campaign
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS unaccent;
CREATE EXTENSION IF NOT EXISTS pg_trgm;
CREATE EXTENSION IF NOT EXISTS btree_gin;

\connect rapport_care
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS unaccent;
CREATE EXTENSION IF NOT EXISTS pg_trgm;
CREATE EXTENSION IF NOT EXISTS btree_gin;
