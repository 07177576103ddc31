-- Catalogs of what a store has none of: keys, indexes, functions, triggers and the like.

CREATE TABLE catalog.pg_index (
    indexrelid BIGINT, indrelid BIGINT, indnatts INTEGER, indnkeyatts INTEGER, indisunique BOOLEAN,
    indnullsnotdistinct BOOLEAN, indisprimary BOOLEAN, indisexclusion BOOLEAN, indimmediate BOOLEAN,
    indisclustered BOOLEAN, indisvalid BOOLEAN, indcheckxmin BOOLEAN, indisready BOOLEAN, indislive BOOLEAN,
    indisreplident BOOLEAN, indkey INTEGER[], indcollation BIGINT[], indclass BIGINT[], indoption INTEGER[],
    indexprs VARCHAR, indpred VARCHAR
);
CREATE TABLE catalog.pg_constraint (
    oid BIGINT, conname VARCHAR, connamespace BIGINT, contype VARCHAR, condeferrable BOOLEAN, condeferred BOOLEAN,
    convalidated BOOLEAN, conrelid BIGINT, contypid BIGINT, conindid BIGINT, conparentid BIGINT, confrelid BIGINT,
    confupdtype VARCHAR, confdeltype VARCHAR, confmatchtype VARCHAR, conislocal BOOLEAN, coninhcount INTEGER,
    connoinherit BOOLEAN, conkey INTEGER[], confkey INTEGER[], conpfeqop BIGINT[], conppeqop BIGINT[],
    conffeqop BIGINT[], confdelsetcols INTEGER[], conexclop BIGINT[], conbin VARCHAR
);
CREATE TABLE catalog.pg_attrdef (
    oid BIGINT, adrelid BIGINT, adnum INTEGER, adbin VARCHAR
);
CREATE TABLE catalog.pg_description (
    objoid BIGINT, classoid BIGINT, objsubid INTEGER, description VARCHAR
);
CREATE TABLE catalog.pg_shdescription (
    objoid BIGINT, classoid BIGINT, description VARCHAR
);
CREATE TABLE catalog.pg_inherits (
    inhrelid BIGINT, inhparent BIGINT, inhseqno INTEGER, inhdetachpending BOOLEAN
);
CREATE TABLE catalog.pg_partitioned_table (
    partrelid BIGINT, partstrat VARCHAR, partnatts INTEGER, partdefid BIGINT, partattrs INTEGER[], partclass BIGINT[],
    partcollation BIGINT[], partexprs VARCHAR
);
CREATE TABLE catalog.pg_proc (
    oid BIGINT, proname VARCHAR, pronamespace BIGINT, proowner BIGINT, prolang BIGINT, procost REAL, prorows REAL,
    provariadic BIGINT, prosupport VARCHAR, prokind VARCHAR, prosecdef BOOLEAN, proleakproof BOOLEAN,
    proisstrict BOOLEAN, proretset BOOLEAN, provolatile VARCHAR, proparallel VARCHAR, pronargs INTEGER,
    pronargdefaults INTEGER, prorettype BIGINT, proargtypes BIGINT[], proallargtypes BIGINT[], proargmodes VARCHAR[],
    proargnames VARCHAR[], proargdefaults VARCHAR, protrftypes BIGINT[], prosrc VARCHAR, probin VARCHAR,
    prosqlbody VARCHAR, proconfig VARCHAR[], proacl VARCHAR[]
);
CREATE TABLE catalog.pg_aggregate (
    aggfnoid BIGINT, aggkind VARCHAR, aggnumdirectargs INTEGER
);
CREATE TABLE catalog.pg_operator (
    oid BIGINT, oprname VARCHAR, oprnamespace BIGINT, oprowner BIGINT, oprkind VARCHAR, oprleft BIGINT,
    oprright BIGINT, oprresult BIGINT
);
CREATE TABLE catalog.pg_opclass (
    oid BIGINT, opcmethod BIGINT, opcname VARCHAR, opcnamespace BIGINT, opcowner BIGINT, opcfamily BIGINT,
    opcintype BIGINT, opcdefault BOOLEAN, opckeytype BIGINT
);
CREATE TABLE catalog.pg_enum (
    oid BIGINT, enumtypid BIGINT, enumsortorder REAL, enumlabel VARCHAR
);
CREATE TABLE catalog.pg_range (
    rngtypid BIGINT, rngsubtype BIGINT, rngmultitypid BIGINT, rngcollation BIGINT, rngsubopc BIGINT
);
CREATE TABLE catalog.pg_trigger (
    oid BIGINT, tgrelid BIGINT, tgparentid BIGINT, tgname VARCHAR, tgfoid BIGINT, tgtype INTEGER, tgenabled VARCHAR,
    tgisinternal BOOLEAN, tgconstrrelid BIGINT, tgconstrindid BIGINT, tgconstraint BIGINT, tgdeferrable BOOLEAN,
    tginitdeferred BOOLEAN, tgnargs INTEGER, tgqual VARCHAR
);
CREATE TABLE catalog.pg_rewrite (
    oid BIGINT, rulename VARCHAR, ev_class BIGINT, ev_type VARCHAR, ev_enabled VARCHAR, is_instead BOOLEAN,
    ev_qual VARCHAR, ev_action VARCHAR
);
CREATE TABLE catalog.pg_depend (
    classid BIGINT, objid BIGINT, objsubid INTEGER, refclassid BIGINT, refobjid BIGINT, refobjsubid INTEGER,
    deptype VARCHAR
);
CREATE TABLE catalog.pg_policy (
    oid BIGINT, polname VARCHAR, polrelid BIGINT, polcmd VARCHAR, polpermissive BOOLEAN, polroles BIGINT[],
    polqual VARCHAR, polwithcheck VARCHAR
);
CREATE TABLE catalog.pg_publication (
    oid BIGINT, pubname VARCHAR, pubowner BIGINT, puballtables BOOLEAN
);
CREATE TABLE catalog.pg_publication_rel (
    oid BIGINT, prpubid BIGINT, prrelid BIGINT, prqual VARCHAR, prattrs INTEGER[]
);
CREATE TABLE catalog.pg_publication_namespace (
    oid BIGINT, pnpubid BIGINT, pnnspid BIGINT
);
CREATE TABLE catalog.pg_statistic_ext (
    oid BIGINT, stxrelid BIGINT, stxname VARCHAR, stxnamespace BIGINT, stxowner BIGINT, stxstattarget INTEGER,
    stxkeys INTEGER[], stxkind VARCHAR[], stxexprs VARCHAR
);
CREATE TABLE catalog.pg_sequence (
    seqrelid BIGINT, seqtypid BIGINT, seqstart BIGINT, seqincrement BIGINT, seqmax BIGINT, seqmin BIGINT,
    seqcache BIGINT, seqcycle BOOLEAN
);
CREATE TABLE catalog.pg_sequences (
    schemaname VARCHAR, sequencename VARCHAR, sequenceowner VARCHAR, data_type VARCHAR, start_value BIGINT,
    min_value BIGINT, max_value BIGINT, increment_by BIGINT, cycle BOOLEAN, cache_size BIGINT, last_value BIGINT
);
CREATE TABLE catalog.pg_matviews (
    schemaname VARCHAR, matviewname VARCHAR, matviewowner VARCHAR, tablespace VARCHAR, hasindexes BOOLEAN,
    ispopulated BOOLEAN, definition VARCHAR
);
CREATE TABLE catalog.pg_indexes (
    schemaname VARCHAR, tablename VARCHAR, indexname VARCHAR, tablespace VARCHAR, indexdef VARCHAR
);
CREATE TABLE catalog.pg_extension (
    oid BIGINT, extname VARCHAR, extowner BIGINT, extnamespace BIGINT, extrelocatable BOOLEAN, extversion VARCHAR,
    extconfig BIGINT[], extcondition VARCHAR[]
);
CREATE TABLE catalog.pg_foreign_table (
    ftrelid BIGINT, ftserver BIGINT, ftoptions VARCHAR[]
);
CREATE TABLE catalog.pg_foreign_server (
    oid BIGINT, srvname VARCHAR, srvowner BIGINT, srvfdw BIGINT, srvtype VARCHAR, srvversion VARCHAR,
    srvacl VARCHAR[], srvoptions VARCHAR[]
);
CREATE TABLE catalog.pg_foreign_data_wrapper (
    oid BIGINT, fdwname VARCHAR, fdwowner BIGINT, fdwhandler BIGINT, fdwvalidator BIGINT, fdwacl VARCHAR[],
    fdwoptions VARCHAR[]
);
CREATE TABLE catalog.pg_language (
    oid BIGINT, lanname VARCHAR, lanowner BIGINT, lanispl BOOLEAN, lanpltrusted BOOLEAN, lanplcallfoid BIGINT,
    laninline BIGINT, lanvalidator BIGINT, lanacl VARCHAR[]
);
CREATE TABLE catalog.pg_event_trigger (
    oid BIGINT, evtname VARCHAR, evtevent VARCHAR, evtowner BIGINT, evtfoid BIGINT, evtenabled VARCHAR,
    evttags VARCHAR[]
);
CREATE TABLE catalog.pg_auth_members (
    roleid BIGINT, member BIGINT, grantor BIGINT, admin_option BOOLEAN
);
CREATE TABLE catalog.pg_cast (
    oid BIGINT, castsource BIGINT, casttarget BIGINT, castfunc BIGINT, castcontext VARCHAR, castmethod VARCHAR
);
CREATE TABLE catalog.pg_stat_activity (
    datid BIGINT, datname VARCHAR, pid INTEGER, usesysid BIGINT, usename VARCHAR, application_name VARCHAR,
    client_addr VARCHAR, backend_start TIMESTAMP, state VARCHAR, query VARCHAR, backend_type VARCHAR
);
CREATE TABLE catalog.pg_stat_user_tables (
    relid BIGINT, schemaname VARCHAR, relname VARCHAR, seq_scan BIGINT, n_live_tup BIGINT, n_dead_tup BIGINT
);
CREATE TABLE catalog.pg_stat_all_tables (
    relid BIGINT, schemaname VARCHAR, relname VARCHAR, seq_scan BIGINT, n_live_tup BIGINT, n_dead_tup BIGINT
);
CREATE TABLE catalog.pg_locks (
    locktype VARCHAR, database BIGINT, relation BIGINT, pid INTEGER, mode VARCHAR, granted BOOLEAN
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
    table_catalog VARCHAR, table_schema VARCHAR, table_name VARCHAR, column_name VARCHAR, constraint_catalog VARCHAR,
    constraint_schema VARCHAR, constraint_name VARCHAR
);
CREATE TABLE information.referential_constraints (
    constraint_catalog VARCHAR, constraint_schema VARCHAR, constraint_name VARCHAR, unique_constraint_catalog VARCHAR,
    unique_constraint_schema VARCHAR, unique_constraint_name VARCHAR, match_option VARCHAR, update_rule VARCHAR,
    delete_rule VARCHAR
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
