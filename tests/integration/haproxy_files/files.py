"""Random HAProxy files in pairs: the old one as people write them, and a new one."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from portway.contract.paths import HAPROXY_CONFIG
from portway.model.build import build_cluster
from portway.model.cluster import Cluster
from portway.model.stack import Ports
from portway.render.load_balancer import load_balancer
from tests.unit.samples import clients, settings, stack

NETWORKS = (
    ("127.0.1.0/24",),
    ("127.0.2.0/24",),
    ("127.0.2.8/29", "127.0.1.1/32"),
    ("127.0.3.1/32",),
    ("127.0.0.0/8",),
)
SERVERS = ("127.0.9.1", "127.0.9.2", "127.0.9.3")
SOURCES = ("127.0.1.1", "127.0.2.1", "127.0.2.9", "127.0.3.1")
ANSWERS: dict[str, tuple[str, ...]] = {
    "nothing": (),
    "dispatch": (f"dispatch {SERVERS[-1]}:{{port}}",),
    "monitor": ("monitor-uri /",),
    "redirect": ("redirect location http://elsewhere.example/",),
}
"""What a section may have where others have servers."""
GLOBAL = "global\n    nbthread 1\n"
TIMEOUTS = "    timeout connect 2s\n    timeout client 1m\n    timeout server 1m\n"


@dataclass(frozen=True)
class Service:
    """What one port is meant to do."""

    port: int
    http: bool = False
    servers: tuple[str, ...] = SERVERS
    app_port: int | None = None
    allow: tuple[str, ...] = ()
    proxy: str = ""
    bound_to: str = ""
    split: tuple[str, ...] = ()
    """Sources that get the last of the servers only."""
    backup: bool = False
    """Whether the last of the servers is on standby."""
    answer: str = ""
    """What its section has in the place of servers."""

    @property
    def is_judged(self) -> bool:
        return self.answer in ("", "nothing")


def services(dice: random.Random, ports: list[int], app_port: int) -> list[Service]:
    answers = [
        dice.choice([*ANSWERS, "nothing"]) if dice.random() < 0.2 else "" for _ in ports
    ]
    return [
        Service(
            port,
            http=answer in ("monitor", "redirect") or dice.random() < 0.4,
            servers=SERVERS[: dice.randint(1, 3)],
            app_port=dice.choice([None, app_port]),
            allow=dice.choice([(), *NETWORKS]),
            proxy=dice.choice(["", "", "v2", "v1"]),
            bound_to=dice.choice(["", "", "", "127.0.0.1"]),
            split=() if answer else dice.choice([(), (), (), *NETWORKS]),
            backup=dice.random() < 0.2,
            answer=answer,
        )
        for port, answer in zip(ports, answers, strict=True)
    ]


def changed(dice: random.Random, service: Service, app_port: int) -> Service | None:
    """The service with something else, or with something that is as good."""
    changes: list[dict[str, Any]] = [
        {},
        {},
        {"http": not service.http},
        {"servers": dice.choice([SERVERS[:1], SERVERS[1:], SERVERS])},
        {"app_port": dice.choice([None, app_port])},
        {"allow": dice.choice([(), *NETWORKS])},
        {"proxy": dice.choice(["", "v2"])},
        {"split": ()},
        {"answer": ""},
        {"answer": "nothing"},
    ]
    if not service.is_judged:
        changes = [change for change in changes if "http" not in change]
    if dice.random() < 0.1:
        return None
    return replace(service, **dice.choice(changes))


def written(dice: random.Random, wanted: list[Service]) -> str:
    """The services in a file as people write them."""
    usual = dice.choice(["tcp", "http"])
    off, on = dice.choice([("", ""), ("    disabled\n", "    enabled\n")])
    text = f"{GLOBAL}defaults\n    mode {usual}\n{TIMEOUTS}{off}"
    named = {"tcp": " from plain", "http": " from web"} if dice.random() < 0.4 else {}
    for mode, name in (("tcp", "plain"), ("http", "web")) if named else ():
        text += f"defaults {name}\n    mode {mode}  # as usual\n{TIMEOUTS}{off}"
    for service in wanted:
        mode = "http" if service.http else "tcp"
        origin = named.get(mode, "")
        said = "" if origin or (not named and mode == usual) else f"    mode {mode}\n"
        text += "\n".join(_sections(dice, service, origin, said + on)) + "\n"
    # Nothing of this is served, though others have its port.
    gone = f"    bind :{wanted[0].port}\n    server gone 127.0.9.9:9\n"
    origin = dice.choice([*named.values(), ""])
    return f"{text}listen gone{origin}\n{gone}" + (off or "    disabled\n")


def _sections(
    dice: random.Random, service: Service, origin: str, mode: str
) -> Iterator[str]:
    name = f"s{service.port}"
    as_listen = dice.random() < 0.5
    yield f"{'listen' if as_listen else 'frontend'} {name}{origin}\n{mode}"
    yield from _bind(dice, service)
    yield from _allow(dice, service)
    if service.split:
        yield f"    acl special src {' '.join(service.split)}"
        yield f"    use_backend {name}_special if special"
    if not as_listen:
        yield f"    default_backend {name}_all"
        yield f"backend {name}_all{origin}\n{mode}"
    yield from _servers(dice, service)
    if service.split:
        yield f"backend {name}_special{origin}\n{mode}"
        alone = replace(service, servers=service.servers[-1:], backup=False, answer="")
        yield from _servers(dice, alone)


def _bind(dice: random.Random, service: Service) -> Iterator[str]:
    address = service.bound_to or dice.choice(["*", "", "0.0.0.0"])
    if service.bound_to and dice.random() < 0.5:
        yield f"    bind {address}:{service.port},127.0.0.2:{service.port}"
    else:
        ports = dice.choice(["{0}", "{0}-{0}"]).format(service.port)
        yield f"    bind {address}:{ports} name main"


def _allow(dice: random.Random, service: Service) -> Iterator[str]:
    if not service.allow:
        return
    sources = " ".join(service.allow)
    how = dice.choice(["connection", "content", "request", "accept", "lines", "mask"])
    if how == "request" and not service.http:
        how = "connection"
    if how == "request":
        yield f"    acl ours src {sources}"
        yield "    http-request deny if !ours"
    elif how == "accept":
        yield f"    tcp-request connection accept if {{ src {sources} }}"
        yield "    tcp-request connection reject"
    elif how == "lines":
        yield from (f"    acl ours src {network}" for network in service.allow)
        yield "    tcp-request connection reject if TRUE !ours || FALSE"
    elif how == "mask":
        masks = {"/24": "/255.255.255.0", "/29": "/255.255.255.248", "/32": ""}
        for short, long in masks.items():
            sources = sources.replace(short, long)
        yield f"    tcp-request connection reject unless {{ src {sources} }}"
    else:
        yield f"    acl ours src {sources}"
        yield f"    tcp-request {how} reject unless ours"


def _servers(dice: random.Random, service: Service) -> Iterator[str]:
    if service.answer:
        port = service.app_port or service.port
        yield from ("    " + line.format(port=port) for line in ANSWERS[service.answer])
        return
    yield f"    balance {dice.choice(['roundrobin', 'static-rr'])}"
    proxy = {"": "", "v1": "send-proxy", "v2": "send-proxy-v2"}[service.proxy]
    if dice.random() < 0.5:
        yield f"    default-server inter 5s fall 2 {proxy}"
        proxy = ""
    place = f":{service.app_port}" if service.app_port else ""
    if not place and dice.random() < 0.3:
        place = f":{service.port}"
    for number, address in enumerate(service.servers, start=1):
        last = number == len(service.servers)
        more = " backup" if service.backup and last else ""
        check = "check" if place else f"check port {service.port}"
        yield f"    server app{number} {address}{place} {proxy}{more} {check}"
    if dice.random() < 0.2:
        yield "    server gone 127.0.9.9:9 disabled"


def rendered(wanted: list[Service], ports: Ports) -> str:
    """The services as Portway writes them, as far as it can."""
    plain = stack(len(SERVERS), ports=ports)
    addresses = {f"app-{n}": address for n, address in enumerate(SERVERS, start=1)}
    addresses |= {"lb-1": "127.0.0.8", "lb-2": "127.0.0.7"}
    nodes = tuple(replace(node, address=addresses[node.name]) for node in plain.nodes)
    entries = [
        {
            "client_name": f"c{service.port}",
            "client_port": service.port,
            "mode": "http" if service.http else "tcp",
            "nodes": [f"app-{SERVERS.index(a) + 1}" for a in service.servers],
            "balance": "roundrobin",
            "send_proxy": bool(service.proxy),
        }
        | ({"app_port": service.app_port} if service.app_port else {})
        | ({"allow": list(service.allow)} if service.allow else {})
        for service in wanted
    ]
    return _text(
        build_cluster(replace(plain, nodes=nodes), settings(), _one_protocol(entries))
    )


def _one_protocol(entries: list[dict[str, Any]]) -> Any:
    """The clients, without those that a shared application port makes impossible."""
    first: dict[Any, dict[str, Any]] = {}
    for entry in entries:
        if port := entry.get("app_port"):
            model = first.setdefault(port, entry)
            entry |= {key: model[key] for key in ("mode", "send_proxy")}
    return clients(*entries)


def _text(cluster: Cluster) -> str:
    wanted = load_balancer(cluster, cluster.load_balancers[0])
    (config,) = (f for f in wanted.files if f.path == str(HAPROXY_CONFIG))
    _, defaults, rest = str(config.content).partition("\ndefaults")
    return f"{GLOBAL}{defaults}{rest}".replace(
        "    load-server-state-from-file global\n", ""
    )
