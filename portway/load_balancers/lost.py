"""Load balancers that a run could not connect to, and may do without."""

from portway.aws.reading import address_reader
from portway.model.cluster import Cluster, LoadBalancer
from portway.ops.reading import once_per_run
from portway.ops.remote import is_lost


def is_left_out(cluster: Cluster, lb: LoadBalancer) -> bool:
    """Whether a run goes on without a load balancer, to which no address points now.

    AWS is asked each time: the node may come back in the middle of a run, and take the
    address. From then on it serves, and must be asked before anything is restarted.
    """
    if not is_lost(lb.name):
        return False
    read = once_per_run("address reader", lambda: address_reader(cluster.stack))
    return lb.node.interface_id not in {found.holder for found in read()}
