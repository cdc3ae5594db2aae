"""Hand the clients' address to a load balancer on purpose, for patching the other.

    pyinfra inventories/prod.py deploys/transfer.py --data transfer_to=lb-2

The transfer holds, over reboots too, until the address is handed back in the same way.
A node that has handed the address over still takes it if the other one cannot serve.
"""

from pyinfra import host

from portway.load_balancers.asking import is_last
from portway.load_balancers.transfer import (
    hand_over,
    take_back,
    tell_streams_left,
    transfer_target,
    verify_target,
    verify_transfer,
)
from portway.run.exclusive import one_run_at_a_time
from portway.run.inventory import current_cluster

cluster = current_cluster()
one_run_at_a_time(cluster, configures=False)
target = transfer_target(cluster)
lb = {member.name: member for member in cluster.load_balancers}.get(host.name)

if lb is not None:
    verify_target(
        cluster=cluster, target=target, name=f"Verify that {target.name} serves"
    )
    hand_over(lb, target)
    take_back(cluster=cluster, lb=lb, target=target, name=f"Ask {target.name} for it")
    if is_last(cluster, lb.name):
        verify_transfer(
            cluster=cluster,
            target=target,
            name=f"Wait until {target.name} has the address",
        )
        tell_streams_left(target=target, name="Count the streams that are left")
