"""The timer of a load balancer that deploys to itself, and what it starts."""

import re
from pathlib import Path

from portway.contract import paths
from portway.errors import PortwayError
from portway.model.cluster import Cluster
from portway.render.files import ManagedFile, Service, WantedNode
from portway.render.node_programs import PACKAGE
from portway.render.templates import render

UNIT = "portway-agent.service"
TIMER = "portway-agent.timer"
ROOT = Path("/opt/portway")
"""Has the releases of a node."""
CURRENT = ROOT / "current"
"""The release that it runs; a link."""
PROGRAM = str(CURRENT / "bin" / "portway")
TURNS = str(CURRENT / "project" / "portway" / "agent" / "unattended.py")
"""A release that a timer can start has it."""
FIRST = PACKAGE / "node" / "first_release.py"
"""The program that brings the first one."""
_INVENTORY = re.compile(r"(?!/|-)(?!.*\.\.)[\w./-]+\.py")

AGENT = Service(
    TIMER,
    str(paths.UNIT_FOLDER / TIMER),
    str(paths.UNIT_FOLDER / TIMER),
    f"systemctl show -p ActiveState --value {TIMER}",
    replaced_by_reload=False,
    reload="restart",
)


def agent(cluster: Cluster, inventory: str) -> WantedNode:
    """The timer and its unit, for an inventory that a release has.

    PortwayError if a release could not have it under that name.
    """
    if not _INVENTORY.fullmatch(inventory):
        raise PortwayError(
            f"{inventory} cannot be the inventory of nodes that deploy to themselves",
            why="they find it in their release, as a file below its folder",
            do="call it by its path in your checkout, such as inventories/prod.py",
        )
    settings = cluster.settings
    service = render(
        "portway-agent.service.j2",
        stack=cluster.stack.name,
        region=cluster.stack.region,
        interval=settings.agent_interval,
        minutes=30 + (settings.drain_timeout + settings.lease_wait) // 60,
        inventory=inventory,
        current=CURRENT,
    )
    return WantedNode(
        files=(
            ManagedFile(str(paths.UNIT_FOLDER / UNIT), service, "644"),
            ManagedFile(AGENT.config, render("portway-agent.timer.j2"), "644"),
        ),
        services=(AGENT,),
    )
