"""Turns what AWS answered about a stack into a Stack, or into what is missing.

Pure: it gets answers as boto3 returns them and calls nothing. ``NotReady`` means that
waiting will help, PortwayError that it will not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from ipaddress import ip_address, ip_network

from portway.aws.instances import (
    Answer,
    alive_instances,
    check_load_balancers,
    has_application_nodes,
    label,
    leaving_addresses,
    listed,
    missing_application_nodes,
    state,
    stopped_peer,
)
from portway.aws.names import assign_slots, name_nodes, possible_names
from portway.contract.address import AddressKind, address_objects
from portway.errors import PortwayError
from portway.model.stack import Database, Ports, Stack, VirtualAddress

TEXT_OUTPUTS = (
    "AddressKind",
    "VirtualAddress",
    "AddressObjects",
    "DatabaseIdentifier",
    "ApplicationSecretArn",
    "ApplicationGroupName",
)
PORT_OUTPUTS = ("ClientPortFrom", "ClientPortTo", "HealthPort", "StatsPort")
"""In the order of the fields of Ports."""

RECREATE = (
    "rename the resource in cloudformation/stack.yaml and update the stack: "
    "CloudFormation then creates a new one"
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


class Need(IntEnum):
    """What a run needs of the stack's database."""

    NOTHING = 0
    """It may be gone."""
    ENDPOINT = 1
    """Its address and secrets; it may be stopped or full."""
    SERVICE = 2


class NotReady(Exception):  # noqa: N818 - a state, not an error
    """The stack is still being created; the text says what is awaited.

    ``stack`` is what can be deployed to without it, if that is anything.
    """

    def __init__(self, awaited: str, stack: Stack | None = None) -> None:
        super().__init__(awaited)
        self.stack = stack


@dataclass(frozen=True, slots=True)
class Outputs:
    """The outputs of the template that discovery needs."""

    address_kind: AddressKind
    address: str
    address_objects: tuple[str, ...]
    """Ids of the AWS objects that make the address point to a node."""
    database: str
    application_secret: str
    application_group: str
    ports: Ports
    operator_networks: tuple[str, ...] = ()
    account: str = ""
    """The account that has the stack."""


@dataclass(frozen=True, slots=True)
class Answers:
    """Everything that was asked about one stack, as boto3 returned it."""

    instances: Sequence[Answer]
    groups: Sequence[Answer]
    databases: Sequence[Answer] | None
    """None if they were not asked for."""
    address: Sequence[Answer]
    """The answer to ``describe_call``."""
    need: Need = Need.SERVICE
    changed_at: datetime | None = None
    """When the stack was created or updated last."""


def read_outputs(stack: Answer) -> Outputs:
    """The outputs of a stack; PortwayError names those that are missing or wrong."""
    name = stack["StackName"]
    values = {o["OutputKey"]: o["OutputValue"] for o in stack.get("Outputs", [])}
    missing = [key for key in (*TEXT_OUTPUTS, *PORT_OUTPUTS) if not values.get(key)]
    wrong = [key for key in PORT_OUTPUTS if not values.get(key, "0").isdecimal()]
    if not missing and values["AddressKind"] not in tuple(AddressKind):
        wrong.append(f"AddressKind (one of {', '.join(AddressKind)})")
    if missing or wrong:
        raise PortwayError(
            f"stack {name}: {listed(missing or wrong)} "
            f"{'missing from' if missing else 'invalid in'} its outputs",
            do="update the stack with this version's cloudformation/stack.yaml",
        )
    kind = AddressKind(values["AddressKind"])
    objects = tuple(filter(None, values["AddressObjects"].split(",")))
    return Outputs(
        address_kind=kind,
        address=values["VirtualAddress"],
        address_objects=objects,
        database=values["DatabaseIdentifier"],
        application_secret=values["ApplicationSecretArn"],
        application_group=values["ApplicationGroupName"],
        ports=Ports(*(int(values[key]) for key in PORT_OUTPUTS)),
        operator_networks=_operator_networks(stack),
        account=stack["StackId"].split(":")[4],
    )


def _operator_networks(stack: Answer) -> tuple[str, ...]:
    """The network that the stack is administered from; a template may have none."""
    values = {
        p["ParameterKey"]: p["ParameterValue"] for p in stack.get("Parameters", [])
    }
    given = values.get("OperatorCidr", "")
    return (str(ip_network(given, strict=False)),) if given else ()


def assemble(name: str, region: str, outputs: Outputs, answers: Answers) -> Stack:
    """Join the answers. Raises NotReady if something is still missing.

    What waiting cannot fix is reported first, whatever else is missing.
    """
    group = _group(name, outputs, answers)
    alive = alive_instances(answers.instances, group)
    alive += stopped_peer(answers.instances, alive)
    check_load_balancers(name, answers.instances, alive)
    missing = missing_application_nodes(name, group, alive)
    awaited = [f"{label(i)} to run" for i in alive if state(i) == "pending"]
    database = None
    if answers.databases is not None:
        database = _database(name, outputs, answers, awaited)
    virtual_address = _virtual_address(name, outputs, answers.address)
    if awaited or (missing and not has_application_nodes(alive)):
        raise NotReady(", ".join([*missing, *awaited]))
    slots = assign_slots(answers.instances, alive, group)
    stack = Stack(
        name=name,
        region=region,
        nodes=name_nodes(name, alive, slots),
        names=possible_names(group, slots),
        database=database,
        virtual_address=virtual_address,
        ports=outputs.ports,
        operator_networks=outputs.operator_networks,
        changed_at=answers.changed_at,
        leaving=leaving_addresses(answers.instances, group),
    )
    if missing:
        raise NotReady(", ".join(missing), stack)
    return stack


def _group(name: str, outputs: Outputs, answers: Answers) -> Answer:
    """The scaling group of the application nodes."""
    if answers.groups:
        return answers.groups[0]
    raise PortwayError(
        f"stack {name}: its auto scaling group {outputs.application_group} is gone",
        do=RECREATE,
    )


def _database(
    name: str, outputs: Outputs, answers: Answers, awaited: list[str]
) -> Database | None:
    """The database; None, and one more entry in ``awaited``, if it is not ready."""
    where = f"stack {name}: its database {outputs.database}"
    if not answers.databases:
        raise PortwayError(
            f"{where} does not exist", do="restore its last snapshot under that name"
        )
    found = answers.databases[0]
    status = found["DBInstanceStatus"]
    endpoint = found.get("Endpoint") or {}
    is_needed = answers.need is Need.SERVICE or not endpoint.get("Address")
    if is_lost(found) and is_needed:
        fix = "start it" if status.startswith("stop") else "see its events in RDS"
        raise PortwayError(f"{where} is {status}", do=f"{fix} and run again")
    secret = (found.get("MasterUserSecret") or {}).get("SecretArn")
    if not endpoint.get("Address") or (not secret and status == "creating"):
        awaited.append(f"an endpoint for database {outputs.database} ({status})")
        return None
    if not secret:
        raise PortwayError(
            f"{where} has no master password managed by RDS",
            do="turn "
            "ManageMasterUserPassword on by updating the stack with this version's "
            "cloudformation/stack.yaml",
        )
    return Database(
        identifier=outputs.database,
        engine=found["Engine"],
        address=endpoint["Address"],
        port=int(endpoint["Port"]),
        name=found.get("DBName") or "",
        master_secret=secret,
        application_secret=outputs.application_secret,
        is_protected=found.get("DeletionProtection", False),
    )


def is_lost(database: Answer) -> bool:
    """Whether a database serves nobody and will not by itself."""
    return database["DBInstanceStatus"] in LOST_DATABASE


def _virtual_address(
    name: str, outputs: Outputs, found: Sequence[Answer]
) -> VirtualAddress:
    kind, address, objects = (
        outputs.address_kind,
        outputs.address,
        outputs.address_objects,
    )
    seen = address_objects(kind, address, objects, found)
    if kind is AddressKind.ELASTIC_IP and not found:
        raise PortwayError(
            f"stack {name}: its Elastic IP {address} ({listed(objects)}) was released",
            do=f"{RECREATE}, and give the clients the new address",
        )
    if kind is AddressKind.PRIVATE:
        _refuse_primary_address(name, address, found)
    if kind is AddressKind.ROUTE:
        _refuse_missing_tables(name, objects, found)
        _refuse_foreign_tables(name, outputs.account, found)
        _refuse_address_inside(name, address, found)
    return VirtualAddress(kind, address, seen)


def _refuse_primary_address(name: str, address: str, found: Sequence[Answer]) -> None:
    for interface in found:
        if interface.get("PrivateIpAddress") == address:
            raise PortwayError(
                f"stack {name}: its address {address} is the primary address of "
                f"{interface['NetworkInterfaceId']} and cannot move",
                do="update the stack "
                "with a VirtualAddress of the subnet that no one uses",
            )


def _refuse_missing_tables(
    name: str, objects: Sequence[str], found: Sequence[Answer]
) -> None:
    gone = sorted(set(objects) - {table["RouteTableId"] for table in found})
    if gone:
        raise PortwayError(
            f"stack {name}: its route tables {listed(gone)} do not exist",
            do="update the stack with RouteTableIds of tables that exist and that its "
            "own account has",
        )


def _refuse_foreign_tables(name: str, account: str, found: Sequence[Answer]) -> None:
    """Refuse tables of a VPC that another account shares: only that may change them."""
    foreign = [t for t in found if t.get("OwnerId", account) != account]
    if foreign:
        tables = listed(table["RouteTableId"] for table in foreign)
        raise PortwayError(
            f"stack {name}: its route tables {tables} belong to account "
            f"{foreign[0]['OwnerId']}, which shares its VPC: the load balancers of "
            f"account {account} cannot change their routes",
            do="create the stack with an AddressKind of elastic-ip or private-address",
        )


def _refuse_address_inside(name: str, address: str, found: Sequence[Answer]) -> None:
    """Refuse an address inside the VPC: its local route always wins."""
    for route in (route for table in found for route in table["Routes"]):
        inside = route.get("DestinationCidrBlock")
        if route.get("GatewayId") != "local" or not inside:
            continue
        if ip_address(address) in ip_network(inside):
            raise PortwayError(
                f"stack {name}: its address {address} is inside the VPC's range "
                f"{inside}, where no route can point to a load balancer",
                do="update the "
                "stack with a VirtualAddress outside of it, such as 10.255.0.1",
            )
