"""The only module that calls AWS: a stack, its secrets, its address.

Every failure leaves here as a PortwayError. Secret values leave here as what
``read_secret`` returns and in no error and no log, at whatever level.
"""

import json
import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import boto3
from botocore.config import Config

from portway import discovery
from portway.aws_errors import AwsCallError, Call, one_line, told_plainly
from portway.discovery import Answers, NotReady
from portway.errors import PortwayError
from portway.instances import Answer
from portway.node.address.places import AddressKind, Place, look, places
from portway.stack import Role, Stack

POLL_SECONDS = 10.0
CONFIG = Config(
    connect_timeout=5,
    read_timeout=20,
    retries={"mode": "standard", "total_max_attempts": 4},
)

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
    "UPDATE_FAILED": "mend the cause and update it again, or roll it back",
    "UPDATE_ROLLBACK_FAILED": "mend the cause and continue the rollback "
    "(aws cloudformation continue-update-rollback)",
}


class _Aws:
    """AWS in one region: calls by name, every failure told plainly."""

    def __init__(self, region: str) -> None:
        if not region:
            raise PortwayError(
                "no AWS region is named; set AWS_REGION, or name it at the top of the "
                "inventory"
            )
        self.region = region
        self._session: Any = None
        self._clients: dict[str, Any] = {}

    def call(self, service: str, operation: str, about: str, **arguments: Any) -> Any:
        """Make one call and return its answer."""
        with told_plainly(self._describe(service, operation, about)):
            return getattr(self._client(service), operation)(**arguments)

    def read(
        self, service: str, operation: str, key: str, about: str, **arguments: Any
    ) -> list[Answer]:
        """Read what is under ``key`` in the answer, over all its pages."""
        with told_plainly(self._describe(service, operation, about)):
            client = self._client(service)
            if not client.can_paginate(operation):
                return list(getattr(client, operation)(**arguments)[key])
            pages = client.get_paginator(operation).paginate(**arguments)
            return [item for page in pages for item in page[key]]

    def _describe(self, service: str, operation: str, about: str) -> Call:
        name = "".join(word.capitalize() for word in operation.split("_"))
        name = name.replace("Db", "DB")
        return Call(f"{service}:{name}", about, self.region)

    def _client(self, service: str) -> Any:
        if service not in self._clients:
            if self._session is None:
                self._session = boto3.session.Session(region_name=self.region)
            self._clients[service] = self._session.client(service, config=CONFIG)
        return self._clients[service]


def _print_progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def read_stack(
    name: str,
    region: str,
    *,
    wait_seconds: float = 1800,
    progress: Callable[[str], None] = _print_progress,
    sleep: Callable[[float], None] = time.sleep,
) -> Stack:
    """Read everything Portway needs to know of one stack, waiting while it settles.

    Waits up to ``wait_seconds`` while the stack is being created or updated, while
    instances start and while the database has no endpoint. Raises PortwayError if
    the stack cannot be deployed to.
    """
    if not name:
        raise PortwayError(
            "no stack is named; set PORTWAY_STACK, or name it at the top of the "
            "inventory"
        )
    aws = _Aws(region)
    waited = 0.0
    while True:
        try:
            return _read_once(aws, name, progress)
        except NotReady as awaited:
            if waited >= wait_seconds:
                raise PortwayError(
                    f"stack {name}: gave up after waiting {waited:.0f} s for "
                    f"{awaited}; see the events of the stack and the activity "
                    "of its auto scaling group for what holds it up, and run again"
                ) from None
            progress(
                f"stack {name}: waiting for {awaited} "
                f"({waited:.0f} s so far, at most {wait_seconds:.0f} s)"
            )
        pause = min(POLL_SECONDS, wait_seconds - waited)
        sleep(pause)
        waited += pause


def places_reader(stack: Stack) -> Callable[[], tuple[Place, ...]]:
    """Something that reads, each time, where the stack's address leads now."""
    aws, virtual = _Aws(stack.region), stack.virtual_address
    objects = [place.id for place in virtual.places]

    def read() -> tuple[Place, ...]:
        found = _read_address(aws, stack.name, virtual.kind, virtual.address, objects)
        return places(virtual.kind, virtual.address, objects, found)

    return read


def read_secret(region: str, secret_id: str) -> dict[str, str]:
    """The fields of a secret in Secrets Manager, such as username and password.

    The caller wraps what is secret so that it prints as asterisks. Raises
    PortwayError, which names the secret and never tells of its content.
    """
    aws = _Aws(region)
    about = f"secret {secret_id}"
    with _responses_unlogged():
        try:
            answer = aws.call(
                "secretsmanager", "get_secret_value", about, SecretId=secret_id
            )
        except AwsCallError as error:
            if error.code != "ResourceNotFoundException":
                raise
            raise PortwayError(
                f"{about}: there is no such secret in {region}; if it was deleted, "
                "restore it (aws secretsmanager restore-secret) or update the stack"
            ) from None
    try:
        fields = json.loads(answer.get("SecretString") or "")
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        raise PortwayError(
            f"{about}: its value is not a JSON object; give it one with the keys "
            '"username" and "password"'
        )
    return {key: value for key, value in fields.items() if isinstance(value, str)}


@contextmanager
def _responses_unlogged() -> Iterator[None]:
    """Keep botocore from logging what it receives; at debug level it logs it all."""
    logger = logging.getLogger("botocore")
    level = logger.level
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(level)


def _read_once(aws: _Aws, name: str, progress: Callable[[str], None]) -> Stack:
    stack = _read_description(aws, name)
    status = stack["StackStatus"]
    if status in SETTLING:
        raise NotReady(f"CloudFormation ({status})")
    if status not in USABLE:
        remedy = REMEDIES.get(status, "mend the cause, delete it and create it again")
        raise PortwayError(
            f"stack {name}: it is {status}{_first_failure(aws, stack)}; {remedy}"
        )
    if status == "UPDATE_ROLLBACK_COMPLETE":
        progress(f"stack {name}: its last update failed; going on with what was before")
    outputs = discovery.read_outputs(stack)
    return discovery.assemble(name, aws.region, outputs, _ask(aws, name, outputs))


def _read_description(aws: _Aws, name: str) -> Answer:
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
    raise PortwayError(
        f"stack {name}: there is no such stack in {aws.region}; check PORTWAY_STACK "
        "and AWS_REGION, that the credentials are of the right account, and that the "
        "stack was created"
    )


def _first_failure(aws: _Aws, stack: Answer) -> str:
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
        events = []  # what is known already is worth telling without it
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


def _ask(aws: _Aws, name: str, outputs: discovery.Outputs) -> Answers:
    """Ask for everything in the stack: one call each, unless there are many pages."""
    about = f"stack {name}"
    filters = {
        "tag:portway:stack": [name],
        "tag:portway:role": [role.value for role in Role],
        # Stopped ones are asked for so that an error can tell of them.
        "instance-state-name": ["pending", "running", "stopping", "stopped"],
    }
    reservations = aws.read(
        "ec2",
        "describe_instances",
        "Reservations",
        about,
        Filters=[{"Name": key, "Values": value} for key, value in filters.items()],
    )
    return Answers(
        instances=[i for r in reservations for i in r["Instances"]],
        groups=aws.read(
            "autoscaling",
            "describe_auto_scaling_groups",
            "AutoScalingGroups",
            about,
            AutoScalingGroupNames=[outputs.application_group],
        ),
        databases=_read_if_there(
            aws,
            "DBInstanceNotFound",
            "rds",
            "describe_db_instances",
            "DBInstances",
            about,
            DBInstanceIdentifier=outputs.database,
        ),
        address=_read_address(
            aws,
            name,
            outputs.address_kind,
            outputs.address,
            outputs.address_objects,
        ),
    )


def _read_address(
    aws: _Aws, name: str, kind: AddressKind, address: str, objects: Sequence[str]
) -> list[Answer]:
    """What AWS says of the places of an address, empty if there are none."""
    if kind is AddressKind.VRRP:
        return []
    call, key = look(kind, address, objects)
    return _read_if_there(
        aws,
        "InvalidAllocationID.NotFound",
        "ec2",
        call.operation,
        key,
        f"stack {name}",
        **call.arguments,
    )


def _read_if_there(
    aws: _Aws, absent: str, *what: str, **arguments: Any
) -> list[Answer]:
    """Read, but take the error code ``absent`` for an answer of nothing."""
    try:
        return aws.read(*what, **arguments)
    except AwsCallError as error:
        if error.code != absent:
            raise
        return []
