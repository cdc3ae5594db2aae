"""The vendor's application: a release from Artifactory on every application node.

Run it to change the version or a client, when the database's password was rotated, and
again whenever something may have drifted. Nodes are changed in turns, each out of
service meanwhile; one that does not become healthy stops the rest.
"""

from pyinfra import host

from portway.application import (
    application_node,
    batches,
    change_application,
    fetch_release,
    wanted_application,
)
from portway.inventory import current_cluster
from portway.operations import install_packages, write_file

cluster = current_cluster()
node = application_node(cluster)

if node is not None:
    wanted = wanted_application(cluster, node)
    version = wanted.release.version

    install_packages(wanted=wanted.node, name="Install packages")
    write_file(
        file=wanted.installer,
        wanted=wanted.node,
        name=f"Write {wanted.installer.path}",
    )
    fetch_release(
        wanted=wanted, name=f"Fetch release {version}"
    )  # on all, side by side

    for turn in host.loop(batches(cluster)):  # type: ignore[no-untyped-call]
        if node.name in turn:
            change_application(
                cluster=cluster,
                wanted=wanted,
                name=f"Run release {version} on {', '.join(turn)}",
            )
