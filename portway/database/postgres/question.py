"""The statement that asks PostgreSQL what is there. Pure.

One statement asks for everything, because each takes a round trip. Its parts are
SELECTs that the last one puts together as JSON.
"""

from portway.database.postgres.names import literal
from portway.database.postgres.owners import role_columns
from portway.database.state import RECORD, WantedDatabase

VERSION = "SELECT pg_catalog.current_setting('server_version_num')::int"
"""Which statement can be asked depends on it."""


def question(wanted: WantedDatabase, version: int) -> str:
    """One statement that answers with everything about the database, as JSON."""
    return _QUESTION.format(
        user=literal(wanted.user),
        second=literal(wanted.second),
        schema=literal(wanted.schema),
        record=literal(f"{RECORD}.sql_files"),
        acls=_ACLS + (_PARAMETERS if version >= 150000 else ""),
        roles=role_columns(version),
        administered=_ADMINISTERED_16 if version >= 160000 else _ADMINISTERED,
        givers="array_agg(pg_catalog.pg_get_userbyid(grantor))"
        if version >= 160000
        else "ARRAY[]::name[]",
        version=version,
    )


_ADMINISTERED = """
    me.rolsuper OR (me.rolcreaterole
        AND NOT (us.rolsuper OR us.rolreplication OR us.rolbypassrls))"""
_ADMINISTERED_16 = """
    me.rolsuper OR (me.rolcreaterole AND NOT us.rolsuper
        AND pg_catalog.pg_has_role(us.oid, 'MEMBER WITH ADMIN OPTION')
        AND (me.rolcreatedb OR NOT us.rolcreatedb)
        AND (me.rolreplication OR NOT us.rolreplication)
        AND (me.rolbypassrls OR NOT us.rolbypassrls))"""

_ACLS = """
    SELECT 'DATABASE' AS kind, pg_catalog.json_build_array(datname) AS name,
        coalesce(datacl, pg_catalog.acldefault('d', datdba)) AS acl, datdba AS owner,
        NULL::name AS namespace
    FROM pg_catalog.pg_database
    UNION ALL
    SELECT 'SCHEMA', pg_catalog.json_build_array(nspname),
        coalesce(nspacl, pg_catalog.acldefault('n', nspowner)), nspowner, nspname
    FROM spaces
    UNION ALL
    SELECT CASE relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END,
        pg_catalog.json_build_array(nspname, relname), relacl, relowner, nspname
    FROM pg_catalog.pg_class JOIN spaces ON spaces.oid = relnamespace
    WHERE relacl IS NOT NULL
    UNION ALL
    SELECT 'COLUMN', pg_catalog.json_build_array(nspname, relname, attname), attacl,
        relowner, nspname
    FROM pg_catalog.pg_attribute JOIN pg_catalog.pg_class c ON c.oid = attrelid
    JOIN spaces ON spaces.oid = relnamespace
    WHERE attacl IS NOT NULL AND NOT attisdropped
    UNION ALL
    SELECT 'ROUTINE', pg_catalog.json_build_array(nspname,
            pg_catalog.format('%I(%s)', proname,
                pg_catalog.pg_get_function_identity_arguments(p.oid))),
        proacl, proowner, nspname
    FROM pg_catalog.pg_proc p JOIN spaces ON spaces.oid = pronamespace
    WHERE proacl IS NOT NULL
    UNION ALL
    SELECT 'TYPE', pg_catalog.json_build_array(nspname, typname), typacl, typowner,
        nspname
    FROM pg_catalog.pg_type JOIN spaces ON spaces.oid = typnamespace
    WHERE typacl IS NOT NULL
    UNION ALL
    SELECT 'LANGUAGE', pg_catalog.json_build_array(lanname), lanacl, lanowner, NULL
    FROM pg_catalog.pg_language
    UNION ALL
    SELECT 'FOREIGN_DATA_WRAPPER', pg_catalog.json_build_array(fdwname), fdwacl,
        fdwowner, NULL
    FROM pg_catalog.pg_foreign_data_wrapper
    UNION ALL
    SELECT 'FOREIGN_SERVER', pg_catalog.json_build_array(srvname), srvacl, srvowner,
        NULL
    FROM pg_catalog.pg_foreign_server
    UNION ALL
    SELECT 'LARGE_OBJECT', pg_catalog.json_build_array(oid::text), lomacl, lomowner,
        NULL
    FROM pg_catalog.pg_largeobject_metadata
    WHERE oid IN (SELECT objid FROM ours
        WHERE classid = 'pg_catalog.pg_largeobject'::pg_catalog.regclass)
    UNION ALL
    SELECT 'TABLESPACE', pg_catalog.json_build_array(spcname), spcacl, spcowner, NULL
    FROM pg_catalog.pg_tablespace
    UNION ALL
    SELECT CASE defaclobjtype WHEN 'r' THEN 'FUTURE_TABLES'
            WHEN 'S' THEN 'FUTURE_SEQUENCES' WHEN 'f' THEN 'FUTURE_ROUTINES'
            WHEN 'T' THEN 'FUTURE_TYPES' WHEN 'n' THEN 'FUTURE_SCHEMAS'
            WHEN 'L' THEN 'FUTURE_LARGE_OBJECTS' END,
        CASE WHEN nspname IS NULL THEN '[]' ELSE pg_catalog.json_build_array(nspname)
            END,
        defaclacl, defaclrole, nspname
    FROM pg_catalog.pg_default_acl LEFT JOIN spaces ON spaces.oid = defaclnamespace
"""
_PARAMETERS = """
    UNION ALL
    SELECT 'PARAMETER', pg_catalog.array_to_json(pg_catalog.string_to_array(parname,
        '.')), paracl, 10, NULL
    FROM pg_catalog.pg_parameter_acl
"""

_QUESTION = """
WITH us AS (SELECT * FROM pg_catalog.pg_roles WHERE rolname IN ({user}, {second})),
me AS (SELECT * FROM pg_catalog.pg_roles WHERE rolname = current_user),
here AS (SELECT * FROM pg_catalog.pg_database
    WHERE datname = pg_catalog.current_database()),
settings AS (
    SELECT setrole, pg_catalog.split_part(setting, '=', 1) AS name,
        pg_catalog.substr(setting, pg_catalog.strpos(setting, '=') + 1) AS value
    FROM pg_catalog.pg_db_role_setting, LATERAL pg_catalog.unnest(setconfig) AS setting
    WHERE setdatabase = (SELECT oid FROM here)
),
spaces AS (
    -- pg_database_owner stands for whoever that is.
    SELECT n.oid, nspname, nspacl,
        CASE WHEN pg_catalog.pg_get_userbyid(nspowner) = 'pg_database_owner'
            THEN datdba ELSE nspowner END AS nspowner
    FROM pg_catalog.pg_namespace n, here
    WHERE nspname !~ '^pg_(temp|toast)'
),
ours AS (
    SELECT classid, objid, dbid, deptype, rolname
    FROM pg_catalog.pg_shdepend JOIN us ON us.oid = refobjid
    WHERE refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass
),
acls AS ({acls}),
things AS (
    SELECT acls.*, CASE
        WHEN pg_catalog.pg_has_role(owner, 'USAGE') THEN ''
        WHEN EXISTS (SELECT FROM pg_catalog.aclexplode(acl) AS held
            WHERE is_grantable AND held.grantee <> 0
                AND pg_catalog.pg_has_role(held.grantee, 'USAGE')) THEN ''
        ELSE pg_catalog.pg_get_userbyid(owner) END AS other
    FROM acls
),
granted AS (
    SELECT kind, name, namespace, other, privilege_type AS right,
        is_grantable AS grantable, grantee,
        CASE WHEN giver IN (current_user, CASE WHEN kind LIKE 'FUTURE%' THEN ''
            ELSE pg_catalog.pg_get_userbyid(owner) END) THEN '' ELSE giver END AS by
    FROM things, LATERAL pg_catalog.aclexplode(acl),
        LATERAL pg_catalog.pg_get_userbyid(
            CASE WHEN kind LIKE 'FUTURE%' THEN owner ELSE grantor END) AS giver
    WHERE grantee = 0
        OR grantee IN (SELECT oid FROM us) AND owner NOT IN (SELECT oid FROM us)
),
relations AS (
    SELECT relname, relowner, CASE relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END
            AS kind,
        CASE WHEN pg_catalog.pg_has_role(relowner, 'USAGE') THEN ''
        WHEN EXISTS (SELECT FROM pg_catalog.aclexplode(relacl) AS held
            WHERE is_grantable AND held.grantee <> 0
                AND pg_catalog.pg_has_role(held.grantee, 'USAGE')) THEN ''
        ELSE pg_catalog.pg_get_userbyid(relowner) END AS other
    FROM pg_catalog.pg_class JOIN spaces ON spaces.oid = relnamespace
    WHERE nspname = {schema} AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
        AND relowner NOT IN (SELECT oid FROM us)
),
members AS (
    SELECT member, pg_catalog.pg_get_userbyid(roleid) AS role, {givers} AS givers
    FROM pg_catalog.pg_auth_members WHERE member IN (SELECT oid FROM us)
    GROUP BY member, roleid
),
concerned AS (
    SELECT pg_catalog.pg_get_userbyid(nspowner) AS name FROM spaces
    UNION SELECT other FROM things WHERE kind = 'DATABASE'
    UNION SELECT pg_catalog.pg_get_userbyid(datdba) FROM here
    UNION SELECT other FROM relations
    UNION SELECT other FROM granted
    UNION SELECT by FROM granted
    UNION SELECT pg_catalog.unnest(givers) FROM members
    UNION SELECT rolname FROM us
)
SELECT pg_catalog.json_build_object(
    'login', current_user,
    'database', pg_catalog.current_database(),
    'version', {version},
    'password_encryption', pg_catalog.current_setting('password_encryption'),
    'database_owner', (SELECT CASE
        WHEN pg_catalog.has_database_privilege(oid, 'CREATE') THEN ''
        ELSE pg_catalog.pg_get_userbyid(datdba) END FROM here),
    'schema_owner', (SELECT pg_catalog.pg_get_userbyid(nspowner)
        FROM spaces WHERE nspname = {schema}),
    'users', (SELECT coalesce(pg_catalog.json_agg(u), '[]') FROM (
        SELECT us.rolname AS name,
            us.rolcanlogin AND coalesce(us.rolvaliduntil > pg_catalog.now(), true)
                AS may_log_in,
            coalesce(us.rolvaliduntil < 'infinity', false) AS expires,
            ARRAY(SELECT power FROM (VALUES ('SUPERUSER', us.rolsuper),
                ('CREATEROLE', us.rolcreaterole), ('CREATEDB', us.rolcreatedb),
                ('REPLICATION', us.rolreplication), ('BYPASSRLS', us.rolbypassrls)
                ) AS p (power, has) WHERE has) AS powers,
            {administered} AS administered,
            us.oid = (SELECT datdba FROM here) AS owns_database,
            (SELECT coalesce(pg_catalog.json_object_agg(role, givers), '{{}}')
                FROM members WHERE member = us.oid) AS roles,
            (SELECT value FROM settings WHERE setrole = us.oid
                AND settings.name = 'search_path') AS search_path,
            (SELECT value FROM settings WHERE setrole = us.oid
                AND settings.name = 'role') AS acts_as,
            ARRAY(SELECT coalesce(pg_catalog.host(client_addr), '')
                FROM pg_catalog.pg_stat_activity
                WHERE usesysid = us.oid ORDER BY 1) AS sessions,
            (SELECT coalesce(pg_catalog.json_agg(g), '[]') FROM granted g
                WHERE grantee = us.oid) AS rights
        FROM us, me) u),
    'public', (SELECT coalesce(pg_catalog.json_agg(g), '[]') FROM granted g
        WHERE grantee = 0 AND kind IN ('DATABASE', 'SCHEMA')),
    'things', (SELECT coalesce(pg_catalog.json_agg(t), '[]')
        FROM (SELECT kind, name, other FROM things
            WHERE kind IN ('DATABASE', 'SCHEMA') AND other <> '') t),
    'closed', (SELECT coalesce(pg_catalog.json_object_agg(nspname,
            pg_catalog.pg_get_userbyid(nspowner)), '{{}}')
        FROM spaces WHERE NOT pg_catalog.has_schema_privilege(oid, 'USAGE')),
    'owned', (SELECT coalesce(pg_catalog.json_agg(o), '[]') FROM (
        SELECT rolname AS "user", type, identity
        FROM ours, LATERAL pg_catalog.pg_identify_object(classid, objid, 0)
        WHERE deptype = 'o' AND dbid IN (0, (SELECT oid FROM here))
            AND type NOT IN ('large object', 'default acl', 'user mapping')
            AND coalesce(schema, CASE type WHEN 'schema' THEN name ELSE '' END)
                !~ '^pg_(temp|toast)'
            AND {schema} <> coalesce(schema,
                CASE type WHEN 'schema' THEN name ELSE '' END)
            AND NOT (type = 'database' AND name = pg_catalog.current_database())
        ORDER BY 1, 2, 3) o),
    'elsewhere', (SELECT coalesce(pg_catalog.json_agg(e), '[]') FROM (
        SELECT DISTINCT rolname AS "user", datname AS database
        FROM ours JOIN pg_catalog.pg_database d ON d.oid = dbid
        WHERE dbid <> (SELECT oid FROM here) ORDER BY 1, 2) e),
    'of_everybody', (SELECT coalesce(pg_catalog.json_agg(p), '[]') FROM (
        SELECT kind, name, "right"
        FROM granted
        WHERE grantee = 0 AND namespace NOT IN ({schema}, 'information_schema')
            AND namespace !~ '^pg_' AND kind IN ('TABLE', 'COLUMN')
            AND pg_catalog.has_schema_privilege('public', namespace, 'USAGE')
            AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend
                WHERE classid = 'pg_catalog.pg_class'::pg_catalog.regclass
                    AND deptype = 'e' AND objid = pg_catalog.to_regclass(
                        pg_catalog.format('%I.%I', namespace, name ->> 1)))
        UNION ALL
        SELECT kind, name, 'USAGE' FROM granted
        WHERE grantee = 0 AND kind = 'FOREIGN_SERVER' AND "right" = 'USAGE'
        ) p),
    'relations', (SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_object(
            'name', pg_catalog.json_build_array({schema}, relname), 'kind', kind,
            'other', other)), '[]')
        FROM relations),
    'roles', (SELECT coalesce(pg_catalog.json_agg(other), '[]') FROM (
        SELECT {roles}
        FROM pg_catalog.pg_roles AS r, me
        WHERE r.oid <> me.oid AND r.rolname IN (SELECT name FROM concerned)) other),
    'record', pg_catalog.to_regclass({record}) IS NOT NULL
)
"""
