"""One deployment as plain values: everything that files are rendered from.

``portway.model.build`` makes them.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from portway.model.health import HealthCheck
from portway.model.stack import Node, Stack

if TYPE_CHECKING:  # pydantic is most of what an import of these costs
    from ipaddress import IPv4Network, IPv6Network

    from portway.model.fields import Balance, Mode
    from portway.model.settings import Settings

STATS_FRONTEND = "stats"


@dataclass(frozen=True, slots=True)
class Server:
    """An application node as HAProxy sees it; it has no port but the client's."""

    name: str
    address: str

    @property
    def id(self) -> int:
        """Its place in consistent hashes: the same whatever nodes come and go."""
        return (zlib.crc32(self.name.encode()) & 0x7FFFFFFF) or 1


@dataclass(frozen=True, slots=True)
class Backend:
    """Servers shared by every client with the same needs."""

    name: str
    mode: Mode
    balance: Balance
    idle_timeout: int
    """Seconds."""
    send_proxy: bool
    ordered: bool
    port: int | None
    """Port on the servers; None keeps the one that the connection came in on."""
    servers: tuple[Server, ...]
    """In the order of preference if ``ordered``."""


@dataclass(frozen=True, slots=True)
class Frontend:
    """One enabled client's port on the load balancers."""

    name: str
    port: int
    mode: Mode
    backend: str
    idle_timeout: int
    """Seconds."""
    allow: tuple[IPv4Network | IPv6Network, ...]
    """Sources that may connect; empty for anyone."""
    max_connections: int | None
    retire_after: int | None
    """Seconds that a stream in an older HAProxy process may idle; 0 for any time, None
    for what is usual."""
    description: str
    absent: tuple[str, ...] = ()
    """The names in its ``nodes`` that no application node has now."""


@dataclass(frozen=True, slots=True)
class LoadBalancer:
    """One node of the pair, its part in it, and its peer."""

    node: Node
    peer: Node | None
    """None while the other load balancer is gone."""
    is_master: bool
    """Whether it is the master of record, with the higher base priority."""
    priority: int
    """Its base priority."""
    healthy_priority: int
    """What it advertises while its check succeeds."""
    transfer_weight: int
    """What a planned transfer adds to the priority of the node that hands over."""
    stay_weight: int
    """What keeps the address at this node once it has taken it over; 0 if it is the
    node's anyway, or goes back at once."""
    claim_weight: int
    """What makes this node take the address back; 0 if it never does."""
    holds_address: bool
    """Whether clients reach this node now. While no node holds the address (a new
    stack), the master of record counts as the holder."""

    @property
    def name(self) -> str:
        return self.node.name


@dataclass(frozen=True, slots=True)
class Cluster:
    """One deployment, complete and consistent."""

    stack: Stack
    settings: Settings
    load_balancers: tuple[LoadBalancer, ...]
    """The standby first, the holder of the address last: the order of a rollout. One,
    while the other is gone."""
    frontends: tuple[Frontend, ...]
    """By port."""
    backends: tuple[Backend, ...]
    """By name."""
    warnings: tuple[str, ...] = ()
    """What is odd about the clients file, and deployed all the same."""

    @property
    def health(self) -> HealthCheck:
        """How every application node is asked whether it is healthy."""
        return HealthCheck(
            port=self.stack.ports.health,
            path=self.settings.health_path,
            host=self.settings.health_host,
            connect_timeout=self.settings.connect_timeout,
        )

    @property
    def statistics_networks(self) -> tuple[str, ...]:
        """Who may see the statistics: operators, and the load balancers themselves."""
        own = [lb.node.address for lb in self.load_balancers]
        more = map(str, self.settings.stats_allow)
        return tuple(sorted({*self.stack.operator_networks, *more, *own}))

    def load_balancer(self, name: str) -> LoadBalancer:
        """The load balancer of this name; KeyError if there is none."""
        return {lb.name: lb for lb in self.load_balancers}[name]
