"""What every engine's dialect has to say."""

from collections.abc import Collection, Iterable
from typing import Protocol

from portway.database.state import (
    Difference,
    FoundDatabase,
    FoundUser,
    Rights,
    Scope,
    WantedDatabase,
)


class Dialect(Protocol):
    """The SQL of one engine: every method returns statements or reads values. Pure."""

    def create_database(self, wanted: WantedDatabase) -> tuple[str, ...]:
        """Make the database."""

    def create_schema(self, wanted: WantedDatabase) -> tuple[str, ...]:
        """Make the schema, owned by the user of the session."""

    def own_schema(self, wanted: WantedDatabase) -> tuple[str, ...]:
        """Make the user of the session the owner of the schema."""

    def create_record(self) -> tuple[str, ...]:
        """Make the table that records applied SQL files."""

    def is_second(self, wanted: WantedDatabase, user: FoundUser) -> bool:
        """Whether a user with the second login's name is the second login."""

    def create_user(
        self, wanted: WantedDatabase, user: str, *, locked: bool
    ) -> tuple[str, ...]:
        """Make one of the two users, with its password and without any right."""

    def set_password(self, user: str) -> tuple[str, ...]:
        """Set the user's password, and let it log in."""

    def lock(self, user: str) -> tuple[str, ...]:
        """Let nobody log in as the user any more."""

    def alter_user(
        self, wanted: WantedDatabase, user: str, found: FoundUser | None
    ) -> Iterable[Difference]:
        """What differs about the user apart from its password and rights."""

    def wanted_rights(
        self, wanted: WantedDatabase, user: str, found: FoundDatabase
    ) -> Rights:
        """The rights that the user should have itself, and no others."""

    def unwanted_public_rights(
        self, wanted: WantedDatabase, found: FoundDatabase
    ) -> Rights:
        """The rights that PUBLIC has and should not."""

    def grant(self, scope: Scope, rights: Iterable[str], user: str) -> tuple[str, ...]:
        """Grant rights."""

    def revoke(
        self, scope: Scope, rights: Collection[str], user: str | None
    ) -> tuple[str, ...]:
        """Revoke rights, from PUBLIC if ``user`` is None."""

    def as_owners(self, found: FoundDatabase, difference: Difference) -> Difference:
        """The same, with statements that act for the owners of what it changes."""
