"""A run's database and its snapshots: looked at, and deleted while RDS allows it."""

from typing import Any

from acceptance.account.calls import Caller, Refused, unless_absent
from acceptance.account.journal import Entry
from acceptance.terminal.waiting import say
from portway.contract.address import THROTTLED
from portway.errors import PortwayError

NOT_YET = ("InvalidDBInstanceState", "InvalidDBInstanceStateFault", *THROTTLED)


def database(caller: Caller, entry: Entry) -> Any | None:
    """The run's own database, by the id that no other one gets."""
    given = {"DBInstanceIdentifier": entry.name}
    answer = caller.probe("rds", "describe_db_instances", **given)
    about = f"database {entry.name}"
    found = unless_absent(answer, "DBInstanceNotFound", about)
    if not found or not entry.id:
        return None
    database = found["DBInstances"][0]
    return database if database["DbiResourceId"] == entry.id else None


def have_database_deleted(caller: Caller, entry: Entry) -> None:
    """Delete it if RDS does that in its present state."""
    given = {"DBInstanceIdentifier": entry.name, "SkipFinalSnapshot": True}
    answer = caller.probe("rds", "delete_db_instance", **given)
    if not isinstance(answer, Refused):
        say(f"  database {entry.name} is being deleted, without a snapshot")
    elif answer.code not in NOT_YET:
        text = f"database {entry.name} cannot be deleted"
        raise PortwayError(text, why=str(answer))


def snapshots(caller: Caller, entry: Entry) -> list[Any]:
    """Those that somebody, as a rule CloudFormation, had made of it."""
    found = caller.read(
        "rds",
        "describe_db_snapshots",
        "DBSnapshots",
        f"the snapshots of {entry.name}",
        DBInstanceIdentifier=entry.name,
        SnapshotType="manual",
    )
    return [
        s
        for s in found
        if s["DBInstanceIdentifier"] == entry.name
        and (not entry.id or s.get("DbiResourceId", entry.id) == entry.id)
    ]
