"""Reads moto's own objects and says what the router must know: moto in, values out.

Runs inside the process that serves moto, so that a change is seen without a request.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from moto.ec2.models import ec2_backends

from lab.plan import facts
from lab.plan.records import Host
from lab.vpc.network import Interface, Network, Rule, SecurityGroup, VpcRoute


def network(hosts: Iterable[Host]) -> Network:
    """The network as AWS has it now, as far as hosts of the lab are in it."""
    backend = ec2_backends[facts.ACCOUNT][facts.REGION]
    placed = [
        (host, backend.enis[host.interface_id])
        for host in hosts
        if host.interface_id in backend.enis
    ]
    interfaces = tuple(_interface(backend, host, eni) for host, eni in placed)
    devices = {eni.id: host.device for host, eni in placed}
    return Network(
        interfaces=interfaces,
        groups=tuple(_groups(backend, interfaces)),
        outsiders=facts.OUTSIDERS,
        aws_addresses=facts.AWS_ADDRESSES,
        routes=tuple(_routes(backend, devices)),
    )


def _interface(backend: Any, host: Host, eni: Any) -> Interface:
    table = _route_table(backend, eni.subnet)
    held = [item["PrivateIpAddress"] for item in eni.private_ip_addresses]
    return Interface(
        device=host.device,
        address=eni.private_ip_address,
        secondary=tuple(a for a in held if a != eni.private_ip_address),
        public=_public(eni) if _leads_out(table) else (),
        groups=tuple(sorted(group.id for group in eni.group_set)),
        checked=bool(eni.source_dest_check),
        route_table=table.id if table else "",
    )


def _public(eni: Any) -> tuple[tuple[str, str], ...]:
    if not eni.public_ip:
        return ()
    return ((eni.private_ip_address, eni.public_ip),)


def _route_table(backend: Any, subnet: Any) -> Any:
    """The subnet's own route table, else the main one of its VPC."""
    main = None
    for table in backend.route_tables.values():
        if subnet.id in table._associations.values():
            return table
        if table.vpc_id == subnet.vpc_id and table.main_association_id:
            main = table
    return main


def _leads_out(table: Any) -> bool:
    """Whether a public address can work: the subnet has a route to the internet."""
    return table is not None and any(
        route.destination_cidr_block == "0.0.0.0/0"
        and str(route.gateway_id).startswith("igw-")
        for route in table.routes
    )


def _routes(backend: Any, devices: dict[str, str]) -> Iterator[VpcRoute]:
    for table in backend.route_tables.values():
        for route in table.routes:
            eni = route.interface
            if eni is None and route.instance is not None:
                eni = route.instance.nics[0]
            if eni is not None and eni.id in devices and route.destination_cidr_block:
                yield VpcRoute(
                    table=table.id,
                    # The kernel shows a single address without its length.
                    destination=route.destination_cidr_block.removesuffix("/32"),
                    device=devices[eni.id],
                    via=eni.private_ip_address,
                )


def _groups(backend: Any, interfaces: Iterable[Interface]) -> Iterator[SecurityGroup]:
    """The groups in use, and those that their rules name."""
    pending = sorted({id_ for interface in interfaces for id_ in interface.groups})
    seen: set[str] = set()
    while pending:
        id_ = pending.pop(0)
        group = backend.get_security_group_from_id(id_)
        if id_ in seen or group is None:
            continue
        seen.add(id_)
        described = SecurityGroup(
            id_,
            tuple(_rule(backend, rule) for rule in group.ingress_rules),
            tuple(_rule(backend, rule) for rule in group.egress_rules),
        )
        yield described
        for rule in (*described.ingress, *described.egress):
            pending += rule.groups


def _rule(backend: Any, rule: Any) -> Rule:
    ports = None
    if rule.from_port is not None and rule.to_port is not None:
        ports = (int(rule.from_port), int(rule.to_port))
    networks = []
    if rule.ip_range.get("CidrIp"):
        networks.append(rule.ip_range["CidrIp"])
    if rule.prefix_list_id:
        listed = backend.managed_prefix_lists[rule.prefix_list_id]
        entries = listed.entries.get(listed.version, [])
        networks += [entry["Cidr"] for entry in entries]
    source = rule.source_group.get("GroupId")
    return Rule(
        protocol=str(rule.ip_protocol),
        ports=ports,
        networks=tuple(networks),
        groups=(source,) if source else (),
    )
