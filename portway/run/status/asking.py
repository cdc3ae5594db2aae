"""Looks at a system: every node is asked once, all at the same time."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from portway.application.status import ApplicationStatusFacts
from portway.errors import PortwayError
from portway.load_balancers.status import LoadBalancerFacts
from portway.load_balancers.traffic import TrafficFacts
from portway.model.cluster import Cluster
from portway.model.deployed import Deployed
from portway.model.stack import Node, Role
from portway.ops.lease import LeaseFacts
from portway.ops.remote import Question
from portway.run.nodes import Nodes
from portway.run.status.values import SeenNode, System


def see(nodes: Nodes) -> System:
    """The system as it is now; a node that does not answer is no error."""
    return seen_by(nodes, nodes.ask(partial(questions_to, nodes.cluster)))


def questions_to(cluster: Cluster, node: Node) -> Sequence[Question]:
    """What a node is asked."""
    lease: Question = (LeaseFacts, {})
    if node.role is Role.LOAD_BALANCER:
        address = cluster.stack.virtual_address.address
        status: Question = (LoadBalancerFacts, {"vrrp_address": address})
        return lease, status, (TrafficFacts, {})
    app = cluster.settings.app_name
    return lease, (ApplicationStatusFacts, {"app": app, "address": node.address})


def seen_by(nodes: Nodes, answers: Mapping[str, list[Any] | PortwayError]) -> System:
    """The system that those answers describe."""
    return System(
        cluster=nodes.cluster,
        nodes=tuple(
            _seen(node, answers[node.name])
            for node in sorted(nodes.stack.nodes, key=_place)
        ),
        seen_at=datetime.now(UTC),
        aws_problem=nodes.aws_problem,
        aws_read_at=nodes.stack_read_at,
    )


def _place(node: Node) -> tuple[Role, int, str]:
    """Where people look for a node: AWS tells those first that are oldest."""
    return node.role, len(node.name), node.name


def _seen(node: Node, answer: list[Any] | PortwayError) -> SeenNode:
    if isinstance(answer, PortwayError):
        return SeenNode(node, answer.message.removeprefix(f"{node.name}: "))
    lease, *rest = answer
    seen = SeenNode(
        node,
        deployed=Deployed.from_json(lease.deployed),
        going_on=str(lease.holder or ""),
        suspended=str(lease.suspended or ""),
    )
    if node.role is Role.LOAD_BALANCER:
        status, traffic = rest
        return replace(seen, balancer=status, traffic=traffic)
    return replace(seen, application=rest[0])
