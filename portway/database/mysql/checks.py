"""What can be known of an SQL file before any of it is applied to MySQL or MariaDB.

They cannot undo a file, so what would stop it half-way is looked for first. Pure.
"""

import re
from collections.abc import Iterator

from portway.database.mysql.splitting import Statement, statements
from portway.database.state import MARIADB, MakerRights, SqlFile, WantedDatabase

NAME = r"(?:`(?:[^`]|``)+`|'[^']*'|\"[^\"]*\"|[\w$-]+)"
KINDS = {
    "TABLE": None,
    "SEQUENCE": None,
    "VIEW": "CREATE VIEW",
    "TRIGGER": "TRIGGER",
    "EVENT": "EVENT",
    "PROCEDURE": "CREATE ROUTINE",
    "FUNCTION": "CREATE ROUTINE",
    "PACKAGE": "CREATE ROUTINE",
}
"""What files make, and the right that it takes of a user who may make tables."""
DISTRUSTED = ("TRIGGER", "FUNCTION")
"""What a server with a binary log lets superusers make only."""
DEFINERS = {"SUPER", "SET USER", "SET_USER_ID", "SET_ANY_DEFINER"}
"""Any of these lets a user make things for another; every version has its own."""
VARIABLES = {"SUPER", "SYSTEM_VARIABLES_ADMIN"}

_USE = re.compile(rf"USE\s+({NAME})", re.IGNORECASE)
_DATABASE = re.compile(
    r"CREATE\s+(?:OR\s+REPLACE\s+)?(?:DATABASE|SCHEMA)\s+(?:IF\s+NOT\s+EXISTS\s+)?"
    rf"({NAME})",
    re.IGNORECASE,
)
_MADE = re.compile(
    r"(?P<verb>CREATE|ALTER|DROP)\s+(?:OR\s+REPLACE\s+)?(?:ALGORITHM\s*=\s*\w+\s+)?"
    rf"(?:DEFINER\s*=\s*(?P<definer>CURRENT_\w+(?:\s*\(\s*\))?|{NAME}(?:\s*@\s*{NAME})?)"
    r"\s+)?(?:SQL\s+SECURITY\s+\w+\s+)?(?:TEMPORARY\s+|AGGREGATE\s+)*"
    rf"(?P<kind>{'|'.join(KINDS)})\s+(?:BODY\s+)?(?:IF\s+(?:NOT\s+)?EXISTS\s+)?"
    rf"(?:(?P<database>{NAME})\s*\.\s*)?{NAME}",
    re.IGNORECASE,
)
_VARIABLE = re.compile(
    r"SET\s+(?:(?:@@)?(?:GLOBAL|PERSIST|PERSIST_ONLY)[\s.]|"
    r"(?:@@)?(?:SESSION[\s.]\s*)?SQL_LOG_BIN\b)",
    re.IGNORECASE,
)
_CLIENT = re.compile(r"(source|system|connect)\s|\\[.!]", re.IGNORECASE)


def file_problems(
    file: SqlFile, wanted: WantedDatabase, maker: MakerRights
) -> Iterator[str]:
    """What would stop a file, or make something elsewhere, with the lines of each."""
    found: dict[str, list[int]] = {}
    for statement in statements(file.text):
        for problem in _problems(statement, wanted, maker):
            found.setdefault(problem, []).append(statement.line)
    for problem, (line, *more) in found.items():
        others = f" and {len(more)} more" if more else ""
        yield f"line {line}{others}: {problem}"


def _problems(
    statement: Statement, wanted: WantedDatabase, maker: MakerRights
) -> Iterator[str]:
    code = statement.code
    if _CLIENT.match(code):
        word = code.split(maxsplit=1)[0]
        yield f"{word} is a command of the mariadb client; put what it does into a file"
    if _VARIABLE.match(code) and not maker.rights & VARIABLES:
        text = " ".join(code.split())
        yield (
            f"{text[:60]} takes a right that the master user lacks; take it out, or "
            "make the dump with --set-gtid-purged=OFF"
        )
    for elsewhere in (_USE.match(code), _DATABASE.match(code)):
        if elsewhere and unquoted(elsewhere[1]) != wanted.database:
            yield _elsewhere(elsewhere[0], wanted)
    if made := _MADE.match(code):
        yield from _made_problems(made, code, wanted, maker)


def _made_problems(
    made: re.Match[str], code: str, wanted: WantedDatabase, maker: MakerRights
) -> Iterator[str]:
    verb, kind = made["verb"].upper(), made["kind"].upper()
    database, definer = made["database"], made["definer"]
    if verb == "CREATE" and database and unquoted(database) != wanted.database:
        yield _elsewhere(f"CREATE {kind} in {unquoted(database)}", wanted)
    if definer and not _is_own(definer, maker) and not maker.rights & DEFINERS:
        yield (
            f"DEFINER={definer}: the master user may not make anything for another "
            "user; take the DEFINER clause out"
        )
    distrusted = (
        kind in DISTRUSTED
        if verb == "CREATE"
        else ((verb, kind, wanted.engine) == ("DROP", "TRIGGER", MARIADB))
    )
    if distrusted and "SONAME" not in code.upper() and not maker.is_trusted:
        yield (
            f"{verb} {kind}: the server has a binary log, so it refuses this (error "
            "1419); set log_bin_trust_function_creators to 1 in its parameter group"
        )
    right = KINDS[kind]
    if verb == "CREATE" and right and right not in maker.rights:
        yield (
            f"CREATE {kind}: the master user lacks the right {right} on the database "
            f"{wanted.database}; have it granted"
        )


def _elsewhere(what: str, wanted: WantedDatabase) -> str:
    return (
        f"{what}: the application has rights in {wanted.database} only; take the name "
        "of the other database out"
    )


def _is_own(definer: str, maker: MakerRights) -> bool:
    if definer.upper().startswith("CURRENT_"):
        return True
    user, *host = (unquoted(part.strip()) for part in re.findall(NAME, definer))
    return (user, *(host or ["%"])) == maker.account


def unquoted(name: str) -> str:
    """A name as it is, without the quotes that it may have."""
    if name[0] in "`'\"":
        return name[1:-1].replace(name[0] * 2, name[0])
    return name
