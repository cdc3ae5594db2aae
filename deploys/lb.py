"""The load balancers: HAProxy and keepalived, the node that holds the address last.

Run it after the stack was created, and again whenever something may have drifted.
"""

from pyinfra import host

from portway.application.changes import verify_application_ports
from portway.load_balancers.asking import is_last
from portway.load_balancers.deploy import (
    apply_load_balancer,
    run_keepalived,
    verify_clients,
    verify_load_balancer,
    verify_pair,
    verify_standby,
    wanted_load_balancer,
)
from portway.load_balancers.permissions import try_permissions_late
from portway.load_balancers.pulled import begin, tell_that_it_serves, wait_for_holder
from portway.load_balancers.standby_first import verify_order
from portway.ops.ordering import barrier
from portway.run.exclusive import one_run_at_a_time
from portway.run.inventory import changes_everything, current_cluster

cluster = current_cluster()
one_run_at_a_time(cluster)
lb = {member.name: member for member in cluster.load_balancers}.get(host.name)

if lb is not None:
    wanted = wanted_load_balancer(cluster, lb)

    verify_application_ports(  # on both, before anything is touched
        cluster=cluster, wanted=wanted, name="Verify that the application serves it all"
    )
    verify_order(cluster=cluster, lb=lb, wanted=wanted, name="Verify the order")
    begin(cluster=cluster, lb=lb, wanted=wanted, name="Keep the order of the pair")
    if not lb.holds_address:  # the standby first …
        apply_load_balancer(cluster, wanted)
    verify_standby(cluster=cluster, lb=lb, name="Verify the standby")  # on both
    if lb.holds_address:  # … and the holder only once the standby serves
        apply_load_balancer(cluster, wanted)
        verify_load_balancer(cluster=cluster, name="Verify the holder of the address")
        run_keepalived(cluster, wanted)
    tell_that_it_serves(cluster=cluster, lb=lb, name="Tell the other that it serves")
    wait_for_holder(  # which then knows its peer: on both
        cluster=cluster, lb=lb, wanted=wanted, name="The holder knows its peer"
    )
    if not lb.holds_address:
        run_keepalived(cluster, wanted)
    barrier(name="Both take part in VRRP")  # on both
    try_permissions_late(
        stack=cluster.stack, name="Test what the node still may do in AWS"
    )

    if is_last(cluster, lb.name):
        verify_pair(cluster=cluster, name="Verify the VRRP master and its address")
        if not changes_everything():
            verify_clients(cluster=cluster, name="Verify that each client has a node")
