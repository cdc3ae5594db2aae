"""The address mover as a load balancer gets it: program, unit, command and config.

Pure but for reading ``templates/`` and the program's own source.
"""

import hashlib
from pathlib import Path

from portway.changes import LOADED_FOLDER, ManagedFile, Service
from portway.cluster import Cluster, LoadBalancer
from portway.node.address.config import CONFIG, METRICS_FOLDER, RUN_FOLDER, Config
from portway.templates import render

SOURCES = Path(__file__).parent / "node" / "address"
PYTHON_FOLDER = "/usr/local/lib/portway/python"
"""Where programs of nodes find their parts, under the names that they have here."""
COMMAND = "/usr/local/sbin/portway-address"

ADDRESS_MOVER = Service(
    "portway-address",
    str(CONFIG),
    "/etc/systemd/system/portway-address.service",
    "systemctl show -p MainPID --value portway-address",
    replaced_by_reload=True,
    reload="restart",  # it keeps what it knows in a file
)


def address_files(cluster: Cluster, lb: LoadBalancer) -> tuple[ManagedFile, ...]:
    """The files of the mover. Its config changes whenever anything of it does."""
    unit = render(
        "portway-address.service.j2",
        config=CONFIG,
        loaded_folder=LOADED_FOLDER,
        metrics_folder=METRICS_FOLDER.relative_to("/var/lib"),
        python_folder=PYTHON_FOLDER,
        run_folder=RUN_FOLDER.relative_to("/run"),
    )
    command = render("portway-address.j2", python_folder=PYTHON_FOLDER)
    program = (
        *_sources(),
        ManagedFile(ADDRESS_MOVER.override, unit, "644"),
        ManagedFile(COMMAND, command, "755"),
    )
    digest = hashlib.sha256("".join(f.sha256 for f in program).encode()).hexdigest()
    config = address_config(cluster, lb, digest).to_json()
    return (*program, ManagedFile(str(CONFIG), config, "644"))


def is_of_mover(file: ManagedFile) -> bool:
    """Whether a file is one of those; its permissions can be tried with them alone."""
    own = (ADDRESS_MOVER.config, ADDRESS_MOVER.override, COMMAND)
    return file.path in own or file.path.startswith(f"{PYTHON_FOLDER}/")


def address_config(cluster: Cluster, lb: LoadBalancer, program: str) -> Config:
    """What the mover of a load balancer is told."""
    virtual = cluster.stack.virtual_address
    return Config(
        stack=cluster.stack.name,
        node=lb.name,
        peer=lb.peer.name,
        kind=virtual.kind,
        address=virtual.address,
        objects=tuple(place.id for place in virtual.places),
        region=cluster.stack.region,
        instance_id=lb.node.instance_id,
        interface_id=lb.node.interface_id,
        peer_instance_id=lb.peer.instance_id,
        peer_interface_id=lb.peer.interface_id,
        insists_from=lb.healthy_priority if lb.is_master else None,
        left_behind=max(15.0, 5 * cluster.settings.advert_interval),
        check_interval=cluster.settings.address_check_interval,
        program=program,
    )


def _sources() -> tuple[ManagedFile, ...]:
    """The modules; a package's ``__init__`` has nothing to say on a node."""
    return tuple(
        ManagedFile(
            f"{PYTHON_FOLDER}/portway/node/address/{source.name}",
            source.read_text(),
            "644",
        )
        for source in sorted(SOURCES.glob("*.py"))
        if source.name != "__init__.py"
    )
