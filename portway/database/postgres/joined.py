"""The master user as a member of those who own things in the schema, for one SQL file.

A file may alter what the application or somebody else made, which only owners may.
"""

from dataclasses import dataclass

from portway.database.postgres.names import identifier, literal
from portway.database.postgres.owners import join, leave, other_role, role_columns
from portway.database.postgres.question import VERSION
from portway.database.session import Session
from portway.database.state import OtherRole, WantedDatabase


@dataclass(frozen=True, slots=True)
class Owners:
    """Other roles that own things in the application's schema."""

    session: Session
    about: str
    joinable: tuple[OtherRole, ...]
    strangers: tuple[tuple[OtherRole, str], ...]
    """Those that the master cannot join, each with something that it owns."""

    def join(self) -> None:
        """Make the master a member of all that it can join."""
        for role in self.joinable:
            self.session.run(join(role, act=False), self.about)

    def leave(self) -> None:
        """Undo that."""
        for role in reversed(self.joinable):
            self.session.run(leave(role), self.about)

    def way_out(self) -> str:
        """What helps if a file needs what a stranger owns; empty if there is none."""
        if not self.strangers:
            return ""
        owned = ", ".join(f"{role.name} owns {thing}" for role, thing in self.strangers)
        grants = [
            f"\n  GRANT {identifier(role.name)} TO {identifier(self.login)}"
            for role, _ in self.strangers
        ]
        return (
            f"{owned}; have a role with ADMIN OPTION on it, or a superuser, run:"
            f"{''.join(grants)}\n"
        )

    @property
    def login(self) -> str:
        """The master user."""
        return str(self.session.rows("SELECT current_user::text", self.about)[0][0])


def owners_in(session: Session, wanted: WantedDatabase, about: str) -> Owners:
    """The other owners in the schema."""
    version = session.rows(VERSION, about)[0][0]
    question = _QUESTION.format(
        schema=literal(wanted.schema), roles=role_columns(version)
    )
    found = [(other_role(row), thing) for row, thing in session.rows(question, about)]
    return Owners(
        session,
        about,
        joinable=tuple(role for role, _ in found if role.joinable),
        strangers=tuple(each for each in found if not each[0].joinable),
    )


_QUESTION = """
WITH me AS (SELECT * FROM pg_catalog.pg_roles WHERE rolname = current_user),
things AS (
    SELECT owner, pg_catalog.min(pg_catalog.format('%s %I.%I', kind, nspname, name))
            AS thing
    FROM (
        SELECT relowner AS owner, 'table' AS kind, relname AS name,
            relnamespace AS namespace
        FROM pg_catalog.pg_class WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
        UNION ALL SELECT proowner, 'function', proname, pronamespace
        FROM pg_catalog.pg_proc
        UNION ALL SELECT typowner, 'type', typname, typnamespace
        FROM pg_catalog.pg_type WHERE typtype IN ('d', 'e', 'r') OR typrelid = 0
    ) AS made
    JOIN pg_catalog.pg_namespace AS place ON place.oid = namespace
    WHERE nspname = {schema} AND NOT pg_catalog.pg_has_role(owner, 'USAGE')
    GROUP BY owner
)
SELECT pg_catalog.to_json(found), (SELECT thing FROM things WHERE owner = (
    SELECT oid FROM pg_catalog.pg_roles WHERE rolname = found.name))
FROM (
    SELECT {roles}
    FROM pg_catalog.pg_roles AS r, me WHERE r.oid IN (SELECT owner FROM things)
) AS found
ORDER BY found.name
"""
