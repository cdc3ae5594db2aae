"""The vendor's application: a release from Artifactory on every application node.

Run it to change the version or a client, when the database's password was rotated, and
again whenever something may have drifted. Nodes change in turns, each out of service
if it must restart; one that does not become healthy stops the rest. It is refused if it
would close a port that the load balancers use: site.py changes both.
"""

from pyinfra import host

from portway.application.deploy import (
    announce,
    application_node,
    batches,
    change_application,
    fetch_release,
    look_for_programs,
    wanted_application,
)
from portway.application.pulled import note_that_it_serves
from portway.load_balancers.deploy import warn_of_down_servers
from portway.ops.operations import apply_sysctls, remove_stray_files, write_files
from portway.ops.packages import install_packages
from portway.run.exclusive import one_run_at_a_time
from portway.run.inventory import changes_everything, current_cluster

cluster = current_cluster()
one_run_at_a_time(cluster)
node = application_node(cluster)

if node is not None:
    wanted = wanted_application(cluster, node, with_load_balancers=changes_everything())
    version = wanted.release.version
    look_for_programs(cluster, wanted)
    announce(cluster, node, wanted)

    install_packages(wanted=wanted.node, name="Install packages")
    write_files(
        files=wanted.system_files, wanted=wanted.node, name="Write Portway's own files"
    )
    apply_sysctls(wanted=wanted.node, name="Apply kernel settings")
    remove_stray_files(wanted=wanted.node, name="Remove files of other versions")
    fetch_release(  # on all, side by side
        wanted=wanted, name=f"Fetch release {version}"
    )

    for turn in host.loop(batches(cluster)):  # type: ignore[no-untyped-call]
        if node.name in turn:
            change_application(
                cluster=cluster,
                wanted=wanted,
                name=f"Run release {version} on {', '.join(turn)}",
            )

    note_that_it_serves(  # in a run of its own
        cluster=cluster, wanted=wanted, name="Verify that the application serves"
    )
    warn_of_down_servers(cluster=cluster, name="Look at every server")
