"""Stacks, settings and clients that tests start from."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from portway.contract.address import AddressKind, AddressObject
from portway.model.build import build_cluster
from portway.model.clients import Client, Clients
from portway.model.cluster import Cluster
from portway.model.saved import Saved, from_json, to_json
from portway.model.settings import Settings
from portway.model.stack import Database, Node, Ports, Role, Stack, VirtualAddress

LAUNCH = datetime(2026, 1, 1, tzinfo=UTC)


def node(name: str, role: Role, number: int, **changes: Any) -> Node:
    plain = Node(
        instance_id=f"i-{number:017x}",
        name=name,
        role=role,
        address=f"10.60.{number // 250}.{number % 250 + 4}",
        zone="eu-central-1a",
        subnet_id="subnet-1",
        interface_id=f"eni-{number:017x}",
        launched_at=LAUNCH + timedelta(seconds=number),
    )
    return replace(plain, **changes)


def elastic_ip(holder: str | None = None) -> VirtualAddress:
    place = AddressObject("eipalloc-1", holder)
    return VirtualAddress(AddressKind.ELASTIC_IP, "203.0.113.9", (place,))


def stack(app_nodes: int = 2, **changes: Any) -> Stack:
    balancers = [node(f"lb-{n}", Role.LOAD_BALANCER, n) for n in (1, 2)]
    applications = [
        node(f"app-{n}", Role.APPLICATION, 10 + n) for n in range(1, app_nodes + 1)
    ]
    plain = Stack(
        name="portway-test",
        region="eu-central-1",
        nodes=(*balancers, *applications),
        database=Database(
            "db", "postgres", "db.test", 5432, "messages", "arn:m", "arn:a"
        ),
        virtual_address=elastic_ip(),
        ports=Ports(1024, 65535, health=8081, stats=8404),
    )
    return replace(plain, **changes)


def saved(stack: Stack, inventory: str = "inventories/prod.py") -> Saved:
    kinds = {Role.LOAD_BALANCER: "load_balancers", Role.APPLICATION: "app_nodes"}
    groups: dict[str, tuple[str, ...]] = {
        node.name: (kinds[node.role], Path(inventory).stem) for node in stack.nodes
    }
    return Saved(inventory=inventory, groups=groups, stack=stack)


def saved_and_read(stack: Stack) -> Stack:
    return from_json(to_json(saved(stack)), "saved.json").stack


def clients(*entries: dict[str, Any]) -> Clients:
    plain = entries or ({"client_name": "one", "client_port": 9001},)
    return Clients("clients.json", tuple(map(Client.model_validate, plain)), None)


def settings(**changes: Any) -> Settings:
    return Settings.model_validate({"clients_file": "clients.json", **changes})


def cluster(*entries: dict[str, Any], app_nodes: int = 2) -> Cluster:
    return build_cluster(stack(app_nodes), settings(), clients(*entries))
