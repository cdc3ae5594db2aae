"""What AWS says about one deployment, as plain immutable values without secrets."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from portway.contract.address import AddressKind, AddressObject
from portway.errors import PortwayError

HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,61}[A-Za-z0-9])?")
"""What a node may be called."""
GRANTED_WITHIN = timedelta(seconds=120)
"""After a change of the stack, when the rights that it grants must be in force."""


class Role(StrEnum):
    """What a node is for; the value of its ``portway:role`` tag."""

    LOAD_BALANCER = "load-balancer"
    APPLICATION = "application"


@dataclass(frozen=True, slots=True)
class Node:
    """A running EC2 instance of the stack."""

    instance_id: str
    name: str
    """Unique within the stack: the Name tag, followed by the slot on nodes of the
    scaling group, which all carry the same one."""
    role: Role
    address: str
    """The primary private IPv4 address."""
    zone: str
    subnet_id: str
    interface_id: str
    """The primary network interface (eni-…)."""
    launched_at: datetime
    """When it was launched first; stopping and starting does not change it."""
    started_at: datetime | None = None
    """When it was switched on last, if that is known."""
    preferred_master: bool = False
    """Whether the tag ``portway:master`` says ``true``."""
    source_dest_check: bool = True
    """Whether AWS drops packets that are not of the node's own addresses."""
    is_stopped: bool = False
    """Whether somebody has stopped the instance; it keeps its address meanwhile."""
    new_slot: int | None = None
    """The slot in its name, if AWS does not know it yet."""

    @property
    def former_names(self) -> tuple[str, ...]:
        """What a node without a name of its own may have been called before.

        Before there were slots, and while AWS did not take its tag.
        """
        long = f"-{self.instance_id}"
        if self.name.endswith(long):
            return (self.name.removesuffix(long),)
        tag = self.name.rpartition("-")[0]
        return (tag + long, tag) if tag else ()


@dataclass(frozen=True, slots=True)
class Database:
    """The RDS instance of the stack."""

    identifier: str
    engine: str
    address: str
    port: int
    name: str
    master_secret: str
    """ARN of the secret RDS manages; it holds user name and password only."""
    application_secret: str
    """ARN of the generated secret of the application's own user."""
    is_protected: bool = True
    """Whether RDS refuses to delete it."""


@dataclass(frozen=True, slots=True)
class VirtualAddress:
    """The address that clients connect to, and who holds it now."""

    kind: AddressKind
    address: str
    objects: tuple[AddressObject, ...]
    """What moves in AWS: an Elastic IP, a subnet's address, or routes."""

    @property
    def holder(self) -> str | None:
        """The network interface that every object points to; None if there is none."""
        holders = {found.holder for found in self.objects}
        return holders.pop() if len(holders) == 1 else None


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports that the stack's security groups open."""

    first_client: int
    last_client: int
    health: int
    """Where application nodes answer health checks."""
    stats: int
    """Where load balancers show statistics to operators."""


@dataclass(frozen=True, slots=True)
class Stack:
    """One CloudFormation stack and everything Portway needs to know of it."""

    name: str
    region: str
    nodes: tuple[Node, ...]
    virtual_address: VirtualAddress
    ports: Ports
    database: Database | None = None
    """None if the run did not ask for it: what deploys it needs do not use it."""
    operator_networks: tuple[str, ...] = ()
    """The networks (CIDR) that the stack opens SSH and statistics to."""
    names: tuple[str, ...] = ()
    """The names that nodes of the scaling group can have; some may have no node now."""
    changed_at: datetime | None = None
    """When its last change ended, and with it that of what its roles may do."""
    leaving: tuple[str, ...] = ()
    """The addresses of instances that a scaling group gives up and waits for. They are
    no nodes any more, and answer what they have begun."""

    def node(self, name: str) -> Node:
        """The node that has a name; PortwayError with those that there are."""
        found = next((node for node in self.nodes if node.name == name), None)
        if found is None:
            known = ", ".join(sorted(node.name for node in self.nodes))
            raise PortwayError(f"there is no node {name}", do=f"choose one of {known}")
        return found

    def with_role(self, role: Role) -> tuple[Node, ...]:
        """The nodes of one role, the one launched first first, ties by instance id."""
        nodes = (node for node in self.nodes if node.role is role)
        return tuple(sorted(nodes, key=lambda n: (n.launched_at, n.instance_id)))

    def may_still_grant(self) -> bool:
        """Whether rights that came with its last change may not be in force yet.

        IAM takes seconds for it as a rule, and promises nothing.
        """
        since = self.changed_at
        return since is not None and datetime.now(UTC) - since < GRANTED_WITHIN

    def needed_database(self) -> Database:
        """The database, for what cannot do without; PortwayError if it is not known."""
        if self.database is None:
            raise PortwayError(f"stack {self.name}: this run did not read its database")
        return self.database
