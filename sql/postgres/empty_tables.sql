-- Catalogs of what a store has none of: keys, indexes, functions, triggers and the like.

CREATE TABLE catalog.pg_index (
    indexrelid UINTEGER, indrelid UINTEGER, indnatts INTEGER, indnkeyatts INTEGER, indisunique BOOLEAN,
    indnullsnotdistinct BOOLEAN, indisprimary BOOLEAN, indisexclusion BOOLEAN, indimmediate BOOLEAN,
    indisclustered BOOLEAN, indisvalid BOOLEAN, indcheckxmin BOOLEAN, indisready BOOLEAN, indislive BOOLEAN,
    indisreplident BOOLEAN, indkey INTEGER[], indcollation UINTEGER[], indclass UINTEGER[],
    indoption INTEGER[], indexprs VARCHAR, indpred VARCHAR
);
CREATE TABLE catalog.pg_constraint (
    oid UINTEGER, conname VARCHAR, connamespace UINTEGER, contype VARCHAR, condeferrable BOOLEAN,
    condeferred BOOLEAN, convalidated BOOLEAN, conrelid UINTEGER, contypid UINTEGER, conindid UINTEGER,
    conparentid UINTEGER, confrelid UINTEGER, confupdtype VARCHAR, confdeltype VARCHAR,
    confmatchtype VARCHAR, conislocal BOOLEAN, coninhcount INTEGER, connoinherit BOOLEAN, conkey INTEGER[],
    confkey INTEGER[], conpfeqop UINTEGER[], conppeqop UINTEGER[], conffeqop UINTEGER[],
    confdelsetcols INTEGER[], conexclop UINTEGER[], conbin VARCHAR
);
CREATE TABLE catalog.pg_attrdef (
    oid UINTEGER, adrelid UINTEGER, adnum INTEGER, adbin VARCHAR
);
CREATE TABLE catalog.pg_description (
    objoid UINTEGER, classoid UINTEGER, objsubid INTEGER, description VARCHAR
);
CREATE TABLE catalog.pg_shdescription (
    objoid UINTEGER, classoid UINTEGER, description VARCHAR
);
CREATE TABLE catalog.pg_inherits (
    inhrelid UINTEGER, inhparent UINTEGER, inhseqno INTEGER, inhdetachpending BOOLEAN
);
CREATE TABLE catalog.pg_partitioned_table (
    partrelid UINTEGER, partstrat VARCHAR, partnatts INTEGER, partdefid UINTEGER, partattrs INTEGER[],
    partclass UINTEGER[], partcollation UINTEGER[], partexprs VARCHAR
);
CREATE TABLE catalog.pg_proc (
    oid UINTEGER, proname VARCHAR, pronamespace UINTEGER, proowner UINTEGER, prolang UINTEGER, procost REAL,
    prorows REAL, provariadic UINTEGER, prosupport VARCHAR, prokind VARCHAR, prosecdef BOOLEAN,
    proleakproof BOOLEAN, proisstrict BOOLEAN, proretset BOOLEAN, provolatile VARCHAR, proparallel VARCHAR,
    pronargs INTEGER, pronargdefaults INTEGER, prorettype UINTEGER, proargtypes UINTEGER[],
    proallargtypes UINTEGER[], proargmodes VARCHAR[], proargnames VARCHAR[], proargdefaults VARCHAR,
    protrftypes UINTEGER[], prosrc VARCHAR, probin VARCHAR, prosqlbody VARCHAR, proconfig VARCHAR[],
    proacl VARCHAR[]
);
CREATE TABLE catalog.pg_aggregate (
    aggfnoid UINTEGER, aggkind VARCHAR, aggnumdirectargs INTEGER
);
CREATE TABLE catalog.pg_operator (
    oid UINTEGER, oprname VARCHAR, oprnamespace UINTEGER, oprowner UINTEGER, oprkind VARCHAR,
    oprleft UINTEGER, oprright UINTEGER, oprresult UINTEGER
);
CREATE TABLE catalog.pg_opclass (
    oid UINTEGER, opcmethod UINTEGER, opcname VARCHAR, opcnamespace UINTEGER, opcowner UINTEGER,
    opcfamily UINTEGER, opcintype UINTEGER, opcdefault BOOLEAN, opckeytype UINTEGER
);
CREATE TABLE catalog.pg_enum (
    oid UINTEGER, enumtypid UINTEGER, enumsortorder REAL, enumlabel VARCHAR
);
CREATE TABLE catalog.pg_range (
    rngtypid UINTEGER, rngsubtype UINTEGER, rngmultitypid UINTEGER, rngcollation UINTEGER,
    rngsubopc UINTEGER
);
CREATE TABLE catalog.pg_trigger (
    oid UINTEGER, tgrelid UINTEGER, tgparentid UINTEGER, tgname VARCHAR, tgfoid UINTEGER, tgtype INTEGER,
    tgenabled VARCHAR, tgisinternal BOOLEAN, tgconstrrelid UINTEGER, tgconstrindid UINTEGER,
    tgconstraint UINTEGER, tgdeferrable BOOLEAN, tginitdeferred BOOLEAN, tgnargs INTEGER, tgqual VARCHAR
);
CREATE TABLE catalog.pg_rewrite (
    oid UINTEGER, rulename VARCHAR, ev_class UINTEGER, ev_type VARCHAR, ev_enabled VARCHAR,
    is_instead BOOLEAN, ev_qual VARCHAR, ev_action VARCHAR
);
CREATE TABLE catalog.pg_depend (
    classid UINTEGER, objid UINTEGER, objsubid INTEGER, refclassid UINTEGER, refobjid UINTEGER,
    refobjsubid INTEGER, deptype VARCHAR
);
CREATE TABLE catalog.pg_policy (
    oid UINTEGER, polname VARCHAR, polrelid UINTEGER, polcmd VARCHAR, polpermissive BOOLEAN,
    polroles UINTEGER[], polqual VARCHAR, polwithcheck VARCHAR
);
CREATE TABLE catalog.pg_publication (
    oid UINTEGER, pubname VARCHAR, pubowner UINTEGER, puballtables BOOLEAN
);
CREATE TABLE catalog.pg_publication_rel (
    oid UINTEGER, prpubid UINTEGER, prrelid UINTEGER, prqual VARCHAR, prattrs INTEGER[]
);
CREATE TABLE catalog.pg_publication_namespace (
    oid UINTEGER, pnpubid UINTEGER, pnnspid UINTEGER
);
CREATE TABLE catalog.pg_statistic_ext (
    oid UINTEGER, stxrelid UINTEGER, stxname VARCHAR, stxnamespace UINTEGER, stxowner UINTEGER,
    stxstattarget INTEGER, stxkeys INTEGER[], stxkind VARCHAR[], stxexprs VARCHAR
);
CREATE TABLE catalog.pg_sequence (
    seqrelid UINTEGER, seqtypid UINTEGER, seqstart UINTEGER, seqincrement UINTEGER, seqmax UINTEGER,
    seqmin UINTEGER, seqcache UINTEGER, seqcycle BOOLEAN
);
CREATE TABLE catalog.pg_sequences (
    schemaname VARCHAR, sequencename VARCHAR, sequenceowner VARCHAR, data_type VARCHAR,
    start_value UINTEGER, min_value UINTEGER, max_value UINTEGER, increment_by UINTEGER, cycle BOOLEAN,
    cache_size UINTEGER, last_value UINTEGER
);
CREATE TABLE catalog.pg_matviews (
    schemaname VARCHAR, matviewname VARCHAR, matviewowner VARCHAR, tablespace VARCHAR, hasindexes BOOLEAN,
    ispopulated BOOLEAN, definition VARCHAR
);
CREATE TABLE catalog.pg_indexes (
    schemaname VARCHAR, tablename VARCHAR, indexname VARCHAR, tablespace VARCHAR, indexdef VARCHAR
);
CREATE TABLE catalog.pg_extension (
    oid UINTEGER, extname VARCHAR, extowner UINTEGER, extnamespace UINTEGER, extrelocatable BOOLEAN,
    extversion VARCHAR, extconfig UINTEGER[], extcondition VARCHAR[]
);
CREATE TABLE catalog.pg_foreign_table (
    ftrelid UINTEGER, ftserver UINTEGER, ftoptions VARCHAR[]
);
CREATE TABLE catalog.pg_foreign_server (
    oid UINTEGER, srvname VARCHAR, srvowner UINTEGER, srvfdw UINTEGER, srvtype VARCHAR, srvversion VARCHAR,
    srvacl VARCHAR[], srvoptions VARCHAR[]
);
CREATE TABLE catalog.pg_foreign_data_wrapper (
    oid UINTEGER, fdwname VARCHAR, fdwowner UINTEGER, fdwhandler UINTEGER, fdwvalidator UINTEGER,
    fdwacl VARCHAR[], fdwoptions VARCHAR[]
);
CREATE TABLE catalog.pg_language (
    oid UINTEGER, lanname VARCHAR, lanowner UINTEGER, lanispl BOOLEAN, lanpltrusted BOOLEAN,
    lanplcallfoid UINTEGER, laninline UINTEGER, lanvalidator UINTEGER, lanacl VARCHAR[]
);
CREATE TABLE catalog.pg_event_trigger (
    oid UINTEGER, evtname VARCHAR, evtevent VARCHAR, evtowner UINTEGER, evtfoid UINTEGER,
    evtenabled VARCHAR, evttags VARCHAR[]
);
CREATE TABLE catalog.pg_auth_members (
    roleid UINTEGER, member UINTEGER, grantor UINTEGER, admin_option BOOLEAN
);
CREATE TABLE catalog.pg_cast (
    oid UINTEGER, castsource UINTEGER, casttarget UINTEGER, castfunc UINTEGER, castcontext VARCHAR,
    castmethod VARCHAR
);
CREATE TABLE catalog.pg_stat_activity (
    datid UINTEGER, datname VARCHAR, pid INTEGER, usesysid UINTEGER, usename VARCHAR,
    application_name VARCHAR, client_addr VARCHAR, backend_start TIMESTAMP, state VARCHAR, query VARCHAR,
    backend_type VARCHAR
);
CREATE TABLE catalog.pg_stat_user_tables (
    relid UINTEGER, schemaname VARCHAR, relname VARCHAR, seq_scan UINTEGER, n_live_tup UINTEGER,
    n_dead_tup UINTEGER
);
CREATE TABLE catalog.pg_stat_all_tables (
    relid UINTEGER, schemaname VARCHAR, relname VARCHAR, seq_scan UINTEGER, n_live_tup UINTEGER,
    n_dead_tup UINTEGER
);
CREATE TABLE catalog.pg_locks (
    locktype VARCHAR, database UINTEGER, relation UINTEGER, pid INTEGER, mode VARCHAR, granted BOOLEAN
);
CREATE TABLE catalog.pg_timezone_names (
    name VARCHAR, abbrev VARCHAR, utc_offset VARCHAR, is_dst BOOLEAN
);
CREATE TABLE information.table_constraints (
    constraint_catalog VARCHAR, constraint_schema VARCHAR, constraint_name VARCHAR, table_catalog VARCHAR,
    table_schema VARCHAR, table_name VARCHAR, constraint_type VARCHAR, is_deferrable VARCHAR,
    initially_deferred VARCHAR, enforced VARCHAR
);
CREATE TABLE information.key_column_usage (
    constraint_catalog VARCHAR, constraint_schema VARCHAR, constraint_name VARCHAR, table_catalog VARCHAR,
    table_schema VARCHAR, table_name VARCHAR, column_name VARCHAR, ordinal_position INTEGER,
    position_in_unique_constraint INTEGER
);
CREATE TABLE information.constraint_column_usage (
    table_catalog VARCHAR, table_schema VARCHAR, table_name VARCHAR, column_name VARCHAR,
    constraint_catalog VARCHAR, constraint_schema VARCHAR, constraint_name VARCHAR
);
CREATE TABLE information.referential_constraints (
    constraint_catalog VARCHAR, constraint_schema VARCHAR, constraint_name VARCHAR,
    unique_constraint_catalog VARCHAR, unique_constraint_schema VARCHAR, unique_constraint_name VARCHAR,
    match_option VARCHAR, update_rule VARCHAR, delete_rule VARCHAR
);
CREATE TABLE information.routines (
    specific_catalog VARCHAR, specific_schema VARCHAR, specific_name VARCHAR, routine_catalog VARCHAR,
    routine_schema VARCHAR, routine_name VARCHAR, routine_type VARCHAR, data_type VARCHAR
);
CREATE TABLE information.sequences (
    sequence_catalog VARCHAR, sequence_schema VARCHAR, sequence_name VARCHAR, data_type VARCHAR
);
CREATE TABLE information.triggers (
    trigger_catalog VARCHAR, trigger_schema VARCHAR, trigger_name VARCHAR, event_manipulation VARCHAR,
    event_object_schema VARCHAR, event_object_table VARCHAR, action_statement VARCHAR, action_timing VARCHAR
);
CREATE TABLE information.table_privileges (
    grantor VARCHAR, grantee VARCHAR, table_catalog VARCHAR, table_schema VARCHAR, table_name VARCHAR,
    privilege_type VARCHAR, is_grantable VARCHAR, with_hierarchy VARCHAR
);
CREATE TABLE information.role_table_grants (
    grantor VARCHAR, grantee VARCHAR, table_catalog VARCHAR, table_schema VARCHAR, table_name VARCHAR,
    privilege_type VARCHAR, is_grantable VARCHAR, with_hierarchy VARCHAR
);
CREATE TABLE information.column_privileges (
    grantor VARCHAR, grantee VARCHAR, table_catalog VARCHAR, table_schema VARCHAR, table_name VARCHAR,
    column_name VARCHAR, privilege_type VARCHAR, is_grantable VARCHAR
);
