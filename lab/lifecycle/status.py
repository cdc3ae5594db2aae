"""What a lab consists of at this moment, for people and for programs."""

from typing import Any

from lab.aws import stack
from lab.aws.address import Address
from lab.ground import namespaces, processes
from lab.lifecycle import remembered
from lab.machines import hosts
from lab.plan import facts, records
from lab.plan.names import AWS, OPERATOR, Lab

_COLUMNS = ("node", "role", "instance_id", "address", "state", "holds_address")


def read(lab: Lab) -> dict[str, Any]:
    """Everything one needs to know to use a lab."""
    present = records.hosts(lab)
    name: str | None = None
    outputs: dict[str, str] = {}
    address: Address | None = None
    aws = processes.in_cgroup(processes.cgroup(lab, AWS))
    if aws and namespaces.exists(lab, OPERATOR):
        with namespaces.within(lab, OPERATOR):
            name = stack.name()
            outputs = stack.outputs()
            address = stack.address()
    suite = lab.directory / "suite"
    return {
        "name": lab.name,
        "up": bool(aws and (present or not remembered.makes_stack(lab))),
        "suite": suite.read_text().strip() if suite.exists() else None,
        "stack": name,
        "region": facts.REGION,
        "endpoint": facts.ENDPOINT,
        "outputs": outputs,
        "client_ports": _range(outputs),
        "address": _address(address, present),
        "operator": facts.OPERATOR_STATION.address,
        "customers": [customer.address for customer in facts.CUSTOMERS],
        "aws_pids": aws,
        "log": str(lab.log),
        "home": str(lab.home),
        "nodes": [_node(lab, host, address) for host in present],
    }


def _address(
    address: Address | None, present: tuple[records.Host, ...]
) -> dict[str, Any]:
    holder = address.holder if address else None
    nodes = [host.node for host in present if host.interface_id == holder]
    return {
        "kind": address.kind if address else None,
        "address": address.address if address else None,
        "objects": list(address.objects) if address else [],
        "holder": nodes[0] if nodes else None,
    }


def _range(outputs: dict[str, str]) -> list[int]:
    keys = ("ClientPortFrom", "ClientPortTo")
    return [int(outputs[key]) for key in keys if key in outputs]


def _node(lab: Lab, host: records.Host, address: Address | None) -> dict[str, Any]:
    pid = processes.init_of(processes.cgroup(lab, host.node))
    return {
        "node": host.node,
        "role": host.role,
        "instance_id": host.instance_id,
        "interface_id": host.interface_id,
        "address": host.address,
        "state": "on" if pid else "off",
        "pid": pid,
        "holds_address": address is not None and address.holder == host.interface_id,
        "root": str(hosts.root(lab, host)),
        "namespace": lab.namespace(host.node),
    }


def table(status: dict[str, Any]) -> str:
    """The status as a table, with what one can do next above it."""
    if not status["up"]:
        return f"lab {status['name']} is not up: python -m lab up\n"
    if not status["stack"]:
        return (
            f"lab {status['name']}: Debian {status['suite']}, no stack in "
            f"{status['region']}; AWS is at {status['endpoint']}\n"
        )
    rows = [[_cell(node[column]) for column in _COLUMNS] for node in status["nodes"]]
    heads = [column.replace("_", " ") for column in _COLUMNS]
    widths = [max(map(len, cells)) for cells in zip(heads, *rows, strict=True)]
    lines = [
        f"lab {status['name']}: Debian {status['suite']}, stack {status['stack']} "
        f"in {status['region']}",
        f"clients connect to {status['address']['address']} "
        f"({status['address']['kind']}), "
        f"ports {'-'.join(map(str, status['client_ports']))}; "
        f"customers are at {', '.join(status['customers'])}",
        "",
    ]
    for cells in (heads, *rows):
        padded = (cell.ljust(w) for cell, w in zip(cells, widths, strict=True))
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines) + "\n"


def _cell(value: Any) -> str:
    return "yes" if value is True else str(value or "")
