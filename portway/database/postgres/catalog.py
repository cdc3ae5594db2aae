"""How PostgreSQL is asked what is there, and what its answers mean. Pure.

One statement asks for everything, because each takes a round trip.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from portway.database.postgres.dialect import GRANT_OPTION, literal
from portway.database.state import (
    RECORD,
    AppliedFile,
    FoundDatabase,
    FoundUser,
    Kind,
    Rights,
    Scope,
    WantedDatabase,
)

MAINTENANCE_DATABASE = "postgres"
"""The database that every server has."""
POWERS = ("SUPERUSER", "CREATEROLE", "CREATEDB", "REPLICATION", "BYPASSRLS")


def question(wanted: WantedDatabase) -> str:
    """One statement that answers with everything about the database, as JSON."""
    return _QUESTION.format(
        user=literal(wanted.user),
        second=literal(wanted.second),
        schema=literal(wanted.schema),
        record=literal(f"{RECORD}.sql_files"),
    )


def found_database(
    wanted: WantedDatabase,
    answer: Mapping[str, Any],
    applied: Mapping[str, AppliedFile] | None,
) -> FoundDatabase:
    """What the answers say, asked in whichever database could be reached."""
    exists = answer["database"] == wanted.database
    users = {row["name"]: _found_user(row) for row in answer["users"]}
    if exists:
        return FoundDatabase(
            login=answer["login"],
            exists=True,
            schema_owner=answer["schema_owner"],
            users=users,
            public=_rights(answer["public"]),
            relations=frozenset(
                Scope(Kind[row["kind"]], (wanted.schema, row["name"]))
                for row in answer["relations"]
            ),
            applied=applied,
        )
    # What is inside another database says nothing about this one.
    return FoundDatabase(
        login=answer["login"],
        users={name: _as_seen_from_outside(user) for name, user in users.items()},
        public=_public_rights_of_a_new_database(wanted, answer["version"]),
    )


def _rights(rows: Iterable[Mapping[str, Any]]) -> Rights:
    future = {"r": Kind.FUTURE_TABLES, "S": Kind.FUTURE_SEQUENCES}
    rights: dict[Scope, frozenset[str]] = {}
    for row in rows:
        kind = future.get(row["kind"]) or Kind[row["kind"]]
        scope = Scope(kind, tuple(row["name"]))
        granted = {row["right"]}
        if row["grantable"]:
            granted.add(GRANT_OPTION + row["right"])
        rights[scope] = rights.get(scope, frozenset()) | granted
    return rights


def _public_rights_of_a_new_database(wanted: WantedDatabase, version: int) -> Rights:
    rights = {
        Scope(Kind.DATABASE, (wanted.database,)): frozenset({"CONNECT", "TEMPORARY"})
    }
    if version < 150000:
        rights[Scope(Kind.SCHEMA, ("public",))] = frozenset({"CREATE"})
    return rights


def _found_user(row: Mapping[str, Any]) -> FoundUser:
    path = row["search_path"] or ""
    return FoundUser(
        powers=tuple(power for power in POWERS if power in row["powers"]),
        roles=tuple(sorted(row["roles"])),
        may_log_in=row["may_log_in"],
        expires=row["expires"],
        search_path=tuple(p.strip().strip('"') for p in path.split(",") if p),
        acts_as=row["acts_as"] or "",
        sessions=row["sessions"],
        rights=_rights(row["rights"]),
    )


def _as_seen_from_outside(user: FoundUser) -> FoundUser:
    rights = {s: r for s, r in user.rights.items() if s.kind is Kind.DATABASE}
    return replace(user, search_path=(), acts_as="", rights=rights)


_QUESTION = """
WITH us AS (SELECT * FROM pg_catalog.pg_roles WHERE rolname IN ({user}, {second})),
settings AS (
    SELECT setrole, pg_catalog.split_part(setting, '=', 1) AS name,
        pg_catalog.substr(setting, pg_catalog.strpos(setting, '=') + 1) AS value
    FROM pg_catalog.pg_db_role_setting, LATERAL pg_catalog.unnest(setconfig) AS setting
    WHERE setdatabase = (SELECT oid FROM pg_catalog.pg_database
        WHERE datname = pg_catalog.current_database())
),
acls AS (
    SELECT 'DATABASE' AS kind, pg_catalog.json_build_array(datname) AS name,
        coalesce(datacl, pg_catalog.acldefault('d', datdba)) AS acl,
        datname = pg_catalog.current_database() AS mine
    FROM pg_catalog.pg_database
    UNION ALL
    SELECT 'SCHEMA', pg_catalog.json_build_array(nspname),
        coalesce(nspacl, pg_catalog.acldefault('n', nspowner)),
        pg_catalog.pg_has_role(nspowner, 'USAGE')
    FROM pg_catalog.pg_namespace
    WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
        AND nspowner NOT IN (SELECT oid FROM us)
    UNION ALL
    SELECT CASE relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END,
        pg_catalog.json_build_array(nspname, relname), relacl, false
    FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace
    WHERE relacl IS NOT NULL AND nspname !~ '^pg_' AND nspname <> 'information_schema'
        AND relowner NOT IN (SELECT oid FROM us)
    UNION ALL
    SELECT defaclobjtype::text, pg_catalog.json_build_array(nspname), defaclacl, false
    FROM pg_catalog.pg_default_acl
    JOIN pg_catalog.pg_namespace n ON n.oid = defaclnamespace
    JOIN pg_catalog.pg_roles r ON r.oid = defaclrole
    WHERE rolname = current_user AND defaclobjtype IN ('r', 'S')
),
granted AS (
    SELECT kind, name, privilege_type AS right, is_grantable AS grantable, mine, grantee
    FROM acls, LATERAL pg_catalog.aclexplode(acl)
)
SELECT pg_catalog.json_build_object(
    'login', current_user,
    'database', pg_catalog.current_database(),
    'version', pg_catalog.current_setting('server_version_num')::int,
    'schema_owner', (SELECT pg_catalog.pg_get_userbyid(nspowner)
        FROM pg_catalog.pg_namespace WHERE nspname = {schema}),
    'users', (SELECT coalesce(pg_catalog.json_agg(u), '[]') FROM (
        SELECT rolname AS name,
            rolcanlogin AND coalesce(rolvaliduntil > pg_catalog.now(), true)
                AS may_log_in,
            coalesce(rolvaliduntil < 'infinity', false) AS expires,
            ARRAY(SELECT power FROM (VALUES ('SUPERUSER', rolsuper),
                ('CREATEROLE', rolcreaterole), ('CREATEDB', rolcreatedb),
                ('REPLICATION', rolreplication), ('BYPASSRLS', rolbypassrls)
                ) AS p (power, has) WHERE has) AS powers,
            ARRAY(SELECT DISTINCT pg_catalog.pg_get_userbyid(roleid)
                FROM pg_catalog.pg_auth_members WHERE member = us.oid) AS roles,
            (SELECT value FROM settings WHERE setrole = us.oid
                AND settings.name = 'search_path') AS search_path,
            (SELECT value FROM settings WHERE setrole = us.oid
                AND settings.name = 'role') AS acts_as,
            (SELECT count(*) FROM pg_catalog.pg_stat_activity
                WHERE usesysid = us.oid) AS sessions,
            (SELECT coalesce(pg_catalog.json_agg(g), '[]') FROM granted g
                WHERE grantee = us.oid) AS rights
        FROM us) u),
    'public', (SELECT coalesce(pg_catalog.json_agg(g), '[]') FROM granted g
        WHERE grantee = 0 AND mine AND kind IN ('DATABASE', 'SCHEMA')),
    'relations', (SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_object(
            'name', relname,
            'kind', CASE relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END)), '[]')
        FROM pg_catalog.pg_class
        JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace
        WHERE nspname = {schema} AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
            AND relowner NOT IN (SELECT oid FROM us)),
    'record', pg_catalog.to_regclass({record}) IS NOT NULL
)
"""
