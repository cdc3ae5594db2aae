"""What PostgreSQL's answers mean. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from portway.database.postgres.beyond import beyond
from portway.database.postgres.dialect import GRANT_OPTION
from portway.database.postgres.owners import other_role
from portway.database.postgres.passwords import password_form
from portway.database.state import (
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
OF_THE_SERVER = (Kind.DATABASE, Kind.TABLESPACE, Kind.PARAMETER)
"""What is the same in all of its databases."""


def found_database(
    wanted: WantedDatabase,
    answer: Mapping[str, Any],
    applied: Mapping[str, AppliedFile] | None,
) -> FoundDatabase:
    """What the answers say, asked in whichever database could be reached."""
    exists = answer["database"] == wanted.database
    users = {row["name"]: _found_user(row) for row in answer["users"]}
    roles = {row["name"]: other_role(row) for row in answer["roles"]}
    if exists:
        found = FoundDatabase(
            login=answer["login"],
            exists=True,
            schema_owner=answer["schema_owner"],
            users=users,
            public=_rights(answer["public"]),
            relations=frozenset(map(_scope, answer["relations"])),
            applied=applied,
            password_form=password_form(answer["password_encryption"]),
            database_owner=answer["database_owner"],
            owners=_owners(answer),
            closed=answer["closed"],
            roles=roles,
        )
        return replace(found, beyond=beyond(wanted, found, answer))
    # What is inside another database says nothing about this one.
    return FoundDatabase(
        login=answer["login"],
        users={name: _as_seen_from_outside(user) for name, user in users.items()},
        public=_public_rights_of_a_new_database(wanted, answer["version"]),
        password_form=password_form(answer["password_encryption"]),
        roles=roles,
    )


def _scope(row: Mapping[str, Any]) -> Scope:
    return Scope(Kind[row["kind"]], tuple(row["name"]), row.get("by", ""))


def _rights(rows: Iterable[Mapping[str, Any]]) -> Rights:
    rights: dict[Scope, frozenset[str]] = {}
    for row in rows:
        scope = _scope(row)
        granted = {row["right"]}
        if row["grantable"]:
            granted.add(GRANT_OPTION + row["right"])
        rights[scope] = rights.get(scope, frozenset()) | granted
    return rights


def _owners(answer: Mapping[str, Any]) -> dict[Scope, str]:
    given = [row for user in answer["users"] for row in user["rights"]]
    rows = (*answer["things"], *answer["relations"], *answer["public"], *given)
    return {replace(_scope(row), by=""): row["other"] for row in rows if row["other"]}


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
        role_givers={
            role: tuple(sorted(givers))
            for role, givers in row["roles"].items()
            if givers
        },
        administered=row["administered"],
        owns_database=row["owns_database"],
        may_log_in=row["may_log_in"],
        expires=row["expires"],
        search_path=tuple(p.strip().strip('"') for p in path.split(",") if p),
        acts_as=row["acts_as"] or "",
        sessions=tuple(row["sessions"]),
        rights=_rights(row["rights"]),
    )


def _as_seen_from_outside(user: FoundUser) -> FoundUser:
    rights = {s: r for s, r in user.rights.items() if s.kind in OF_THE_SERVER}
    return replace(user, search_path=(), acts_as="", owns_database=False, rights=rights)
