"""What is still wrong with a load balancer or a pair, from what they say of themselves.

Pure.
"""

from collections.abc import Collection, Mapping

from portway.cluster import STATS_FRONTEND, Cluster
from portway.facts import LoadBalancerStatus

SHOWN = 5
"""How many names an error lists before it only counts."""


def node_shortcomings(cluster: Cluster, status: LoadBalancerStatus) -> tuple[str, ...]:
    """Why a load balancer does not serve every client; () if it does."""
    frontends = {frontend.name for frontend in cluster.frontends} | {STATS_FRONTEND}
    backends = {backend.name for backend in cluster.backends}
    found = []
    if not status.frontends:
        return ("HAProxy does not answer on its socket",)
    if missing := frontends - status.frontends:
        found.append(f"frontends not accepting connections: {_listed(missing)}")
    if extra := status.frontends - frontends:
        found.append(f"frontends of an older configuration: {_listed(extra)}")
    if missing := backends - status.backends:
        found.append(f"backends without a healthy server: {_listed(missing)}")
    if not status.keepalived_active:
        found.append("keepalived is not running")
    return tuple(found)


def pair_shortcomings(
    cluster: Cluster, statuses: Mapping[str, LoadBalancerStatus | None]
) -> tuple[str, ...]:
    """Why not exactly the right node of the pair is VRRP master; () if it is.

    The right one is the master of record, unless it does not serve; then it is the
    other. ``statuses`` is by node name; None stands for a node that could not be
    asked, about which nothing is claimed.
    """
    masters = [n for n, s in statuses.items() if s is not None and s.is_vrrp_master]
    if len(masters) > 1:
        return (f"both {' and '.join(masters)} are VRRP master",)
    if not masters and None not in statuses.values():
        return (f"neither {' nor '.join(statuses)} is VRRP master",)
    (of_record,) = (lb.name for lb in cluster.load_balancers if lb.is_master)
    status = statuses[of_record]
    if status is None or node_shortcomings(cluster, status) or of_record in masters:
        return ()
    return (f"{of_record} serves and is the master of record, but not VRRP master",)


def _listed(names: Collection[str]) -> str:
    shown = ", ".join(sorted(names)[:SHOWN])
    return shown if len(names) <= SHOWN else f"{shown} and {len(names) - SHOWN} more"
