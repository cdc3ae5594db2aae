"""Deletes what a run has made, and nothing else.

What is deleted is in the journal, and carries the run's id as well: in a tag, or as a
part of the stack that has it.
"""

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from acceptance.account.calls import Caller, unless_absent
from acceptance.account.databases import database, have_database_deleted, snapshots
from acceptance.account.identity import TAG
from acceptance.account.journal import Entry, Journal, Kind, State
from acceptance.account.patience import passes, patiently, wait_for_aws
from acceptance.account.remaining import remember_what_stays
from acceptance.account.stack import describe_stack, first_failure, resources
from acceptance.terminal.waiting import say, wait_for
from portway.aws.errors import DENIED, EXPIRED, REJECTED, AwsCallError
from portway.errors import PortwayError

APPEAR_SECONDS = 30
"""For how long something that was about to be made when the run died is looked for."""
DELETE_SECONDS = 3600
TRIES = 3
"""Of the stack: what failed once, as a rule because something was still in use."""
DATABASE_SECONDS = 60
"""For how long CloudFormation may wait for a database without having it deleted."""
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
        self._may_pass, self._is_last = False, False
        self._waits_since = 0.0
        """Since when a stack's deletion waits for a database; 0 if it does not."""

    def clean(self) -> None:
        """Delete everything, patiently; what could not be is in ``problems``."""
        for pause in (*PAUSES, None):
            wait_for_aws(self._caller)
            self.problems.clear()
            self._may_pass, self._is_last = False, pause is None
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

    def _found(
        self, entry: Entry, look: Callable[[], Any | None], *, is_late: bool = False
    ) -> Any | None:
        """Something in AWS; it may yet come if the run died while it made it.

        ``is_late`` if AWS may not know something for a while that it has made.
        """
        may_come = is_late or entry.state is State.PLANNED
        if (found := look()) is not None or not may_come:
            return found
        say(f"  {entry.kind} {entry.name} may be there all the same: looking for it")
        failure: PortwayError | None = None

        def look_again() -> Any | None:
            nonlocal failure
            try:
                found, failure = look(), None
            except PortwayError as error:
                found, failure = None, error
            return found

        what = f"{entry.kind} {entry.name}"
        try:
            return wait_for(what, look_again, APPEAR_SECONDS, longest=2)
        except PortwayError:
            if failure is not None:  # nobody knows whether it is there
                raise failure from None
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
                do="look at it, and delete it yourself if you do not need it",
            )

    def _delete_role(self, entry: Entry) -> None:
        name, iam = entry.name, "iam"
        about = f"role {name}"

        def look() -> Any | None:
            answer = self._caller.probe(iam, "get_role", RoleName=name)
            return unless_absent(answer, "NoSuchEntity", about)

        found = self._found(entry, look, is_late=True)
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
            return unless_absent(answer, "InvalidKeyPair.NotFound", about)

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
            return None  # somebody else has created a stack of that name
        self._refuse_foreign(found.get("Tags"))
        if not entry.id:
            id_ = found["StackId"]
            self._journal.write(Kind.STACK, entry.name, State.MADE, id_)
        return found

    def _remember(self, entry: Entry) -> None:
        """What stays when the stack is deleted is best asked before."""
        if (found := self._stack(entry)) is not None:
            self._remember_now(found["StackId"])

    def _remember_now(self, id_: str) -> None:
        """Note what stays as far as AWS tells it; it is asked again afterwards."""
        try:
            remember_what_stays(self._caller, self._journal, id_)
        except PortwayError as error:
            say(f"  {error.what}")

    def _delete_stack(self, entry: Entry) -> None:
        found = self._stack(entry)
        if found is None:
            return self._stack_is_gone(entry)
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
                return self._stack_is_gone(replace(entry, id=id_), f"{about} ({id_})")
            self._remember_now(id_)
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
        if status in ("DELETE_COMPLETE", "DELETE_FAILED"):
            return status
        try:
            self._help_with_database(id_)
        except PortwayError as error:  # CloudFormation may do it without help
            say(f"  {error.what}")
        return None

    def _help_with_database(self, id_: str) -> None:
        """Delete a database that CloudFormation waits for and cannot delete.

        RDS refuses the final snapshot of one that is still being created.
        """
        found = resources(self._caller, id_).get("Database", {})
        if found.get("ResourceStatus") not in ("DELETE_IN_PROGRESS", "DELETE_FAILED"):
            return
        self._remember_now(id_)
        for entry in self._journal.left(Kind.DATABASE):
            there = database(self._caller, entry)
            if there is None or there["DBInstanceStatus"] == "deleting":
                continue
            self._waits_since = self._waits_since or time.monotonic()
            if time.monotonic() - self._waits_since >= DATABASE_SECONDS:
                have_database_deleted(self._caller, entry)

    def _stack_is_gone(self, entry: Entry, text: str = "") -> None:
        """Mark it, when all that it left is known."""
        known = {e.kind for e in self._journal.latest().values() if e.id}
        if entry.id and not {Kind.ADDRESS, Kind.DATABASE} <= known:
            try:
                remember_what_stays(self._caller, self._journal, entry.id)
            except AwsCallError as error:
                if error.code != "ValidationError":  # deleted 90 days ago, or longer
                    raise
        self._gone(entry, text)

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
            found = unless_absent(answer, "InvalidAllocationID.NotFound", about)
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
        is_left = bool(self._journal.left(Kind.STACK))
        if is_left and self._may_pass and not self._is_last:
            return  # CloudFormation may do it at the next try
        self._delete_database(entry)
        if is_left:
            return  # its deletion may yet leave a snapshot
        about = f"the snapshots of {entry.name}"

        def look() -> list[Any] | None:
            found = snapshots(self._caller, entry)
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
            lambda: None if snapshots(self._caller, entry) else True,
            SNAPSHOT_SECONDS,
        )
        self._gone(entry)

    def _delete_database(self, entry: Entry) -> None:
        """CloudFormation has deleted it with the stack; an hour of it costs money."""
        about = f"database {entry.name}"
        if database(self._caller, entry) is None:
            return
        say(f"  {about} is still there")

        def look() -> bool | None:
            if (found := database(self._caller, entry)) is None:
                return True
            if found["DBInstanceStatus"] != "deleting":
                have_database_deleted(self._caller, entry)
            return None

        wait_for(f"{about} to be deleted", look, DELETE_SECONDS)
        self.deleted.append(about)

    def _delete_secrets(self, entry: Entry) -> None:
        shutil.rmtree(Path(entry.id) / HOME, ignore_errors=True)
        if (Path(entry.id) / HOME).exists():
            raise PortwayError(
                f"{entry.id}/{HOME} cannot be deleted", do="delete it: it has a key"
            )
        self._gone(entry)
