"""Reads one stack from AWS: its outputs, instances, database and address."""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import inf
from typing import Any

from portway.aws import discovery
from portway.aws.client import Aws
from portway.aws.discovery import Answers, Need, NotReady, is_lost
from portway.aws.errors import DENIED, AwsCallError, one_line
from portway.aws.instances import Answer
from portway.aws.preparing import Unprepared, as_prepared, prepare, unprepared
from portway.contract.address import (
    AddressKind,
    AddressObject,
    address_objects,
    describe_call,
)
from portway.errors import PortwayError
from portway.model.stack import Role, Stack

POLL_SECONDS = 10.0
WAIT_SECONDS = 1800.0
GRANT_SECONDS = 60.0
"""For how long a run that is denied a call waits: the right may have been granted just
now, and IAM takes its time to spread it."""
LATELY = timedelta(hours=2)
"""How long a stack takes to be created or updated, at most, if all goes well."""
LAUNCH_SECONDS = 40.0
"""For how long a run that can work with the nodes that there are waits for those that
the scaling group has yet to launch: a zone may be without capacity for hours."""

USABLE = (
    "CREATE_COMPLETE",
    "UPDATE_COMPLETE",
    "UPDATE_ROLLBACK_COMPLETE",  # the update failed; what was there before is whole
    "IMPORT_COMPLETE",
    "IMPORT_ROLLBACK_COMPLETE",
)
SETTLING = (
    "CREATE_IN_PROGRESS",
    "UPDATE_IN_PROGRESS",
    "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
    "UPDATE_ROLLBACK_IN_PROGRESS",
    "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS",
    "IMPORT_IN_PROGRESS",
    "IMPORT_ROLLBACK_IN_PROGRESS",
)
REMEDIES = {
    "DELETE_IN_PROGRESS": "wait until it is gone and create it again",
    "REVIEW_IN_PROGRESS": "execute its change set, or delete it and create it again",
    "UPDATE_FAILED": "fix the cause and update it again, or roll it back",
    "UPDATE_ROLLBACK_FAILED": "fix the cause and continue the rollback "
    "(aws cloudformation continue-update-rollback)",
}


def _print_progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def read_stack(  # noqa: PLR0913 - what is waited for, and how
    name: str,
    region: str,
    *,
    need: Need = Need.SERVICE,
    prepares: bool = False,
    wait_seconds: float = WAIT_SECONDS,
    leaves: Callable[[Unprepared], None] = lambda _: None,
    progress: Callable[[str], None] = _print_progress,
    sleep: Callable[[float], None] = time.sleep,
) -> Stack:
    """Read everything Portway needs to know about one stack, waiting while it settles.

    ``name`` may be its ARN. ``need`` says what the run needs of its database,
    ``prepares`` whether new nodes are to be made ready in AWS: their names kept, and
    the packets of routes let in. Otherwise ``leaves`` is told each thing that is not.

    Waits up to ``wait_seconds`` while the stack is being created or updated, while
    instances start and while the database has no endpoint. Raises PortwayError if
    the stack cannot be deployed to.
    """
    if not name:
        raise PortwayError(
            "no stack is set",
            do="set PORTWAY_STACK, or its name at the top of the inventory",
        )
    aws = Aws(region)
    waited, short_since = 0.0, inf
    while True:
        try:
            may_come = waited < min(GRANT_SECONDS, wait_seconds)
            found = _read_once(aws, name, need, progress, may_come=may_come)
            break
        except NotReady as awaited:
            short_since = min(short_since, waited) if awaited.stack else inf
            patience = min(LAUNCH_SECONDS, wait_seconds)
            if awaited.stack and waited - short_since >= patience:
                _tell_stopped(awaited.stack, progress)
                progress(
                    f"stack {name}: going on without {awaited}, which it has not "
                    "launched; the activity of the group says why"
                )
                found = awaited.stack
                break
            if waited >= wait_seconds:
                raise PortwayError(
                    f"stack {name}: gave up after waiting {waited:.0f} s for {awaited}",
                    do="look for the reason in the events of the stack and "
                    "the activity of its auto scaling group, then run again",
                ) from None
            progress(
                f"stack {name}: waiting for {awaited} "
                f"({waited:.0f} s so far, at most {wait_seconds:.0f} s)"
            )
        pause = min(POLL_SECONDS, wait_seconds - waited)
        sleep(pause)
        waited += pause
    if prepares:
        return prepare(aws, found, progress)
    for thing in unprepared(found):
        leaves(thing)
    return as_prepared(found)


def address_reader(stack: Stack) -> Callable[[], tuple[AddressObject, ...]]:
    """A function that reads, each time, where the stack's address points now."""
    aws, virtual = Aws(stack.region), stack.virtual_address
    objects = [found.id for found in virtual.objects]

    def read() -> tuple[AddressObject, ...]:
        found = _read_address(aws, stack.name, virtual.kind, virtual.address, objects)
        return address_objects(virtual.kind, virtual.address, objects, found)

    return read


def _read_once(
    aws: Aws,
    name: str,
    need: Need,
    progress: Callable[[str], None],
    *,
    may_come: bool,
) -> Stack:
    """Read the stack; NotReady if something is missing, or denied that may come yet."""
    try:
        return _read_now(aws, name, need, progress)
    except AwsCallError as error:
        if error.code not in DENIED or not may_come:
            raise
        text = f"rights that may have been granted just now ({error.message})"
        raise NotReady(text) from error


def _read_now(
    aws: Aws, name: str, need: Need, progress: Callable[[str], None]
) -> Stack:
    stack = _read_description(aws, name)
    name = stack["StackName"]
    status = stack["StackStatus"]
    if status in SETTLING:
        raise NotReady(f"CloudFormation ({status})")
    if status not in USABLE:
        remedy = REMEDIES.get(status, "fix the cause, delete it and create it again")
        raise PortwayError(
            f"stack {name}: it is {status}{_first_failure(aws, stack)}", do=remedy
        )
    if status == "UPDATE_ROLLBACK_COMPLETE":
        progress(
            f"stack {name}: its last update failed and was rolled back; going on with "
            "what was there before"
        )
    outputs = discovery.read_outputs(stack)
    asked: list[Any] = aws.at_once(
        lambda: _ask(aws, name, outputs, need), lambda: _changed_at(aws, stack)
    )
    answers: Answers = replace(asked[0], changed_at=asked[1])
    found = discovery.assemble(name, aws.region, outputs, answers)
    for database in filter(is_lost, answers.databases or ()):
        progress(
            f"stack {name}: its database {outputs.database} is "
            f"{database['DBInstanceStatus']}; going on, because this run does not "
            "change it"
        )
    _tell_stopped(found, progress)
    return found


def _tell_stopped(stack: Stack, progress: Callable[[str], None]) -> None:
    for node in stack.nodes:
        if node.is_stopped:
            progress(
                f"stack {stack.name}: {node.name} ({node.instance_id}) is stopped; "
                f"start it: aws ec2 start-instances --instance-ids {node.instance_id}"
            )


def describe_stack(aws: Aws, name: str) -> Answer | None:
    """A stack as CloudFormation describes it; None if there is none."""
    try:
        return aws.read(
            "cloudformation",
            "describe_stacks",
            "Stacks",
            f"stack {name}",
            StackName=name,
        )[0]
    except AwsCallError as error:
        if error.code != "ValidationError" or "does not exist" not in error.message:
            raise
    return None


def application_secret(aws: Aws, name: str) -> str:
    """The ARN of the secret that a stack's application nodes read.

    PortwayError if there is no such stack, or its outputs do not say.
    """
    return discovery.read_outputs(_read_description(aws, name)).application_secret


def _read_description(aws: Aws, name: str) -> Answer:
    if (found := describe_stack(aws, name)) is not None:
        return found
    raise PortwayError(
        f"stack {name}: there is no such stack in {aws.region}",
        do="check PORTWAY_STACK "
        "and AWS_REGION, that the credentials are for the right account, and that the "
        "stack was created",
    )


def _changed_at(aws: Aws, stack: Answer) -> datetime:
    """When the last change of a stack ended, if that was lately; else when it began."""
    began: datetime = stack.get("LastUpdatedTime") or stack["CreationTime"]
    if datetime.now(UTC) - began > LATELY:
        return began
    try:
        newest = aws.call(
            "cloudformation",
            "describe_stack_events",
            f"stack {stack['StackName']}",
            StackName=stack["StackId"],
        )["StackEvents"][:1]
    except AwsCallError:
        newest = []
    ended: list[datetime] = [event["Timestamp"] for event in newest]
    return max([began, *ended])


def _first_failure(aws: Aws, stack: Answer) -> str:
    """Which resource failed first in the stack's last operation, and why."""
    try:
        events = aws.read(
            "cloudformation",
            "describe_stack_events",
            "StackEvents",
            f"stack {stack['StackName']}",
            StackName=stack["StackId"],
        )
    except AwsCallError:
        events = []  # the status alone is worth reporting
    first = None
    for event in events:  # the newest comes first
        status = event.get("ResourceStatus", "")
        if event.get("PhysicalResourceId") == stack["StackId"]:
            if status in ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS"):
                break
        elif status.endswith("_FAILED"):
            first = event
    if first is None:
        reason = stack.get("StackStatusReason")
        return f" ({one_line(reason)})" if reason else ""
    reason = one_line(first.get("ResourceStatusReason", "no reason given"))
    return f", because {first['LogicalResourceId']} failed ({reason})"


def _ask(aws: Aws, name: str, outputs: discovery.Outputs, need: Need) -> Answers:
    """Ask about everything in the stack: one call each, more if there are pages."""
    about = f"stack {name}"
    filters = {
        "tag:portway:stack": [name],
        "tag:portway:role": [role.value for role in Role],
        # Stopped ones are included so that an error can name them.
        "instance-state-name": ["pending", "running", "stopping", "stopped"],
    }
    found = aws.at_once(
        lambda: aws.read(
            "ec2",
            "describe_instances",
            "Reservations",
            about,
            Filters=[{"Name": key, "Values": value} for key, value in filters.items()],
        ),
        lambda: aws.read(
            "autoscaling",
            "describe_auto_scaling_groups",
            "AutoScalingGroups",
            about,
            AutoScalingGroupNames=[outputs.application_group],
        ),
        lambda: _read_address(
            aws,
            name,
            outputs.address_kind,
            outputs.address,
            outputs.address_objects,
        ),
        lambda: (
            _read_if_there(
                aws,
                "DBInstanceNotFound",
                "rds",
                "describe_db_instances",
                "DBInstances",
                about,
                DBInstanceIdentifier=outputs.database,
            )
            if need is not Need.NOTHING
            else []
        ),
    )
    reservations, groups, address, databases = found
    return Answers(
        instances=[i for r in reservations for i in r["Instances"]],
        groups=groups,
        databases=databases if need is not Need.NOTHING else None,
        need=need,
        address=address,
    )


def _read_address(
    aws: Aws, name: str, kind: AddressKind, address: str, objects: Sequence[str]
) -> list[Answer]:
    """What AWS says about the objects of an address, empty if there are none."""
    call, key = describe_call(kind, address, objects)
    return _read_if_there(
        aws,
        "InvalidAllocationID.NotFound",
        "ec2",
        call.operation,
        key,
        f"stack {name}",
        **call.arguments,
    )


def _read_if_there(aws: Aws, absent: str, *what: str, **arguments: Any) -> list[Answer]:
    """Read, but take the error code ``absent`` for an empty answer."""
    try:
        return aws.read(*what, **arguments)
    except AwsCallError as error:
        if error.code != absent:
            raise
        return []
