"""A VPC as a ruleset for nft: pure, a network in, text out.

Public addresses are translated one to one and without state, as at a VPC's gateway;
security groups keep state; source and destination are checked per interface.
"""

from collections.abc import Iterable, Iterator

from lab.plan.facts import AWS_DEVICE, METADATA
from lab.vpc.network import Network, Rule

_FROM_INTERNET = "0x1"
"""Mark of connections that came by a public address, so their answers leave by it."""
_BY_GATEWAY = "0x2"
"""Mark of connections between two hosts by a public address: out at the gateway, and in
again, so that each sees the other's public address. Their security groups do, too."""


def render_ruleset(network: Network) -> str:
    """The table of the VPC for nft; loading it replaces the one before at once.

    Other tables are left alone: faults have their own.
    """
    lines = [
        "table ip vpc",
        "delete table ip vpc",
        "table ip vpc {",
        *_maps(network),
        *_group_sets(network),
        *_incoming(network),
        *_remember(),
        *_by_gateway(),
        *_forward(network),
        *_interface_chains(network),
        *_outgoing(network),
        *_input(),
        "}",
    ]
    return "\n".join(lines) + "\n"


def _maps(network: Network) -> Iterator[str]:
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
    if hosts := _devices(interface.device for interface in network.interfaces):
        yield (
            f"\t\tiifname {{ {hosts} }} ip daddr set ip daddr map @to_private "
            f"meta mark set {_BY_GATEWAY}"
        )
    yield "\t}"


def _remember() -> Iterator[str]:
    yield "\tchain remember {"
    yield "\t\ttype filter hook prerouting priority -150; policy accept;"
    for mark in (_FROM_INTERNET, _BY_GATEWAY):
        yield f"\t\tmeta mark {mark} ct mark set {mark}"
    yield "\t}"


def _by_gateway() -> Iterator[str]:
    yield "\tchain by_gateway {"
    # After connection tracking and routing, and before the security groups.
    yield "\t\ttype filter hook forward priority -10; policy accept;"
    marked = f"ct mark {_BY_GATEWAY}"
    yield f"\t\t{marked} ip saddr set ip saddr map @to_public accept"
    # Without a public address there is no way out by the gateway.
    yield f"\t\t{marked} drop"
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


def _devices(devices: Iterable[str]) -> str:
    return ", ".join(f'"{device}"' for device in devices)


def _identifier(text: str) -> str:
    return text.replace("-", "_")
