"""The check of HAProxy as a load balancer gets it: program, unit and config."""

import hashlib

from portway.contract import paths
from portway.contract.check import CheckConfig
from portway.model.cluster import STATS_FRONTEND, Cluster
from portway.render.files import ManagedFile, Service
from portway.render.node_programs import node_program
from portway.render.templates import render

MODULES = ("node/check/*.py", "node/host.py")

CHECK = Service(
    "portway-check",
    str(paths.CHECK_CONFIG),
    str(paths.UNIT_FOLDER / "portway-check.service"),
    "systemctl show -p MainPID --value portway-check",
    replaced_by_reload=True,
    reload="restart",  # what counts is in a file, and holds for some seconds
)

STALE = 5
"""Seconds without a look of the check after which it counts as failed."""
HEARTBEAT = (
    f"read up _ </proc/uptime; read beat <{paths.BEAT}; : >{paths.ASKED}; "
    f"[ $((${{up%%.*}} - beat)) -le {STALE} ]"
)
"""Shell code that keepalived runs every second. It is no file of its own: keepalived
drops a script if a group may write to any part of its path, and says so in its journal
only."""


def check_files(cluster: Cluster) -> tuple[ManagedFile, ...]:
    """The check's files. Its config contains a hash of all others."""
    unit = render(
        "portway-check.service.j2",
        config=paths.CHECK_CONFIG,
        loaded_folder=paths.LOADED_FOLDER,
        python_folder=node_program(*MODULES).folder,
        run_folder=paths.CHECK_RUN_FOLDER.relative_to("/run"),
        address_run_folder=paths.ADDRESS_RUN_FOLDER.relative_to("/run"),
    )
    program = (*node_program(*MODULES).files, ManagedFile(CHECK.override, unit, "644"))
    digest = hashlib.sha256("".join(f.sha256 for f in program).encode()).hexdigest()
    config = check_config(cluster, digest).to_json()
    return (*program, ManagedFile(CHECK.config, config, "644"))


def check_paths() -> tuple[str, ...]:
    """The paths of those files, in the same order."""
    return (
        *node_program(*MODULES).paths,
        CHECK.override,
        CHECK.config,
    )


def check_config(cluster: Cluster, program: str) -> CheckConfig:
    """The check's configuration, the same on both load balancers."""
    settings = cluster.settings
    return CheckConfig(
        address=cluster.stack.virtual_address.address,
        stats_frontend=STATS_FRONTEND,
        good=max(0, settings.check_weight),
        bad=min(0, settings.check_weight),
        # An application that goes down or comes up is noticed by one load balancer up
        # to a whole interval after the other.
        outage=settings.health_interval + 1.0,
        rise=settings.health_interval + 2.0,
        program=program,
    )
