"""Deletes what a run has made, and nothing else.

What is deleted is in the journal, and carries the run's id as well: in a tag, or as a
part of the stack that has it.
"""

import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from acceptance.calls import Caller, Refused
from acceptance.journal import Entry, Journal, Kind, State
from acceptance.making import TAG, describe_stack, first_failure, remember_what_stays
from acceptance.patience import passes, patiently, wait_for_aws
from acceptance.waiting import say, wait_for
from portway.aws.errors import DENIED, EXPIRED, REJECTED, AwsCallError
from portway.errors import PortwayError

APPEAR_SECONDS = 30
"""For how long something that was about to be made when the run died is looked for."""
DELETE_SECONDS = 3600
TRIES = 3
"""Of the stack: what failed once, as a rule because something was still in use."""
PAUSE_SECONDS = 60
"""Before such a try."""
PAUSES = (10, 60, 120, 300)
"""Before everything that is left is tried again: what is in use, or AWS is busy."""
RELEASE_SECONDS = 300
SNAPSHOT_SECONDS = 1800

HOME = "home"
"""In the work folder: the key and what else is secret."""


def _may_pass(error: Exception) -> bool:
    """Whether the same may be deleted a little later, without anybody's help."""
    if isinstance(error, AwsCallError):
        return passes(error) or error.code not in (*DENIED, *REJECTED, *EXPIRED)
    return passes(error)


class Cleaner:
    """Deletes what is left of one run."""

    def __init__(self, caller: Caller, journal: Journal, run_id: str) -> None:
        self._caller = caller
        self._journal = journal
        self._run_id = run_id
        self.problems: list[str] = []
        """What could not be deleted, and why."""
        self.deleted: list[str] = []
        self.look_between: Callable[[], None] = lambda: None
        """Called when the stack is gone, before what it leaves is deleted."""
        self._may_pass = False

    def clean(self) -> None:
        """Delete everything, patiently; what could not be is in ``problems``."""
        for pause in (*PAUSES, None):
            wait_for_aws(self._caller)
            self.problems.clear()
            self._may_pass = False
            self._clean_once()
            if pause is None or not self._may_pass:
                break
            say(f"  trying again what is left, in {pause} s")
            time.sleep(pause)
        if not self.problems:
            for entry in self._journal.left(Kind.RUN):
                self._journal.write(Kind.RUN, entry.name, State.GONE)

    def _clean_once(self) -> None:
        """Delete everything; what fails is a problem, and the rest goes on."""
        steps: tuple[tuple[Kind, Callable[[Entry], None]], ...] = (
            (Kind.ROLE, self._delete_role),
            (Kind.STACK, self._remember),
            (Kind.ROUTE, self._delete_route),
            (Kind.STACK, self._delete_stack),
            (Kind.RUN, lambda _: self.look_between()),
            (Kind.ADDRESS, self._release_address),
            (Kind.DATABASE, self._delete_snapshots),
            (Kind.KEY_PAIR, self._delete_key_pair),
            (Kind.FOLDER, self._delete_secrets),
        )
        for kind, delete in steps:
            for entry in self._journal.left(kind):
                try:
                    delete(entry)
                except Exception as error:  # the others are to be deleted all the same
                    text = (
                        error.message
                        if isinstance(error, PortwayError)
                        else f"{type(error).__name__}: {error}"
                    )
                    self.problems.append(f"{kind} {entry.name}: {text}")
                    self._may_pass |= _may_pass(error)
                    say(f"  not deleted: {kind} {entry.name}: {text}")

    def _gone(self, entry: Entry, text: str = "") -> None:
        self._journal.write(entry.kind, entry.name, State.GONE)
        if text:
            self.deleted.append(text)
            say(f"  deleted: {text}")

    def _found(self, entry: Entry, look: Callable[[], Any | None]) -> Any | None:
        """Something in AWS; it may yet come if the run died while it made it."""
        if (found := look()) is not None or entry.state is not State.PLANNED:
            return found
        say(f"  {entry.kind} {entry.name} was being made: looking for it")
        try:
            return wait_for(
                f"{entry.kind} {entry.name}", look, APPEAR_SECONDS, longest=2
            )
        except PortwayError:
            return None

    def _is_ours(self, tags: list[Mapping[str, str]] | None) -> bool:
        return {"Key": TAG, "Value": self._run_id} in [
            {"Key": t["Key"], "Value": t["Value"]} for t in tags or ()
        ]

    def _refuse_foreign(self, tags: list[Mapping[str, str]] | None) -> None:
        if not self._is_ours(tags):
            raise PortwayError(
                f"it has no tag {TAG} = {self._run_id}",
                why="So this run did not make it; it is left alone",
                do="look at it, and delete it yourself if it is of no use",
            )

    def _delete_role(self, entry: Entry) -> None:
        name, iam = entry.name, "iam"
        about = f"role {name}"

        def look() -> Any | None:
            answer = self._caller.probe(iam, "get_role", RoleName=name)
            return self._unless_absent(answer, "NoSuchEntity", about)

        found = self._found(entry, look)
        if found is None:
            return self._gone(entry)
        self._refuse_foreign(found["Role"].get("Tags"))
        call, role = self._caller.call, {"RoleName": name}
        attached = call(iam, "list_attached_role_policies", about, **role)
        for policy in attached["AttachedPolicies"]:
            arn = policy["PolicyArn"]
            call(iam, "detach_role_policy", about, PolicyArn=arn, **role)
        for inline in call(iam, "list_role_policies", about, **role)["PolicyNames"]:
            call(iam, "delete_role_policy", about, PolicyName=inline, **role)
        call(iam, "delete_role", about, **role)
        return self._gone(entry, about)

    def _delete_key_pair(self, entry: Entry) -> None:
        about = f"key pair {entry.name}"

        def look() -> Any | None:
            answer = self._caller.probe(
                "ec2", "describe_key_pairs", KeyNames=[entry.name]
            )
            return self._unless_absent(answer, "InvalidKeyPair.NotFound", about)

        found = self._found(entry, look)
        if found is None or not found["KeyPairs"]:
            return self._gone(entry)
        pair = found["KeyPairs"][0]
        self._refuse_foreign(pair.get("Tags"))
        self._caller.call("ec2", "delete_key_pair", about, KeyName=entry.name)
        return self._gone(entry, about)

    def _stack(self, entry: Entry) -> Any | None:
        """The run's stack, by its id; by its name if the run died before it knew it."""
        found = self._found(
            entry, lambda: describe_stack(self._caller, entry.id or entry.name)
        )
        if found is None or found["StackStatus"] == "DELETE_COMPLETE":
            return None
        if entry.state is State.PLANNED and not self._is_ours(found.get("Tags")):
            return None  # somebody else was faster with that name: none was made
        self._refuse_foreign(found.get("Tags"))
        if not entry.id:
            id_ = found["StackId"]
            self._journal.write(Kind.STACK, entry.name, State.MADE, id_)
        return found

    def _remember(self, entry: Entry) -> None:
        """What stays when the stack is deleted can only be asked before."""
        if (found := self._stack(entry)) is not None:
            remember_what_stays(self._caller, self._journal, found["StackId"])

    def _delete_stack(self, entry: Entry) -> None:
        found = self._stack(entry)
        if found is None:
            return self._gone(entry)
        id_, about = found["StackId"], f"stack {entry.name}"
        self._wait_for_update(id_, about)
        for number in range(1, TRIES + 1):
            say(f"  deleting {about}" + (f", try {number}" if number > 1 else ""))
            self._caller.call("cloudformation", "delete_stack", about, StackName=id_)
            status = wait_for(
                f"{about} to be deleted",
                lambda: self._deleted(id_),
                DELETE_SECONDS,
                now=lambda: patiently(lambda: self._status(id_)) or "",
                do=f"see its events, and run --clean-up {entry.name} again",
            )
            if status != "DELETE_FAILED":
                return self._gone(entry, f"{about} ({id_})")
            remember_what_stays(self._caller, self._journal, id_)
            if number < TRIES:
                time.sleep(PAUSE_SECONDS)
        raise PortwayError(
            f"CloudFormation cannot delete {about}",
            why=first_failure(self._caller, id_),
            do=f"mend that, and run --clean-up {entry.name} again",
        )

    def _status(self, id_: str) -> str:
        found = describe_stack(self._caller, id_)
        return str(found["StackStatus"]) if found else "DELETE_COMPLETE"

    def _deleted(self, id_: str) -> str | None:
        if (status := patiently(lambda: self._status(id_))) is None:
            return None
        return status if status in ("DELETE_COMPLETE", "DELETE_FAILED") else None

    def _wait_for_update(self, id_: str, about: str) -> None:
        """A stack that is being updated cannot be deleted."""

        def look() -> bool | None:
            if (status := patiently(lambda: self._status(id_))) is None:
                return None
            updates = status.startswith("UPDATE_") and status.endswith("_IN_PROGRESS")
            return None if updates else True

        wait_for(f"the update of {about} to end", look, DELETE_SECONDS)

    def _delete_route(self, entry: Entry) -> None:
        table, destination = entry.id, entry.more["destination"]
        filters = [{"Name": "route-table-id", "Values": [table]}]
        for found in self._caller.read(
            "ec2", "describe_route_tables", "RouteTables", table, Filters=filters
        ):
            if destination in [r.get("DestinationCidrBlock") for r in found["Routes"]]:
                self._caller.call(
                    "ec2",
                    "delete_route",
                    f"route {destination} of {table}",
                    RouteTableId=table,
                    DestinationCidrBlock=destination,
                )
                return self._gone(entry, f"route {destination} of {table}")
        return self._gone(entry)

    def _release_address(self, entry: Entry) -> None:
        about = f"Elastic IP {entry.name} ({entry.id})"
        stacks = [
            e.name for e in self._journal.latest().values() if e.kind is Kind.STACK
        ]

        def look() -> Any | None:
            """What is to be released: something, when nothing is associated with it."""
            answer = self._caller.probe(
                "ec2", "describe_addresses", AllocationIds=[entry.id]
            )
            found = self._unless_absent(answer, "InvalidAllocationID.NotFound", about)
            if found is None or not found["Addresses"]:
                return []
            return (
                None
                if found["Addresses"][0].get("AssociationId")
                else found["Addresses"]
            )

        found = wait_for(
            f"{about} to be free",
            look,
            RELEASE_SECONDS,
            do="it points to an instance: look whose that is",
        )
        if not found:
            return self._gone(entry)
        tags = {tag["Key"]: tag["Value"] for tag in found[0].get("Tags", [])}
        if tags.get("portway:stack") not in stacks:
            self._refuse_foreign(found[0].get("Tags"))
        self._caller.call("ec2", "release_address", about, AllocationId=entry.id)
        return self._gone(entry, about)

    def _delete_snapshots(self, entry: Entry) -> None:
        """Those that CloudFormation left of the database; RDS deletes its own."""
        if self._journal.left(Kind.STACK):
            return  # it is not deleted, so the database may still be there
        self._delete_database(entry)
        about = f"the snapshots of {entry.name}"

        def look() -> list[Any] | None:
            found = self._snapshots(entry)
            return None if any(s["Status"] == "creating" for s in found) else found

        for snapshot in wait_for(about, look, SNAPSHOT_SECONDS):
            name = snapshot["DBSnapshotIdentifier"]
            self._caller.call(
                "rds", "delete_db_snapshot", name, DBSnapshotIdentifier=name
            )
            self.deleted.append(f"snapshot {name}")
            say(f"  deleted: snapshot {name}")
        wait_for(
            f"{about} to be gone",
            lambda: None if self._snapshots(entry) else True,
            SNAPSHOT_SECONDS,
        )
        self._gone(entry)

    def _delete_database(self, entry: Entry) -> None:
        """CloudFormation has deleted it with the stack; an hour of it costs money."""
        about = f"database {entry.name}"

        def look() -> Any | None:
            given = {"DBInstanceIdentifier": entry.name}
            answer = self._caller.probe("rds", "describe_db_instances", **given)
            found = self._unless_absent(answer, "DBInstanceNotFound", about)
            return found["DBInstances"][0] if found else None

        found = look()
        if found is None or not entry.id or found["DbiResourceId"] != entry.id:
            return
        say(f"  {about} has outlived its stack")
        if found["DBInstanceStatus"] != "deleting":
            given = {"DBInstanceIdentifier": entry.name, "SkipFinalSnapshot": True}
            self._caller.call("rds", "delete_db_instance", about, **given)
        wait_for(
            f"{about} to be deleted",
            lambda: True if look() is None else None,
            DELETE_SECONDS,
        )
        self.deleted.append(about)

    def _snapshots(self, entry: Entry) -> list[Any]:
        found = self._caller.read(
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

    def _delete_secrets(self, entry: Entry) -> None:
        shutil.rmtree(Path(entry.id) / HOME, ignore_errors=True)
        if (Path(entry.id) / HOME).exists():
            raise PortwayError(
                f"{entry.id}/{HOME} cannot be deleted", do="delete it: it has a key"
            )
        self._gone(entry)

    @staticmethod
    def _unless_absent(answer: Any, absent: str, about: str) -> Any | None:
        """An answer; None if AWS says that there is no such thing."""
        if not isinstance(answer, Refused):
            return answer
        if answer.code == absent:
            return None
        raise PortwayError(f"{about}: it cannot be looked at", why=str(answer))
