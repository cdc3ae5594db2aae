"""A VPC as values, and the routes that follow from it: pure, nothing is read or done.

What AWS says goes in (interfaces, security groups, route tables); what the router of
the lab must know comes out, here as routes and in ``ruleset`` as text for nft.
"""

from dataclasses import dataclass

from lab.plan.facts import AWS_DEVICE, Outsider

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
    """The router's routes: an address is routed only to the interface that holds it."""
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
