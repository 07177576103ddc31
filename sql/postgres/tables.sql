-- PostgreSQL's catalogs as far as clients read them, of version 15. Made in a database in memory, from the rows
-- `types`, `relations` and `attributes`; what a store has none of is an empty table with PostgreSQL's columns.
CREATE SCHEMA catalog;
CREATE SCHEMA information;

CREATE TABLE catalog.pg_namespace AS
SELECT 2200::UINTEGER AS oid, 'main' AS nspname, 10 AS nspowner, NULL::VARCHAR[] AS nspacl
UNION ALL
SELECT 11, 'pg_catalog', 10, NULL
UNION ALL
SELECT 13000, 'information_schema', 10, NULL;

CREATE TABLE catalog.pg_database AS
SELECT
    5::UINTEGER AS oid,
    'spanverdict' AS datname,
    10 AS datdba,
    6 AS encoding,
    'c' AS datlocprovider,
    FALSE AS datistemplate,
    TRUE AS datallowconn,
    -1 AS datconnlimit,
    0 AS datfrozenxid,
    0 AS datminmxid,
    1663 AS dattablespace,
    'C' AS datcollate,
    'C' AS datctype,
    NULL::VARCHAR AS daticulocale,
    NULL::VARCHAR AS datcollversion,
    NULL::VARCHAR AS datacl;

CREATE TABLE catalog.pg_roles AS
SELECT
    10::UINTEGER AS oid,
    'spanverdict' AS rolname,
    FALSE AS rolsuper,
    TRUE AS rolinherit,
    FALSE AS rolcreaterole,
    FALSE AS rolcreatedb,
    TRUE AS rolcanlogin,
    FALSE AS rolreplication,
    -1 AS rolconnlimit,
    '********' AS rolpassword,
    NULL::TIMESTAMP AS rolvaliduntil,
    FALSE AS rolbypassrls,
    NULL::VARCHAR[] AS rolconfig;

CREATE VIEW catalog.pg_authid AS FROM catalog.pg_roles;

CREATE VIEW catalog.pg_user AS
SELECT
    rolname AS usename,
    oid AS usesysid,
    rolcreatedb AS usecreatedb,
    rolsuper AS usesuper,
    rolreplication AS userepl,
    rolbypassrls AS usebypassrls,
    rolpassword AS passwd,
    rolvaliduntil AS valuntil,
    rolconfig AS useconfig
FROM catalog.pg_roles;

CREATE TABLE catalog.pg_tablespace AS
SELECT
    1663::UINTEGER AS oid,
    'pg_default' AS spcname,
    10 AS spcowner,
    NULL::VARCHAR AS spcacl,
    NULL::VARCHAR[] AS spcoptions;

CREATE TABLE catalog.pg_am AS
SELECT 2::UINTEGER AS oid, 'heap' AS amname, 'heap_tableam_handler' AS amhandler, 't' AS amtype;

CREATE TABLE catalog.pg_type AS
SELECT
    oid::UINTEGER AS oid,
    name AS typname,
    11::UINTEGER AS typnamespace,
    10 AS typowner,
    size::SMALLINT AS typlen,
    size IN (1, 2, 4, 8) AS typbyval,
    'b' AS typtype,
    category AS typcategory,
    FALSE AS typispreferred,
    TRUE AS typisdefined,
    ',' AS typdelim,
    0::UINTEGER AS typrelid,
    if(element > 0, 'array_subscript_handler', '-') AS typsubscript,
    element::UINTEGER AS typelem,
    array_oid::UINTEGER AS typarray,
    if(element > 0, 'array_in', name || 'in') AS typinput,
    if(element > 0, 'array_out', name || 'out') AS typoutput,
    if(element > 0, 'array_recv', name || 'recv') AS typreceive,
    if(element > 0, 'array_send', name || 'send') AS typsend,
    '-' AS typmodin,
    '-' AS typmodout,
    '-' AS typanalyze,
    'i' AS typalign,
    'p' AS typstorage,
    FALSE AS typnotnull,
    0::UINTEGER AS typbasetype,
    -1 AS typtypmod,
    0 AS typndims,
    if(name IN ('text', 'varchar', 'bpchar'), 100, 0) AS typcollation,
    NULL::VARCHAR AS typdefaultbin,
    NULL::VARCHAR AS typdefault,
    NULL::VARCHAR AS typacl
FROM types;

CREATE TABLE catalog.pg_collation AS
SELECT
    100::UINTEGER AS oid,
    'default' AS collname,
    11 AS collnamespace,
    10 AS collowner,
    'd' AS collprovider,
    TRUE AS collisdeterministic,
    -1 AS collencoding,
    'C' AS collcollate,
    'C' AS collctype,
    NULL::VARCHAR AS colliculocale,
    NULL::VARCHAR AS collversion;

CREATE TABLE catalog.pg_class AS
SELECT
    oid::UINTEGER AS oid,
    table_name AS relname,
    2200::UINTEGER AS relnamespace,
    0 AS reltype,
    0 AS reloftype,
    10 AS relowner,
    if(kind = 'r', 2, 0) AS relam,
    0 AS relfilenode,
    0 AS reltablespace,
    0 AS relpages,
    -1::REAL AS reltuples,
    0 AS relallvisible,
    0 AS reltoastrelid,
    FALSE AS relhasindex,
    FALSE AS relisshared,
    'p' AS relpersistence,
    kind AS relkind,
    columns::SMALLINT AS relnatts,
    0::SMALLINT AS relchecks,
    kind = 'v' AS relhasrules,
    FALSE AS relhastriggers,
    FALSE AS relhassubclass,
    FALSE AS relrowsecurity,
    FALSE AS relforcerowsecurity,
    TRUE AS relispopulated,
    'd' AS relreplident,
    FALSE AS relispartition,
    0 AS relrewrite,
    0 AS relfrozenxid,
    0 AS relminmxid,
    NULL::VARCHAR[] AS relacl,
    NULL::VARCHAR[] AS reloptions,
    NULL::VARCHAR AS relpartbound,
    FALSE AS relhasoids
FROM relations;

CREATE TABLE catalog.pg_attribute AS
SELECT
    relations.oid::UINTEGER AS attrelid,
    column_name AS attname,
    type_oid::UINTEGER AS atttypid,
    -1 AS attstattarget,
    types.size::SMALLINT AS attlen,
    position::SMALLINT AS attnum,
    0 AS attndims,
    -1 AS attcacheoff,
    -1 AS atttypmod,
    FALSE AS attbyval,
    'i' AS attalign,
    'p' AS attstorage,
    '' AS attcompression,
    FALSE AS attnotnull,
    FALSE AS atthasdef,
    FALSE AS atthasmissing,
    '' AS attidentity,
    '' AS attgenerated,
    FALSE AS attisdropped,
    TRUE AS attislocal,
    0 AS attinhcount,
    if(type_oid = 25, 100, 0) AS attcollation,
    NULL::VARCHAR[] AS attacl,
    NULL::VARCHAR[] AS attoptions,
    NULL::VARCHAR[] AS attfdwoptions,
    NULL::VARCHAR[] AS attmissingval
FROM attributes
INNER JOIN relations USING (table_name)
INNER JOIN types ON attributes.type_oid = types.oid;

CREATE VIEW catalog.pg_tables AS
SELECT
    'main' AS schemaname,
    relname AS tablename,
    'spanverdict' AS tableowner,
    NULL::VARCHAR AS tablespace,
    FALSE AS hasindexes,
    FALSE AS hasrules,
    FALSE AS hastriggers,
    FALSE AS rowsecurity
FROM catalog.pg_class
WHERE relkind = 'r';

CREATE VIEW catalog.pg_views AS
SELECT 'main' AS schemaname, table_name AS viewname, 'spanverdict' AS viewowner, definition
FROM relations
WHERE kind = 'v';

CREATE TABLE catalog.told_settings AS
SELECT name, setting, NULL::VARCHAR AS unit, 'Preset Options' AS category, '' AS short_desc, 'internal' AS context
FROM settings;

CREATE TABLE information.schemata AS
SELECT
    'spanverdict' AS catalog_name,
    nspname AS schema_name,
    'spanverdict' AS schema_owner,
    NULL::VARCHAR AS default_character_set_catalog,
    NULL::VARCHAR AS default_character_set_schema,
    NULL::VARCHAR AS default_character_set_name,
    NULL::VARCHAR AS sql_path
FROM catalog.pg_namespace;

CREATE TABLE information.tables AS
SELECT
    'spanverdict' AS table_catalog,
    'main' AS table_schema,
    table_name,
    if(kind = 'r', 'BASE TABLE', 'VIEW') AS table_type,
    NULL::VARCHAR AS self_referencing_column_name,
    NULL::VARCHAR AS reference_generation,
    NULL::VARCHAR AS user_defined_type_catalog,
    NULL::VARCHAR AS user_defined_type_schema,
    NULL::VARCHAR AS user_defined_type_name,
    'NO' AS is_insertable_into,
    'NO' AS is_typed,
    NULL::VARCHAR AS commit_action
FROM relations;

CREATE TABLE information.views AS
SELECT
    table_catalog,
    table_schema,
    table_name,
    relations.definition AS view_definition,
    'NONE' AS check_option,
    'NO' AS is_updatable,
    'NO' AS is_insertable_into
FROM information.tables
INNER JOIN relations USING (table_name)
WHERE table_type = 'VIEW';

CREATE TABLE information.columns AS
SELECT
    'spanverdict' AS table_catalog,
    'main' AS table_schema,
    attributes.table_name,
    column_name,
    position AS ordinal_position,
    NULL::VARCHAR AS column_default,
    'YES' AS is_nullable,
    if(types.element > 0, 'ARRAY', types.full_name) AS data_type,
    NULL::INTEGER AS character_maximum_length,
    NULL::INTEGER AS character_octet_length,
    CASE types.name WHEN 'int2' THEN 16 WHEN 'int4' THEN 32 WHEN 'int8' THEN 64 WHEN 'float8' THEN 53 END
        AS numeric_precision,
    CASE WHEN types.name LIKE 'int%' OR types.name LIKE 'float%' THEN 2 END AS numeric_precision_radix,
    CASE WHEN types.name LIKE 'int%' THEN 0 END AS numeric_scale,
    CASE WHEN types.name LIKE 'timestamp%' THEN 6 END AS datetime_precision,
    NULL::VARCHAR AS interval_type,
    NULL::VARCHAR AS character_set_name,
    NULL::VARCHAR AS collation_name,
    NULL::VARCHAR AS domain_name,
    'spanverdict' AS udt_catalog,
    'pg_catalog' AS udt_schema,
    types.name AS udt_name,
    'NO' AS is_self_referencing,
    'NO' AS is_identity,
    NULL::VARCHAR AS identity_generation,
    'NEVER' AS is_generated,
    NULL::VARCHAR AS generation_expression,
    'NO' AS is_updatable
FROM attributes
INNER JOIN types ON attributes.type_oid = types.oid;
