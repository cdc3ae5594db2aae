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
    wanted_load_balancer,
)
from portway.ordering import stage

cluster = current_cluster()
lb = {member.name: member for member in cluster.load_balancers}.get(host.name)

if lb and not lb.holds_address:  # the standby first …
    wanted = wanted_load_balancer(cluster, lb)
    apply_load_balancer(wanted)
    verify_load_balancer(cluster=cluster, name="Verify the standby")

stage(name="The standby serves; now the holder of the address")

if lb and lb.holds_address:  # … and the holder only when that stood up
    wanted = wanted_load_balancer(cluster, lb)
    apply_load_balancer(wanted)
    verify_load_balancer(cluster=cluster, name="Verify the holder of the address")

if lb and is_last(cluster, lb):
    verify_pair(cluster=cluster, name="Verify that exactly one node is VRRP master")
    associate_address(cluster=cluster, name="Associate the Elastic IP")
