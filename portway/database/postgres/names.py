"""How names and texts are written in PostgreSQL's statements. Pure."""

from portway.database.state import Kind, Scope

FUTURE = {
    Kind.FUTURE_TABLES: "TABLES",
    Kind.FUTURE_SEQUENCES: "SEQUENCES",
    Kind.FUTURE_ROUTINES: "ROUTINES",
    Kind.FUTURE_TYPES: "TYPES",
    Kind.FUTURE_SCHEMAS: "SCHEMAS",
    Kind.FUTURE_LARGE_OBJECTS: "LARGE OBJECTS",
}
"""What the rights on objects that are made later are on."""


def identifier(name: str) -> str:
    """A name, quoted."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: str) -> str:
    """A text, quoted so that it means the same whatever the server's settings."""
    if "\\" in value:
        return " E'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
    return "'" + value.replace("'", "''") + "'"


def target(scope: Scope) -> tuple[str, str]:
    """What goes before GRANT or REVOKE, and what after ON."""
    if scope.kind in FUTURE:
        of = f"FOR ROLE {identifier(scope.by)} " if scope.by else ""
        of += f"IN SCHEMA {identifier(scope.name[0])} " if scope.name else ""
        return f"ALTER DEFAULT PRIVILEGES {of}", FUTURE[scope.kind]
    kind, name = scope.kind.name.replace("_", " "), scope.name
    if scope.kind is Kind.COLUMN:
        kind, name = "TABLE", scope.name[:-1]
    if scope.kind is Kind.LARGE_OBJECT:
        return "", f"{kind} {name[0]}"
    if scope.kind is Kind.ROUTINE:  # the server has quoted it, with its arguments
        return "", f"{kind} {identifier(name[0])}.{name[1]}"
    return "", f"{kind} {'.'.join(map(identifier, name))}"
