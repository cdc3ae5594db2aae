"""What the answers of MySQL and MariaDB to the questions mean. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from portway.database.mysql.dialect import account, identifier
from portway.database.mysql.question import maker_account
from portway.database.password_hashes import is_kept
from portway.database.state import (
    AppliedFile,
    FoundDatabase,
    FoundUser,
    Kind,
    MakerRights,
    Scope,
    WantedDatabase,
)

GRANT_OPTION = "GRANT OPTION"


@dataclass(frozen=True, slots=True)
class Account:
    """One of the users, as the server keeps it."""

    user: str
    host: str = "%"
    """Hosts that it is for; the server takes the account whose hosts are fewest."""
    locked: Any = None
    """1 or, in some versions, true."""
    changed: Any = None
    """When its password was set, in seconds."""
    expired: Any = None
    """1 if somebody has let its password expire."""
    lifetime: Any = None
    """Days until its password expires; 0: never; none, or -1: as the server has it."""
    plugin: str = ""
    kept: str | None = field(default=None, repr=False)
    """What the server keeps of its password."""
    kept_as_well: str | None = field(default=None, repr=False)
    """The same of a former password that MySQL still takes."""


@dataclass(frozen=True, slots=True)
class Answers:
    """The rows that the questions were answered with."""

    names: Sequence[tuple[str, str]]
    accounts: Sequence[Account]
    rights: Sequence[tuple[str, str, str, str, str]]
    finer_rights: Sequence[tuple[str, str, str, str, str, str]]
    roles: Sequence[tuple[str, str, str]]
    sessions: Sequence[tuple[str, str]]
    """The user of each session, and the address and port it comes from."""
    variables: Mapping[str, str] = field(default_factory=dict)
    judges: Sequence[str] = ()
    """Plugins that judge passwords."""
    maker_rights: Sequence[str] | None = None
    """What Portway's user may do; None if nobody asked."""


def found_database(
    wanted: WantedDatabase,
    answers: Answers,
    applied: Mapping[str, AppliedFile] | None,
    password: str,
) -> FoundDatabase:
    """What the answers say, of a user also whether it has the password."""
    login = next(name for kind, name in answers.names if kind == "login")
    exists = ("database", wanted.database) in answers.names
    users = {
        kept.user: _found_user(kept, answers, password)
        for kept in answers.accounts
        if kept.user and kept.host == "%"
    }
    return FoundDatabase(
        login=login,
        exists=exists,
        schema_owner=login if exists else None,
        users=users,
        applied=applied,
        maker=_maker_rights(login, answers),
        namesakes=_namesakes(answers.accounts),
        takes_hashes=not (
            answers.judges
            and answers.variables.get("strict_password_validation") == "ON"
        ),
        logs_statements=answers.variables.get("general_log") == "ON",
    )


def _maker_rights(login: str, answers: Answers) -> MakerRights | None:
    if answers.maker_rights is None:
        return None
    rights = frozenset(answers.maker_rights)
    is_on = {name for name, value in answers.variables.items() if value == "ON"}
    trusted = "log_bin" not in is_on or "log_bin_trust_function_creators" in is_on
    return MakerRights(
        maker_account(login),
        rights,
        trusted or bool(rights & {"SUPER", "BINLOG ADMIN"}),
    )


def _namesakes(accounts: Sequence[Account]) -> Mapping[str, tuple[str, ...]]:
    """Accounts that the server may take for one of the users, by its name or none.

    Those of localhost without a name are for connections on the server itself.
    """
    found: dict[str, tuple[str, ...]] = {}
    for kept in sorted(accounts, key=lambda kept: (kept.user, kept.host)):
        if kept.host != "%" and (kept.user or kept.host != "localhost"):
            same = found.get(kept.user, ())
            found[kept.user] = (*same, account(kept.user, kept.host))
    return found


def _found_user(kept: Account, answers: Answers, password: str) -> FoundUser:
    name, expired = kept.user, _is_on(kept.expired)
    texts = [text for text in (kept.kept, kept.kept_as_well) if text is not None]
    seen = [is_kept(kept.plugin, text, password) for text in texts]
    lifetime = -1 if kept.lifetime is None else int(kept.lifetime)
    if lifetime < 0:
        lifetime = int(answers.variables.get("default_password_lifetime", 0))
    return FoundUser(
        keeps_password=False if expired else None if None in seen else any(seen),
        may_log_in=not (_is_on(kept.locked) or expired),
        expires=lifetime > 0,
        roles=tuple(
            account(role, hosts) if hosts else identifier(role)
            for whose, role, hosts in answers.roles
            if whose == name
        ),
        changed=int(kept.changed or 0),
        sessions=tuple(
            sorted(
                place.rpartition(":")[0] or place
                for u, place in answers.sessions
                if u == name
            )
        ),
        rights=_rights([r[1:] for r in answers.rights if r[0] == account(name)])
        | _finer_rights([r[1:] for r in answers.finer_rights if r[0] == name]),
    )


def _is_on(value: Any) -> bool:
    return str(value) in ("1", "true")


def _rights(
    rows: Sequence[tuple[str, str, str, str]],
) -> dict[Scope, frozenset[str]]:
    rights: dict[Scope, frozenset[str]] = {}
    for database, table, right, grantable in rows:
        if table:
            scope = Scope(Kind.TABLE, (database, table))
        elif database:
            scope = Scope(Kind.DATABASE, (database,))  # a pattern, as in wanted_rights
        else:
            scope = Scope(Kind.SERVER)
        granted = {right} - {"USAGE"}
        if grantable == "YES":
            granted.add(GRANT_OPTION)
        if granted:
            rights[scope] = rights.get(scope, frozenset()) | granted
    return rights


def _finer_rights(
    rows: Sequence[tuple[str, str, str, str, str]],
) -> dict[Scope, frozenset[str]]:
    rights: dict[Scope, frozenset[str]] = {}
    for kind, first, second, third, granted in rows:
        names = tuple(filter(None, (first, second, third)))
        if kind == "PROXY":
            names = (account(first, second),)
        scope = Scope(Kind[kind.replace(" ", "_")], names)
        words = {word.upper() for word in granted.split(",") if word}
        if "GRANT" in words:
            words = words - {"GRANT"} | {GRANT_OPTION}
        if words:
            rights[scope] = rights.get(scope, frozenset()) | words
    return rights
