"""Everything, in order: the database, the application, the load balancers.

Each stage begins when the one before it has ended on every node; a failure stops the
rest. The application serves what the load balancers use and what they will use; when
they have switched, it closes what nobody uses any more.
"""

from pyinfra import host, local

from portway.application.deploy import (
    application_node,
    close_unused,
    later_batches,
    wanted_application,
)
from portway.database.deploy import (
    is_database_gateway,
    lock_former_login,
    wanted_database,
)
from portway.load_balancers.asking import is_last
from portway.load_balancers.deploy import verify_clients
from portway.ops.ordering import barrier
from portway.run.inventory import current_cluster

barrier(name="First the database")
local.include("deploys/db.py")
barrier(name="The database is ready; now the application")
local.include("deploys/app.py")
barrier(name="The application runs; now the load balancers")
local.include("deploys/lb.py")
barrier(name="The load balancers have switched; now the application closes old ports")

cluster = current_cluster()
node = application_node(cluster)
is_balancer = host.name in {lb.name for lb in cluster.load_balancers}

if node is not None:
    wanted = wanted_application(cluster, node, with_load_balancers=True)
    for turn in host.loop(later_batches(cluster)):  # type: ignore[no-untyped-call]
        if node.name in turn:
            close_unused(
                cluster=cluster,
                node=node,
                wanted=wanted,
                name=f"Close unused ports on {', '.join(turn)}",
            )

barrier(name="No node changes any more; now the former database login is locked")
if is_database_gateway(cluster):
    lock_former_login(
        cluster=cluster,
        wanted=wanted_database(cluster),
        name="Lock the database login that no node uses any more",
    )

if is_balancer and is_last(cluster, host.name):
    verify_clients(cluster=cluster, name="Verify that each client has a node")
