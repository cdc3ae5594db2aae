"""Says in words what differs in the database, as it is said of nodes. Pure."""

from dataclasses import replace

from portway.database.rotation import Rotation
from portway.database.state import Difference, WantedDatabase
from portway.ops.describing import digest
from portway.ops.differences import Difference as NodeDifference
from portway.ops.findings import DATABASE


def described(wanted: WantedDatabase, difference: Difference) -> NodeDifference:
    """A difference as every other is told; its statements contain no password."""
    what, file = f"to do: {difference.description}", difference.file
    if file is not None:
        return NodeDifference("SQL file", file.name, what, file.sha256, node=DATABASE)
    return NodeDifference(
        "database",
        wanted.schema,
        what,
        settings_wish(wanted),
        diff=difference.statements,
        node=DATABASE,
    )


def settings_wish(wanted: WantedDatabase) -> str:
    """What stands in a record for what settings want the database to be."""
    return digest(repr(replace(wanted, files=())))


def former_difference(wanted: WantedDatabase, now: Rotation) -> list[NodeDifference]:
    """That the login which nodes have left can still log in."""
    what = f"to do: Lock the user {now.former}, which nobody uses any more"
    wish = settings_wish(wanted)
    return [NodeDifference("database", wanted.schema, what, wish, node=DATABASE)]
