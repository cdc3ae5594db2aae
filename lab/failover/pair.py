"""The pair of load balancers from outside: who is master, and who has the address.

It only looks. A host that is off, and an AWS that does not answer, are answers too.
"""

import json
import re
import socket
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from lab.aws import stack
from lab.aws.address import ELASTIC_IP, PRIVATE, ROUTE
from lab.errors import LabError
from lab.ground import namespaces, processes
from lab.plan import records
from lab.plan.names import OPERATOR, Lab
from lab.plan.records import Host

MOVES = {
    ELASTIC_IP: ("AssociateAddress",),
    PRIVATE: ("AssignPrivateIpAddresses",),
    ROUTE: ("ReplaceRoute", "CreateRoute"),
}
"""The calls that move an address, by its kind."""

STATUS = "run/portway/address/status.json"
"""What the address mover of a node says of itself."""

SOCKET = "run/haproxy/admin.sock"

_PATIENCE = 1.0


class Pair:
    """The two load balancers of a lab."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        with namespaces.within(lab, OPERATOR):
            address = stack.address()
            self._ec2 = stack.client("ec2")
        if address is None:
            raise LabError("there is no stack with an address: python -m lab up")
        if address.kind not in MOVES:
            raise LabError(f"nothing in AWS moves an address of kind {address.kind!r}")
        self.address = address

    @property
    def hosts(self) -> dict[str, Host]:
        """The load balancers by name, as far as they were built."""
        return {h.node: h for h in records.hosts(self.lab) if h.role == "load-balancer"}

    def masters(self) -> tuple[str, ...]:
        """The nodes whose mover reports VRRP master."""
        return tuple(n for n in self.hosts if self.mover(n)["vrrp_state"] == "MASTER")

    def mover(self, node: str) -> dict[str, Any]:
        """What a node's mover reports; of state "" where none runs."""
        root = self._root(node)
        try:
            said = json.loads((root / STATUS).read_text()) if root else {}
        except (OSError, ValueError):
            said = {}
        return {"vrrp_state": "", **said}

    def holder(self) -> str | None:
        """The node that the address points to in AWS; None if that is not one node."""
        try:
            with namespaces.within(self.lab, OPERATOR):
                present = stack.address()
        except (BotoCoreError, ClientError):
            return None
        holder = present.holder if present else None
        nodes = [n for n, host in self.hosts.items() if host.interface_id == holder]
        return nodes[0] if nodes else None

    def give_to(self, node: str) -> None:
        """Move the address in AWS, as somebody in its console would."""
        host, address = self.hosts[node], self.address
        with namespaces.within(self.lab, OPERATOR):
            for id_ in address.objects:
                if address.kind == ELASTIC_IP:
                    self._ec2.associate_address(
                        AllocationId=id_,
                        InstanceId=host.instance_id,
                        AllowReassociation=True,
                    )
                elif address.kind == PRIVATE:
                    self._ec2.assign_private_ip_addresses(
                        NetworkInterfaceId=host.interface_id,
                        PrivateIpAddresses=[address.address],
                        AllowReassignment=True,
                    )
                else:
                    self._ec2.replace_route(
                        RouteTableId=id_,
                        DestinationCidrBlock=f"{address.address}/32",
                        NetworkInterfaceId=host.interface_id,
                    )

    def master_of_record(self) -> str:
        """The node that should be master while both are healthy.

        The one tagged ``portway:master``, else the one that was launched first.
        """
        by_id = {host.instance_id: node for node, host in self.hosts.items()}
        with namespaces.within(self.lab, OPERATOR):
            found = [
                instance
                for page in self._ec2.get_paginator("describe_instances").paginate()
                for reservation in page["Reservations"]
                for instance in reservation["Instances"]
                if instance["InstanceId"] in by_id
                and instance["State"]["Name"] in ("pending", "running")
            ]
        if not found:
            raise LabError("no load balancer is running: python -m lab up")
        first = min(
            found,
            key=lambda i: (not _preferred(i), i["LaunchTime"], i["InstanceId"]),
        )
        return by_id[first["InstanceId"]]

    def servers_down(self, node: str) -> tuple[str, ...]:
        """What a node's HAProxy does not find up, or the reason not to know."""
        root = self._root(node)
        if root is None:
            return (f"{node} is off",)
        try:
            rows = [line.split(",") for line in _ask(root / SOCKET).splitlines()]
        except OSError:
            return ("its HAProxy does not answer",)
        servers = [row for row in rows if len(row) > 17 and row[0][:1] != "#"]
        down = [f"{row[0]}/{row[1]}" for row in servers if not _is_up(row[17])]
        return tuple(down) if servers else ("it has no servers",)

    def unsettled(self) -> str:
        """What keeps the pair from being settled; "" if it is."""
        record = self.master_of_record()
        masters = self.masters()
        if masters != (record,):
            return f"{' and '.join(masters) or 'no node'} is VRRP master, not {record}"
        holder = self.holder()
        if holder != record:
            return f"AWS gives the address to {holder or 'no load balancer'}"
        for node in self.hosts:
            if down := self.servers_down(node):
                return f"{node}: {', '.join(down)}"
        return "" if len(self.hosts) == 2 else "there is one load balancer"

    def _root(self, node: str) -> Path | None:
        """The file system that a running host sees: its /run is in no other view."""
        pid = processes.init_of(processes.cgroup(self.lab, node))
        return Path(f"/proc/{pid}/root") if pid else None


def _preferred(instance: dict[str, Any]) -> bool:
    tags = {tag["Key"]: tag["Value"] for tag in instance.get("Tags", [])}
    return str(tags.get("portway:master")).lower() == "true"


def _ask(path: Path) -> str:
    """What HAProxy answers about its servers; OSError if it does not."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_PATIENCE)
        connection.connect(str(path))
        connection.sendall(b"show stat -1 4 -1\n")
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b"")).decode()


def _is_up(status: str) -> bool:
    return re.match(r"UP|no check", status) is not None
