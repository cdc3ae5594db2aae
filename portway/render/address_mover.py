"""The address mover as a load balancer gets it: program, unit, command and config."""

import hashlib

from portway.contract import paths
from portway.contract.mover import MoverConfig
from portway.model.cluster import Cluster, LoadBalancer
from portway.render.files import ManagedFile, Service
from portway.render.node_programs import node_program
from portway.render.templates import render

MODULES = ("node/address/*.py", "node/host.py")

ADDRESS_MOVER = Service(
    "portway-address",
    str(paths.ADDRESS_CONFIG),
    str(paths.UNIT_FOLDER / "portway-address.service"),
    "systemctl show -p MainPID --value portway-address",
    replaced_by_reload=True,
    reload="restart",  # what it knows is in a file
)


def address_files(cluster: Cluster, lb: LoadBalancer) -> tuple[ManagedFile, ...]:
    """The mover's files. Its config contains a hash of all others."""
    unit = render(
        "portway-address.service.j2",
        config=paths.ADDRESS_CONFIG,
        loaded_folder=paths.LOADED_FOLDER,
        metrics_folder=paths.METRICS_FOLDER.relative_to("/var/lib"),
        python_folder=node_program(*MODULES).folder,
        run_folder=paths.ADDRESS_RUN_FOLDER.relative_to("/run"),
    )
    command = render("portway-address.j2", python_folder=node_program(*MODULES).folder)
    program = (
        *node_program(*MODULES).files,
        ManagedFile(ADDRESS_MOVER.override, unit, "644"),
        ManagedFile(str(paths.ADDRESS_COMMAND), command, "755"),
    )
    digest = hashlib.sha256("".join(f.sha256 for f in program).encode()).hexdigest()
    config = mover_config(cluster, lb, digest).to_json()
    return (*program, ManagedFile(ADDRESS_MOVER.config, config, "644"))


def address_paths() -> tuple[str, ...]:
    """The paths of those files, in the same order."""
    return (
        *node_program(*MODULES).paths,
        ADDRESS_MOVER.override,
        str(paths.ADDRESS_COMMAND),
        ADDRESS_MOVER.config,
    )


def mover_config(cluster: Cluster, lb: LoadBalancer, program: str) -> MoverConfig:
    """The mover's configuration on one load balancer."""
    virtual, peer = cluster.stack.virtual_address, lb.peer
    return MoverConfig(
        stack=cluster.stack.name,
        node=lb.name,
        peer=peer.name if peer else "",
        kind=virtual.kind,
        address=virtual.address,
        objects=tuple(found.id for found in virtual.objects),
        region=cluster.stack.region,
        interface_id=lb.node.interface_id,
        peer_interface_id=peer.interface_id if peer else "",
        reclaim_priority=lb.healthy_priority if lb.is_master else None,
        hand_back_after=max(15.0, 5 * cluster.settings.advert_interval),
        check_interval=cluster.settings.address_check_interval,
        stay=lb.stay_weight,
        claim=lb.claim_weight,
        fail_back=cluster.settings.fail_back,
        program=program,
    )
