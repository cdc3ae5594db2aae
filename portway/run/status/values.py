"""What was seen of a system at one moment. Pure."""

from dataclasses import dataclass, field
from datetime import datetime

from portway.application.status import ApplicationStatus
from portway.load_balancers.status import LoadBalancerStatus
from portway.load_balancers.traffic import Traffic
from portway.model.cluster import Cluster
from portway.model.deployed import Deployed
from portway.model.stack import Node


@dataclass(frozen=True, slots=True)
class SeenNode:
    """What one node said."""

    node: Node
    problem: str = ""
    """Why it could not be asked; empty if it answered."""
    deployed: Deployed | None = None
    """What was deployed to it last."""
    going_on: str = ""
    """The run that has its lease now, in words."""
    suspended: str = ""
    """Why it does not deploy to itself, in words; empty if nobody has suspended it."""
    balancer: LoadBalancerStatus | None = None
    traffic: Traffic = field(default_factory=Traffic)
    application: ApplicationStatus | None = None

    @property
    def answers(self) -> bool:
        return not self.problem


@dataclass(frozen=True, slots=True)
class System:
    """A deployment, as AWS and its nodes described it."""

    cluster: Cluster
    nodes: tuple[SeenNode, ...]
    seen_at: datetime
    aws_problem: str = ""
    """Why AWS could not be asked; then the cluster is that of ``aws_read_at``."""
    aws_read_at: datetime | None = None

    def node(self, name: str) -> SeenNode | None:
        """What was seen of a node; None if there is none of that name."""
        return next((seen for seen in self.nodes if seen.node.name == name), None)

    @property
    def balancers(self) -> tuple[SeenNode, ...]:
        """The load balancers that answered."""
        return tuple(seen for seen in self.nodes if seen.balancer is not None)

    @property
    def masters(self) -> tuple[str, ...]:
        """The nodes that think themselves VRRP master."""
        return tuple(
            seen.node.name
            for seen in self.balancers
            if seen.balancer is not None and seen.balancer.is_vrrp_master
        )

    @property
    def holder(self) -> str:
        """The node that has the address in AWS; empty if none has, or nobody knows.

        Where AWS does not answer, the nodes may remember what it said last.
        """
        if not self.aws_problem:
            holder = self.cluster.stack.virtual_address.holder
            names = {seen.node.interface_id: seen.node.name for seen in self.nodes}
            return names.get(holder or "", "")
        seen = {lb.balancer.seen_holder for lb in self.balancers if lb.balancer}
        known = seen - {""}
        return known.pop() if len(known) == 1 else ""
