"""What AWS answered about a stack, turned into a Stack or into what is missing.

Pure: it is given answers as boto3 returns them and calls nothing. ``NotReady`` means
that waiting will help, PortwayError that it will not.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from portway.errors import PortwayError
from portway.instances import (
    Answer,
    alive_instances,
    check_application_nodes,
    check_load_balancers,
    label,
    listed,
    name_nodes,
    state,
)
from portway.stack import Database, ElasticIp, Ports, Stack

TEXT_OUTPUTS = (
    "ElasticIpAllocationId",
    "DatabaseIdentifier",
    "ApplicationSecretArn",
    "ApplicationGroupName",
)
PORT_OUTPUTS = ("ClientPortFrom", "ClientPortTo", "HealthPort", "StatsPort")
"""In the order of the fields of Ports."""

MAKE_ANEW = (
    "give that resource another name in cloudformation/stack.yaml and update the "
    "stack, which makes it anew"
)
LOST_DATABASE = (
    "deleting",
    "failed",
    "inaccessible-encryption-credentials",
    "inaccessible-encryption-credentials-recoverable",
    "incompatible-network",
    "incompatible-option-group",
    "incompatible-parameters",
    "incompatible-restore",
    "insufficient-capacity",
    "restore-error",
    "stopped",
    "stopping",
    "storage-full",
)


class NotReady(Exception):  # noqa: N818 - a state, not an error
    """The stack is still coming into being; the text says what is awaited."""


@dataclass(frozen=True, slots=True)
class Outputs:
    """The outputs of the template that discovery needs."""

    allocation_id: str
    database: str
    application_secret: str
    application_group: str
    ports: Ports


@dataclass(frozen=True, slots=True)
class Answers:
    """Everything that was asked about one stack, as boto3 returned it."""

    instances: Sequence[Answer]
    groups: Sequence[Answer]
    databases: Sequence[Answer]
    addresses: Sequence[Answer]


def read_outputs(stack: Answer) -> Outputs:
    """The outputs of a stack; PortwayError names those that are missing or wrong."""
    name = stack["StackName"]
    values = {o["OutputKey"]: o["OutputValue"] for o in stack.get("Outputs", [])}
    missing = [key for key in (*TEXT_OUTPUTS, *PORT_OUTPUTS) if not values.get(key)]
    wrong = [key for key in PORT_OUTPUTS if not values.get(key, "0").isdecimal()]
    if missing or wrong:
        raise PortwayError(
            f"stack {name}: {listed(missing or wrong)} "
            f"{'missing from' if missing else 'not a port number in'} its outputs; "
            "update the stack with this version's cloudformation/stack.yaml"
        )
    return Outputs(
        allocation_id=values["ElasticIpAllocationId"],
        database=values["DatabaseIdentifier"],
        application_secret=values["ApplicationSecretArn"],
        application_group=values["ApplicationGroupName"],
        ports=Ports(*(int(values[key]) for key in PORT_OUTPUTS)),
    )


def assemble(name: str, region: str, outputs: Outputs, answers: Answers) -> Stack:
    """Join the answers. Raises NotReady if something is still to come.

    What waiting cannot mend is told first, whatever else is still to come.
    """
    awaited: list[str] = []
    group = _group(name, outputs, answers)
    alive = alive_instances(answers.instances, group)
    check_load_balancers(name, answers.instances, alive)
    check_application_nodes(name, group, alive, awaited)
    awaited += [f"{label(i)} to run" for i in alive if state(i) == "pending"]
    database = _database(name, outputs, answers.databases, awaited)
    elastic_ip = _elastic_ip(name, outputs, answers.addresses)
    if awaited or database is None:
        raise NotReady(", ".join(awaited))
    return Stack(
        name=name,
        region=region,
        nodes=name_nodes(name, alive),
        database=database,
        elastic_ip=elastic_ip,
        ports=outputs.ports,
    )


def _group(name: str, outputs: Outputs, answers: Answers) -> Answer:
    """The scaling group of the application nodes."""
    if answers.groups:
        return answers.groups[0]
    raise PortwayError(
        f"stack {name}: its auto scaling group {outputs.application_group} is gone; "
        f"{MAKE_ANEW}"
    )


def _database(
    name: str, outputs: Outputs, databases: Sequence[Answer], awaited: list[str]
) -> Database | None:
    """The database, or None and one more thing awaited."""
    where = f"stack {name}: its database {outputs.database}"
    if not databases:
        raise PortwayError(
            f"{where} does not exist; restore its last snapshot under that name"
        )
    found = databases[0]
    status = found["DBInstanceStatus"]
    if status in LOST_DATABASE:
        fix = "start it" if status.startswith("stop") else "see its events in RDS"
        raise PortwayError(f"{where} is {status}; {fix} and run again")
    endpoint = found.get("Endpoint") or {}
    secret = (found.get("MasterUserSecret") or {}).get("SecretArn")
    if not endpoint.get("Address") or (not secret and status == "creating"):
        awaited.append(f"an endpoint for database {outputs.database} ({status})")
        return None
    if not secret:
        raise PortwayError(
            f"{where} has no master password managed by RDS; turn "
            "ManageMasterUserPassword on by updating the stack with this version's "
            "cloudformation/stack.yaml"
        )
    return Database(
        identifier=outputs.database,
        engine=found["Engine"],
        address=endpoint["Address"],
        port=int(endpoint["Port"]),
        name=found.get("DBName") or "",
        master_secret=secret,
        application_secret=outputs.application_secret,
    )


def _elastic_ip(name: str, outputs: Outputs, addresses: Sequence[Answer]) -> ElasticIp:
    if not addresses:
        raise PortwayError(
            f"stack {name}: its Elastic IP {outputs.allocation_id} was released; "
            f"{MAKE_ANEW}, and tell the clients its address"
        )
    found = addresses[0]
    return ElasticIp(
        allocation_id=outputs.allocation_id,
        address=found["PublicIp"],
        holder=found.get("InstanceId") or found.get("NetworkInterfaceId") or None,
    )
