"""The rules of a VPC as text for nft and routes for ip: pure, values in, text out.

What AWS says goes in (interfaces, security groups, route tables); what the router
of the lab must do comes out. Nothing here reads or changes anything.
"""

from collections.abc import Iterator
from dataclasses import dataclass

METADATA = "169.254.169.254"

AWS_DEVICE = "aws"

_FROM_INTERNET = "0x1"
"""Mark of connections that came by a public address, so their answers leave by it."""

_OUTSIDE_TABLE = 999
"""Routes of those who come from outside the VPC."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One permission of a security group, in one direction."""

    protocol: str
    """``tcp``, ``udp``, ``icmp``, a protocol's number, or ``-1`` for all."""
    ports: tuple[int, int] | None = None
    networks: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SecurityGroup:
    """A security group's permissions."""

    id: str
    ingress: tuple[Rule, ...] = ()
    egress: tuple[Rule, ...] = ()


@dataclass(frozen=True, slots=True)
class Interface:
    """A network interface of the VPC that has a host in the lab."""

    device: str
    """The router's end of the host's link."""
    address: str
    secondary: tuple[str, ...] = ()
    public: tuple[tuple[str, str], ...] = ()
    """Pairs of a private and the public address that belongs to it."""
    groups: tuple[str, ...] = ()
    checked: bool = True
    """Whether source and destination are checked."""
    route_table: str = ""

    @property
    def addresses(self) -> tuple[str, ...]:
        """All private addresses, the primary first."""
        return (self.address, *self.secondary)


@dataclass(frozen=True, slots=True)
class Outsider:
    """A machine outside the VPC: the operator's (by VPN) or a customer's."""

    device: str
    address: str
    by_internet: bool
    """Whether it reaches instances by their public addresses."""


@dataclass(frozen=True, slots=True)
class VpcRoute:
    """A route of a VPC route table to a network interface."""

    table: str
    destination: str
    device: str
    via: str


@dataclass(frozen=True, slots=True)
class Network:
    """Everything the router must know."""

    interfaces: tuple[Interface, ...]
    groups: tuple[SecurityGroup, ...]
    outsiders: tuple[Outsider, ...]
    aws_addresses: tuple[str, ...]
    routes: tuple[VpcRoute, ...] = ()


@dataclass(frozen=True, slots=True, order=True)
class Route:
    """A route of the router's own kernel."""

    table: int
    destination: str
    device: str
    via: str = ""

    def command(self, verb: str) -> str:
        """The line for ``ip -batch`` that puts or removes this route."""
        via = f"via {self.via} onlink " if self.via else ""
        return (
            f"route {verb} {self.destination} {via}dev {self.device} "
            f"table {self.table} proto static"
        )


@dataclass(frozen=True, slots=True, order=True)
class Lookup:
    """Which table answers for packets that come in by a device."""

    device: str
    table: int

    def command(self, verb: str) -> str:
        """The line for ``ip -batch`` that puts or removes this rule."""
        return f"rule {verb} iif {self.device} lookup {self.table} pref 100"


def table_number(route_table: str) -> int:
    """A kernel table for a VPC route table: the same on every call, above 1000."""
    return 1000 + int(route_table.rpartition("-")[2][-6:], 16)


def render_routes(network: Network) -> tuple[frozenset[Route], frozenset[Lookup]]:
    """The router's routes: an address leads only to the interface that holds it."""
    main = 254
    routes = {Route(main, address, AWS_DEVICE) for address in network.aws_addresses} | {
        Route(main, outsider.address, outsider.device) for outsider in network.outsiders
    }
    for interface in network.interfaces:
        routes.add(Route(main, interface.address, interface.device))
        # The host may not have configured it yet: deliver as AWS does, unasked.
        routes |= {
            Route(main, address, interface.device, interface.address)
            for address in interface.secondary
        }
    for route in sorted(network.routes, key=lambda r: r.table, reverse=True):
        for table in (table_number(route.table), _OUTSIDE_TABLE):
            routes = {
                r
                for r in routes
                if (r.table, r.destination) != (table, route.destination)
            }
            routes.add(Route(table, route.destination, route.device, route.via))
    lookups = {
        Lookup(interface.device, table_number(interface.route_table))
        for interface in network.interfaces
        if interface.route_table
    } | {Lookup(outsider.device, _OUTSIDE_TABLE) for outsider in network.outsiders}
    return frozenset(routes), frozenset(lookups)


def render_ruleset(network: Network) -> str:
    """The router's whole nft ruleset; loading it replaces the one before at once."""
    lines = [
        "flush ruleset",
        "table ip vpc {",
        *_maps(network),
        *_group_sets(network),
        *_incoming(network),
        *_remember(),
        *_forward(network),
        *_interface_chains(network),
        *_outgoing(network),
        *_input(),
        "}",
    ]
    return "\n".join(lines) + "\n"


def _maps(network: Network) -> Iterator[str]:
    """Public addresses are one-to-one and without state, as at a VPC's gateway."""
    pairs = [pair for interface in network.interfaces for pair in interface.public]
    yield from _set(
        "map to_private",
        "ipv4_addr : ipv4_addr",
        [f"{public} : {private}" for private, public in pairs],
    )
    yield from _set(
        "map to_public",
        "ipv4_addr : ipv4_addr",
        [f"{private} : {public}" for private, public in pairs],
    )
    yield from _set(
        "set held",
        "ifname . ipv4_addr",
        [
            f'"{interface.device}" . {address}'
            for interface in network.interfaces
            for address in interface.addresses
        ]
        + [
            f'"{outsider.device}" . {outsider.address}'
            for outsider in network.outsiders
        ],
    )


def _group_sets(network: Network) -> Iterator[str]:
    for group in network.groups:
        members = [
            address
            for interface in network.interfaces
            if group.id in interface.groups
            for address in interface.addresses
        ]
        yield from _set(f"set {_identifier(group.id)}", "ipv4_addr", members)


def _set(head: str, type_: str, elements: list[str]) -> Iterator[str]:
    yield f"\t{head} {{"
    yield f"\t\ttype {type_}"
    if elements:
        yield f"\t\telements = {{ {', '.join(sorted(elements))} }}"
    yield "\t}"


def _incoming(network: Network) -> Iterator[str]:
    yield "\tchain incoming {"
    # Before connection tracking, so that it sees private addresses only.
    yield "\t\ttype filter hook prerouting priority -310; policy accept;"
    if checked := _checked(network):
        yield f"\t\tiifname {{ {checked} }} iifname . ip saddr != @held drop"
    if internet := _internet(network):
        yield (
            f"\t\tiifname {{ {internet} }} ip daddr set ip daddr map @to_private "
            f"meta mark set {_FROM_INTERNET}"
        )
    yield "\t}"


def _remember() -> Iterator[str]:
    yield "\tchain remember {"
    yield "\t\ttype filter hook prerouting priority -150; policy accept;"
    yield f"\t\tmeta mark {_FROM_INTERNET} ct mark set {_FROM_INTERNET}"
    yield "\t}"


def _forward(network: Network) -> Iterator[str]:
    hosts = _devices(interface.device for interface in network.interfaces)
    checked = _devices(i.device for i in network.interfaces if i.checked)
    internet = _internet(network)
    yield "\tchain forward {"
    yield "\t\ttype filter hook forward priority 0; policy drop;"
    if checked:
        yield f"\t\toifname {{ {checked} }} oifname . ip daddr != @held drop"
    yield "\t\tct state established,related accept"
    if hosts:
        # Security groups do not apply to the metadata service.
        yield (
            f'\t\tiifname {{ {hosts} }} oifname "{AWS_DEVICE}" '
            f"ip daddr {METADATA} accept"
        )
        yield f"\t\tiifname vmap {{ {_jumps(network, 'out')} }}"
        yield f"\t\toifname vmap {{ {_jumps(network, 'in')} }}"
    yield f'\t\tip daddr != {METADATA} oifname "{AWS_DEVICE}" accept'
    if hosts and internet:
        yield (
            f"\t\tiifname {{ {hosts} }} oifname {{ {internet} }} "
            f"ct mark set {_FROM_INTERNET} accept"
        )
    if hosts:
        outside = _devices(o.device for o in network.outsiders if not o.by_internet)
        if outside:
            yield f"\t\tiifname {{ {hosts} }} oifname {{ {outside} }} accept"
    yield "\t}"


def _interface_chains(network: Network) -> Iterator[str]:
    groups = {group.id: group for group in network.groups}
    for interface in network.interfaces:
        own = [groups[id_] for id_ in interface.groups if id_ in groups]
        name = _identifier(interface.device)
        yield f"\tchain in_{name} {{"
        for group in own:
            for rule in group.ingress:
                yield from _matches(rule, "saddr", "accept")
        yield "\t\tdrop"
        yield "\t}"
        yield f"\tchain out_{name} {{"
        for group in own:
            for rule in group.egress:
                yield from _matches(rule, "daddr", "return")
        yield "\t\tdrop"
        yield "\t}"


def _matches(rule: Rule, side: str, verdict: str) -> Iterator[str]:
    what = _protocol(rule)
    peers = [
        "" if network == "0.0.0.0/0" else f"ip {side} {network} "
        for network in rule.networks
    ] + [f"ip {side} @{_identifier(group)} " for group in rule.groups]
    for peer in peers:
        yield f"\t\t{peer}{what}{verdict}"


def _protocol(rule: Rule) -> str:
    if rule.protocol == "-1":
        return ""
    if rule.protocol in ("tcp", "udp") and rule.ports and rule.ports[0] >= 0:
        first, last = rule.ports
        ports = f"{first}" if first == last else f"{first}-{last}"
        return f"{rule.protocol} dport {ports} "
    return f"ip protocol {rule.protocol} "


def _outgoing(network: Network) -> Iterator[str]:
    yield "\tchain outgoing {"
    yield "\t\ttype filter hook postrouting priority 150; policy accept;"
    if internet := _internet(network):
        marked = f"oifname {{ {internet} }} ct mark {_FROM_INTERNET}"
        yield f"\t\t{marked} ip saddr set ip saddr map @to_public accept"
        # Without a public address there is no way back by the gateway.
        yield f"\t\t{marked} drop"
    yield "\t}"


def _input() -> Iterator[str]:
    yield "\tchain input {"
    yield "\t\ttype filter hook input priority 0; policy drop;"
    yield "\t}"


def _jumps(network: Network, direction: str) -> str:
    return ", ".join(
        f'"{i.device}" : jump {direction}_{_identifier(i.device)}'
        for i in network.interfaces
    )


def _checked(network: Network) -> str:
    hosts = [i.device for i in network.interfaces if i.checked]
    return _devices([*hosts, *(o.device for o in network.outsiders)])


def _internet(network: Network) -> str:
    return _devices(o.device for o in network.outsiders if o.by_internet)


def _devices(devices: Iterator[str] | list[str]) -> str:
    return ", ".join(f'"{device}"' for device in devices)


def _identifier(text: str) -> str:
    return text.replace("-", "_")
