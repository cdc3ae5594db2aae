"""The load balancers: HAProxy and keepalived, the node that holds the address last.

Run it after the stack was created, and again whenever something may have drifted.
"""

from pyinfra import host

from portway.inventory import current_cluster
from portway.load_balancers import (
    apply_load_balancer,
    associate_address,
    is_last,
    verify_load_balancer,
    verify_pair,
    verify_standby,
    wanted_load_balancer,
)

cluster = current_cluster()
lb = cluster.load_balancer(host.name)
wanted = wanted_load_balancer(cluster, lb)

if not lb.holds_address:  # the standby first …
    apply_load_balancer(wanted)
verify_standby(cluster=cluster, lb=lb, name="Verify the standby")  # on both: a barrier
if lb.holds_address:  # … and the holder only when that stood up
    apply_load_balancer(wanted)
    verify_load_balancer(cluster=cluster, name="Verify the holder of the address")

if is_last(cluster, lb):
    verify_pair(cluster=cluster, name="Verify that exactly one node is VRRP master")
    associate_address(cluster=cluster, name="Associate the Elastic IP")
