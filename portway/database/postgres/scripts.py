"""What is in an SQL file for PostgreSQL: its statements, and what they rule out. Pure.

It reads just enough of the language to know where a statement ends.
"""

import re
from collections.abc import Iterator
from itertools import chain

from portway.database.postgres.names import identifier
from portway.database.state import SqlFile, WantedDatabase

_OPAQUE = re.compile(
    r"--[^\n]*|/\*.*?\*/|\b[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'"
    r'|"(?:[^"]|"")*"|\$(\w*)\$.*?\$\1\$',
    re.DOTALL,
)
_RESTRICT = re.compile(
    rf"{_OPAQUE.pattern}|(?P<restrict>^\\(?:un)?restrict[ \t]+\w+[ \t\r]*$)",
    re.DOTALL | re.MULTILINE,
)
_OR_END = re.compile(rf"{_OPAQUE.pattern}|(?P<end>;)", re.DOTALL)


def without_restrict(text: str) -> str:
    """A file without the psql commands that pg_dump writes around every dump.

    They mean nothing here. The newlines stay, so that lines keep their numbers.
    """
    return _RESTRICT.sub(lambda found: "" if found["restrict"] else found[0], text)


def statements(text: str) -> tuple[str, ...]:
    """The statements of a file, as they stand there.

    One with ``BEGIN ATOMIC`` is taken apart at its semicolons.
    """
    text, start, found = without_restrict(text), 0, []
    for token in _OR_END.finditer(text):
        if token["end"]:
            found.append(text[start : token.start()])
            start = token.end()
    found.append(text[start:])
    return tuple(statement for statement in found if _code(statement))


def _code(statement: str) -> str:
    """Without texts, quoted names and comments."""
    return _OPAQUE.sub(" ", statement).strip()


def _without_comments(statement: str) -> str:
    def kept(found: re.Match[str]) -> str:
        return " " if found[0].startswith(("--", "/*")) else found[0]

    return _OPAQUE.sub(kept, statement).strip()


_OWN_TRANSACTION = re.compile(
    r"(BEGIN|START\s+TRANSACTION|COMMIT|ABORT|PREPARE\s+TRANSACTION"
    r"|ROLLBACK(?!\s+((WORK|TRANSACTION)\s+)?TO\b))\b",
    re.IGNORECASE,
)
_COPY = re.compile(r"COPY\b[^;]*\bFROM\s+STDIN\b", re.IGNORECASE)
_PSQL = re.compile(r"^\s*(\\\w+)", re.MULTILINE)
_ALONE = re.compile(
    r"CREATE\s+(?:UNIQUE\s+)?INDEX\s+CONCURRENTLY\b|DROP\s+INDEX\s+CONCURRENTLY\b"
    r"|REINDEX\b(?=.*\bCONCURRENTLY\b)"
    r"|REINDEX(?:\s*\([^)]*\))?\s+(?:SCHEMA|DATABASE|SYSTEM)\b"
    r"|VACUUM\b|CLUSTER(?:\s*\([^)]*\)|\s+VERBOSE)?\Z"
    r"|ALTER\s+TABLE\b(?=.*\bDETACH\s+PARTITION\b.*\bCONCURRENTLY\b)",
    re.IGNORECASE | re.DOTALL,
)
_BY_HAND = re.compile(
    r"(?:CREATE|DROP)\s+(?:DATABASE|TABLESPACE|SUBSCRIPTION)\b|ALTER\s+SYSTEM\b"
    r"|ALTER\s+DATABASE\b(?=.*\bSET\s+TABLESPACE\b)|DISCARD\s+ALL\b",
    re.IGNORECASE | re.DOTALL,
)
_DO = re.compile(r"DO\b.*?\$(\w*)\$(?P<body>.*)\$\1\$", re.IGNORECASE | re.DOTALL)
_ENDS = re.compile(
    r"\b(?:COMMIT|ROLLBACK)(?:\s+AND\s+(?:NO\s+)?CHAIN)?\s*;", re.IGNORECASE
)
_NAME = r'(?:"(?:[^"]|"")+"|\w+)'
_OWNER = re.compile(rf"\bOWNER\s+TO\s+({_NAME})", re.IGNORECASE)
_SCHEMA = re.compile(rf"CREATE\s+SCHEMA\s+({_NAME})", re.IGNORECASE)
_ADD_VALUE = re.compile(
    rf"ALTER\s+TYPE\s+{_NAME}(?:\.{_NAME})?\s+ADD\s+VALUE\s+"
    r"(?:IF\s+NOT\s+EXISTS\s+)?('(?:[^']|'')*')",
    re.IGNORECASE,
)
_ROUTINE = re.compile(
    r"CREATE\s+(?:OR\s+REPLACE\s+)?(?:FUNCTION|PROCEDURE)\b", re.IGNORECASE
)


def runs_alone(statement: str) -> str:
    """The words of a statement that no transaction may hold; empty if it can be."""
    if found := _ALONE.match(_code(statement)):
        return " ".join(found[0].upper().split())
    do = _DO.match(_without_comments(statement))
    if do and _ENDS.search(_OPAQUE.sub(" ", do["body"])):
        return "DO with a COMMIT"
    return ""


def is_applied_alone(file: SqlFile) -> bool:
    """Whether a file is applied statement by statement, outside of a transaction."""
    found = statements(file.text)
    return bool(found) and all(map(runs_alone, found))


def file_problem(file: SqlFile, wanted: WantedDatabase, login: str) -> str | None:
    """Why a file cannot be applied, and the fix; None if nothing speaks against it.

    ``login`` is the user who applies it.
    """
    found = statements(file.text)
    problems = chain(
        _what_ends_a_transaction(found),
        _what_transactions_cannot_hold(found),
        _values_used_at_once(found),
        _what_has_another_owner(found, login),
        _schema_made_again(found, wanted.schema),
    )
    return next(problems, None)


def _what_ends_a_transaction(found: tuple[str, ...]) -> Iterator[str]:
    codes = [_code(statement) for statement in found]
    if own := next(filter(None, map(_OWN_TRANSACTION.match, codes)), None):
        yield (
            f"has a transaction of its own ({own[0].upper()}), but is applied whole "
            "or not at all, in one transaction; remove its BEGIN and COMMIT"
        )
    if any(map(_COPY.match, codes)):
        yield "has COPY FROM stdin; make the dump with pg_dump --inserts"
    if psql := next(filter(None, map(_PSQL.search, codes)), None):
        yield f"has {psql[1]}, a command of the program psql; write it in SQL"


def _what_transactions_cannot_hold(found: tuple[str, ...]) -> Iterator[str]:
    if by_hand := next(filter(None, (_BY_HAND.match(_code(s)) for s in found)), None):
        yield (
            f"has {' '.join(by_hand[0].upper().split())}, which concerns more than the "
            "application's database; remove it, and run it by hand if it is needed"
        )
    alone = list(filter(None, map(runs_alone, found)))
    if alone and len(alone) < len(found):
        yield (
            f"has {alone[0]}, which no transaction can hold, and other statements, "
            "which need one; put it into a file of its own, which is then applied "
            "without one"
        )


def _values_used_at_once(found: tuple[str, ...]) -> Iterator[str]:
    added = list[str]()
    for statement in map(_without_comments, found):
        if new := _ADD_VALUE.match(statement):
            added.append(new[1])
        else:
            # A function's body is only read when it is called.
            routine = _ROUTINE.match(statement)
            text = _OPAQUE.sub(_without_bodies, statement) if routine else statement
            if used := next((value for value in added if value in text), None):
                yield (
                    f"adds the value {used} to a type and uses it, which needs a "
                    "COMMIT between them; put ALTER TYPE and ADD VALUE into a file of "
                    "their own that comes before"
                )


def _without_bodies(token: re.Match[str]) -> str:
    return "" if token[0].startswith("$") else token[0]


def _what_has_another_owner(found: tuple[str, ...], login: str) -> Iterator[str]:
    masters = (login, identifier(login), "CURRENT_USER", "CURRENT_ROLE", "SESSION_USER")
    for statement in map(_without_texts, found):
        owner = _OWNER.search(statement)
        if owner and owner[1] not in masters and owner[1].upper() not in masters:
            yield (
                f"gives what it makes to {owner[1]}, but it must belong to {login}; "
                "remove OWNER TO, and make a dump with pg_dump --no-owner"
            )


def _without_texts(statement: str) -> str:
    def kept(token: re.Match[str]) -> str:
        return token[0] if token[0].startswith('"') else " "

    return _OPAQUE.sub(kept, statement).strip()


def _schema_made_again(found: tuple[str, ...], schema: str) -> Iterator[str]:
    names = filter(None, (_SCHEMA.match(_without_comments(s)) for s in found))
    if any(name[1] in (schema, identifier(schema)) for name in names):
        yield (
            f"makes the schema {schema}, which is there already; write "
            "CREATE SCHEMA IF NOT EXISTS"
        )
