-- PostgreSQL's functions on its catalogs and on the session, as far as clients call them.
CREATE MACRO pg_table_is_visible(relation) AS TRUE;
CREATE MACRO pg_type_is_visible(type) AS TRUE;
CREATE MACRO pg_collation_is_visible(collation) AS TRUE;
CREATE MACRO pg_function_is_visible(function) AS TRUE;
CREATE MACRO pg_relation_is_publishable(relation) AS FALSE;
CREATE MACRO pg_is_other_temp_schema(schema) AS FALSE;
CREATE MACRO pg_my_temp_schema() AS 0;
CREATE MACRO pg_is_in_recovery() AS FALSE;
CREATE MACRO pg_backend_pid() AS 0;
CREATE MACRO pg_postmaster_start_time() AS now();
CREATE MACRO pg_encoding_to_char(encoding) AS 'UTF8';
CREATE MACRO pg_client_encoding() AS 'UTF8';
CREATE MACRO pg_get_userbyid(role) AS 'spanverdict';
CREATE MACRO pg_get_expr(expression, relation) AS NULL::VARCHAR, (expression, relation, pretty) AS NULL::VARCHAR;
CREATE MACRO pg_get_constraintdef(oid) AS NULL::VARCHAR, (oid, pretty) AS NULL::VARCHAR;
CREATE MACRO pg_get_indexdef(oid) AS NULL::VARCHAR, (oid, number, pretty) AS NULL::VARCHAR;
CREATE MACRO pg_get_viewdef(relation) AS (SELECT definition FROM relations WHERE oid = relation),
(relation, pretty) AS (SELECT definition FROM relations WHERE oid = relation);
CREATE MACRO pg_get_partkeydef(oid) AS NULL::VARCHAR;
CREATE MACRO pg_get_ruledef(oid) AS NULL::VARCHAR, (oid, pretty) AS NULL::VARCHAR;
CREATE MACRO pg_get_triggerdef(oid) AS NULL::VARCHAR, (oid, pretty) AS NULL::VARCHAR;
CREATE MACRO pg_get_functiondef(oid) AS NULL::VARCHAR;
CREATE MACRO pg_get_function_arguments(oid) AS NULL::VARCHAR;
CREATE MACRO pg_get_function_identity_arguments(oid) AS NULL::VARCHAR;
CREATE MACRO pg_get_function_result(oid) AS NULL::VARCHAR;
CREATE MACRO pg_get_serial_sequence(relation, name) AS NULL::VARCHAR;
CREATE MACRO pg_get_statisticsobjdef_columns(oid) AS NULL::VARCHAR;
CREATE MACRO pg_relation_size(relation) AS NULL::BIGINT, (relation, fork) AS NULL::BIGINT;
CREATE MACRO pg_table_size(relation) AS NULL::BIGINT;
CREATE MACRO pg_indexes_size(relation) AS NULL::BIGINT;
CREATE MACRO pg_total_relation_size(relation) AS NULL::BIGINT;
CREATE MACRO pg_database_size(database) AS NULL::BIGINT;
CREATE MACRO pg_tablespace_location(oid) AS '';
CREATE MACRO pg_size_pretty(size) AS size::VARCHAR;
CREATE MACRO obj_description(oid) AS NULL::VARCHAR, (oid, catalog) AS NULL::VARCHAR;
CREATE MACRO shobj_description(oid, catalog) AS NULL::VARCHAR;
CREATE MACRO col_description(relation, number) AS NULL::VARCHAR;
CREATE MACRO inet_server_addr() AS NULL::VARCHAR;
CREATE MACRO inet_server_port() AS NULL::INTEGER;
CREATE MACRO inet_client_addr() AS NULL::VARCHAR;
CREATE MACRO set_config(name, value, local) AS value;
CREATE MACRO current_schemas(implicit) AS if(implicit, ['pg_catalog', 'main'], ['main']);
CREATE MACRO quote_ident(name) AS if(
    regexp_full_match(name, '[a-z_][a-z0-9_$]*'), name, '"' || replace(name, '"', '""') || '"'
);
CREATE MACRO has_schema_privilege(schema, privilege) AS lower(privilege) LIKE 'usage%',
(role, schema, privilege) AS lower(privilege) LIKE 'usage%';
CREATE MACRO has_database_privilege(database, privilege) AS lower(privilege) LIKE 'connect%',
(role, database, privilege) AS lower(privilege) LIKE 'connect%';
CREATE MACRO has_table_privilege(relation, privilege) AS contains(lower(privilege), 'select'),
(role, relation, privilege) AS contains(lower(privilege), 'select');
CREATE MACRO has_any_column_privilege(relation, privilege) AS contains(lower(privilege), 'select'),
(role, relation, privilege) AS contains(lower(privilege), 'select');
CREATE MACRO has_column_privilege(relation, name, privilege) AS contains(lower(privilege), 'select'),
(role, relation, name, privilege) AS contains(lower(privilege), 'select');
CREATE MACRO has_function_privilege(function, privilege) AS TRUE;
CREATE MACRO row_security_active(relation) AS FALSE;
CREATE MACRO format_type(type, modifier) AS (SELECT full_name FROM types WHERE oid = type);
CREATE MACRO array_lower(given, dimension) AS if(len(given) > 0, 1, NULL);
CREATE MACRO array_upper(given, dimension) AS nullif(len(given), 0);
CREATE MACRO _pg_expandarray(given) AS {'x': given[1], 'n': 1};
CREATE MACRO named_relation(name) AS (
    SELECT oid FROM catalog.pg_class WHERE relname = list_last(string_split(replace(name, '"', ''), '.'))
);
CREATE MACRO to_regclass(name) AS named_relation(name);
CREATE MACRO name_of_relation(relation) AS (SELECT relname FROM catalog.pg_class WHERE oid::VARCHAR = relation::VARCHAR);
CREATE MACRO name_of_schema(schema) AS (SELECT nspname FROM catalog.pg_namespace WHERE oid = schema);
CREATE MACRO named_schema(name) AS (SELECT oid FROM catalog.pg_namespace WHERE nspname = replace(name, '"', ''));
CREATE MACRO named_type(asked) AS (
    SELECT oid FROM types WHERE asked IN (name, full_name) ORDER BY name = asked DESC LIMIT 1
);
CREATE MACRO to_regtype(asked) AS named_type(asked);
CREATE MACRO relation_of(given) AS coalesce(try_cast(given AS UINTEGER), named_relation(given::VARCHAR));
CREATE MACRO pg_stat_get_numscans(relation) AS NULL::BIGINT;
CREATE MACRO pg_get_keywords() AS TABLE
SELECT keyword_name AS word, keyword_category[1] AS catcode, keyword_category AS catdesc FROM duckdb_keywords();
CREATE MACRO parse_ident(name) AS string_split(replace(name, '"', ''), '.');
