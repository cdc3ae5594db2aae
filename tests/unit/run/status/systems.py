"""Systems to look at: all is well, and then one thing is not."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from portway.application.status import ApplicationStatus
from portway.load_balancers.status import DownServer, LoadBalancerStatus
from portway.load_balancers.traffic import ClientTraffic, OldWorker, Traffic
from portway.model.build import build_cluster
from portway.model.deployed import Checkout, Deployed
from portway.model.stack import Role
from portway.run.status.values import SeenNode, System
from tests.unit import samples

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
DEPLOYED = Deployed(
    checkout=Checkout("0.4.0", "a" * 40, 1_795_000_000),
    clients_sha256="c",
    settings_sha256="s",
    deploys="deploys/site.py",
    who="anna@desk",
    when=1_795_000_100,
    succeeded=True,
)


def system(*entries: dict[str, Any], **of_stack: Any) -> System:
    """A system in which all is well: lb-1 has the address, app-1 and app-2 serve."""
    stack = samples.stack()
    holder = stack.nodes[0].interface_id
    stack = replace(
        stack, virtual_address=samples.elastic_ip(holder=holder), **of_stack
    )
    cluster = build_cluster(stack, samples.settings(), samples.clients(*entries))
    names = [frontend.name for frontend in cluster.frontends]
    status = LoadBalancerStatus(
        frontends=frozenset({*names, "stats"}),
        backends=frozenset(backend.name for backend in cluster.backends),
        keepalived_active=True,
        mover_active=True,
        check_active=True,
        check_counts=True,
        keeper_active=True,
        seen_holder="lb-1",
    )
    ports = frozenset(frontend.port for frontend in cluster.frontends)
    traffic = Traffic(
        runs=True,
        answers=True,
        clients=tuple(ClientTraffic(name, 0, 2, 9, 1, "OPEN") for name in names),
    )
    nodes = []
    for node in stack.nodes:
        seen = SeenNode(node, deployed=DEPLOYED)
        if node.role is Role.LOAD_BALANCER:
            is_master = node.name == "lb-1"
            nodes.append(
                replace(
                    seen,
                    balancer=replace(status, holds_vrrp_address=is_master),
                    traffic=traffic if is_master else replace(traffic, clients=()),
                )
            )
        else:
            found = ApplicationStatus("active", "1.0.0", ports)
            nodes.append(replace(seen, application=found))
    return System(cluster, tuple(nodes), NOW, aws_read_at=NOW)


def but(found: System, name: str, **changes: Any) -> System:
    """The same, with one node that is different."""
    return replace(
        found,
        nodes=tuple(
            replace(seen, **changes) if seen.node.name == name else seen
            for seen in found.nodes
        ),
    )


def but_status(found: System, name: str, **changes: Any) -> System:
    """The same, with one load balancer whose status is different."""
    seen = found.node(name)
    assert seen is not None
    assert seen.balancer is not None
    return but(found, name, balancer=replace(seen.balancer, **changes))


def broken() -> System:
    """Five things are broken or odd at once, and names are long.

    lb-1 has handed the address over and its HAProxy is stopped; app-2 is stopped; both
    servers of the ordered client are in maintenance; a stream is in an older process.
    """
    one = {"client_name": "client_one", "client_port": 9001}
    orders = {"client_name": "client_two_orders", "client_port": 9003, "ordered": True}
    long = {"client_name": "northern_district_laboratory_results", "client_port": 9010}
    found = system(one, orders, long)
    address = found.cluster.stack.virtual_address
    place = replace(address.objects[0], holder=found.nodes[1].node.interface_id)
    moved = replace(address, objects=(place,))
    stack = replace(found.cluster.stack, virtual_address=moved)
    found = replace(found, cluster=replace(found.cluster, stack=stack))
    down = "L4CON (Connection refused)"
    backends = [b.name for b in found.cluster.backends if not b.ordered]
    ordered = [b.name for b in found.cluster.backends if b.ordered]
    servers = (
        *(DownServer(b, n, "MAINT", "") for b in ordered for n in ("app-1", "app-2")),
        *(DownServer(b, "app-2", "DOWN", down) for b in backends),
    )
    newest = tuple(
        ClientTraffic(f.name, 0, 0, 9, 1, "OPEN") for f in found.cluster.frontends
    )
    found = but(
        but(found, "lb-1", traffic=Traffic()),
        "lb-2",
        traffic=Traffic(
            runs=True,
            answers=True,
            clients=(*newest, ClientTraffic("client_one", 1977, 1, 9, 1, "STOP")),
            older=(OldWorker(1977, "0d00h02m01s", 1),),
        ),
    )
    found = but_status(
        found,
        "lb-1",
        frontends=frozenset(),
        backends=frozenset(),
        holds_vrrp_address=False,
        handed_over=True,
        seen_holder="lb-2",
    )
    found = but_status(
        found,
        "lb-2",
        holds_vrrp_address=True,
        seen_holder="lb-2",
        backends=frozenset(backends),
        down=servers,
    )
    return but(found, "app-2", application=ApplicationStatus("inactive", "1.0.0"))
