"""Load balancers that do not answer a run, and that it may do without."""

from typing import TypeVar

from pyinfra.api import FactBase

from portway.aws.reading import address_reader
from portway.errors import PortwayError
from portway.model.cluster import Cluster, LoadBalancer
from portway.ops.reading import once_per_run
from portway.ops.remote import ask, is_silent, node_of_run

T = TypeVar("T")


def is_left_out(cluster: Cluster, lb: LoadBalancer) -> bool:
    """Whether a run goes on without a load balancer, to which no address points now.

    AWS is asked each time: the node may come back in the middle of a run, and take the
    address. From then on it serves, and must be asked before anything is restarted.
    """
    if not is_silent(lb.name):
        return False
    read = once_per_run("address reader", lambda: address_reader(cluster.stack))
    return lb.node.interface_id not in {found.holder for found in read()}


def ask_unless_left_out(
    cluster: Cluster, lb: LoadBalancer, fact: type[FactBase[T]]
) -> T | None:
    """A fact of a load balancer; None if the run goes on without it.

    That may show when it is asked. PortwayError if the run must not go on.
    """
    node = node_of_run(lb.name)
    if is_left_out(cluster, lb):
        return None
    try:
        return ask(node, fact)
    except PortwayError:
        if is_left_out(cluster, lb):
            return None
        raise
