"""The timer of a node that deploys to itself, and what it starts."""

import ast
import base64
import gzip
import re
from pathlib import Path

from portway.contract import paths
from portway.errors import PortwayError
from portway.model.cluster import Cluster
from portway.model.pulled import CURRENT, ROOT, SIGNERS
from portway.model.settings import Settings
from portway.model.signers import EXAMPLE
from portway.model.signers import signers as signers_of
from portway.model.stack import Role
from portway.render.files import ManagedFile, Service, WantedNode
from portway.render.node_programs import PACKAGE
from portway.render.templates import render

FIRST_BOOT = "portway-first-boot.service"
"""The unit that user data leaves on a machine, until it has done its work."""
UNIT = "portway-agent.service"
TIMER = "portway-agent.timer"
LEAVE = "portway-leave.service"
"""Has an application node let its streams end before the machine stops."""
MOST_USER_DATA = 4096
"""Characters that a parameter of CloudFormation's takes."""
PROGRAM = str(CURRENT / "bin" / "portway")
TURNS = str(CURRENT / "project" / "portway" / "agent" / "unattended.py")
"""A release that a timer can start has it."""
FIRST = PACKAGE / "node" / "first_release.py"
"""The program that brings the first one."""
BOTO3 = "python3-boto3"
PACKAGES = {
    Role.LOAD_BALANCER: ("ca-certificates", "curl", BOTO3),
    Role.APPLICATION: ("ca-certificates", "curl", "nftables", BOTO3),
}
"""What looks at AWS for the timer, brings the first release, and takes an application
node out of service."""
_INVENTORY = re.compile(r"(?!/|-)(?!.*\.\.)[\w./-]+\.py")

AGENT = Service(
    TIMER,
    str(paths.UNIT_FOLDER / TIMER),
    str(paths.UNIT_FOLDER / TIMER),
    f"systemctl show -p ActiveState --value {TIMER}",
    replaced_by_reload=False,
    reload="restart",
)


def user_data(
    stack: str, region: str, inventory: str, signers: Path | None = None
) -> str:
    """What launch templates give new nodes, to deploy to themselves.

    In base64, as AWS takes it. ``signers`` is a file with who may sign their releases.
    PortwayError if a release could not have the inventory under that name, if that file
    names nobody, or if it is too much for a parameter.
    """
    script = first_boot(stack, region, inventory, signers)
    packed = base64.b64encode(gzip.compress(script.encode(), mtime=0)).decode()
    # Not for cloud-init to unpack: other programs run user data, too.
    text = f"#!/bin/sh\nbase64 -d <<END | gunzip | sh\n{packed}\nEND\n"
    text = base64.b64encode(text.encode()).decode()
    if len(text) > MOST_USER_DATA:
        raise PortwayError(
            f"the user data would have {len(text)} characters, and CloudFormation's "
            f"parameters take {MOST_USER_DATA}",
            do="give the inventory or the stack a shorter name, or have fewer signers",
        )
    return text


def first_boot(
    stack: str, region: str, inventory: str, signers: Path | None = None
) -> str:
    """The script that this is, before it is made smaller."""
    _refuse_unless_in_a_release(inventory)
    lines = () if signers is None else _signers(signers)
    return render(
        "first-boot.sh.j2",
        root=ROOT,
        program=_without_words(FIRST.read_text()),
        units=paths.UNIT_FOLDER,
        unit=FIRST_BOOT,
        stack=stack,
        region=region,
        current=CURRENT,
        portway=PROGRAM,
        inventory=inventory,
        file=SIGNERS,
        signers=lines,
    )


def _without_words(program: str) -> str:
    """A program without comments and docstrings, which do not fit into a parameter."""
    tree = ast.parse(program)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef) and ast.get_docstring(node):
            del node.body[0]
    return ast.unparse(tree)


def _refuse_unless_in_a_release(inventory: str) -> None:
    if not _INVENTORY.fullmatch(inventory):
        raise PortwayError(
            f"{inventory} cannot be the inventory of nodes that deploy to themselves",
            why="they find it in their release, as a file below its folder",
            do="call it by its path in your checkout, such as inventories/prod.py",
        )


def _signers_file(settings: Settings) -> ManagedFile:
    named = settings.release_signers_file
    lines = () if named is None else _signers(Path(named))
    text = render("release-signers.j2", lines=lines)
    return ManagedFile(str(SIGNERS), text, "644")


def _signers(file: Path) -> tuple[str, ...]:
    """The lines of a file that name signers; PortwayError if none does, or is wrong."""
    about = f"release_signers_file: {file}"
    try:
        return signers_of(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise PortwayError(
            f"{about}: {error}",
            do="write a line for each as OpenSSH's allowed_signers has it: " + EXAMPLE,
        ) from error
    except OSError as error:
        raise PortwayError(f"{about} cannot be read ({error.strerror})") from error


def agent(
    cluster: Cluster, role: Role, inventory: str, *, knows_signers: bool = False
) -> WantedNode:
    """The timer and its unit on a node, for an inventory that a release has.

    With ``knows_signers``, who may sign its releases stays as it is there.
    PortwayError if a release could not have the inventory under that name.
    """
    _refuse_unless_in_a_release(inventory)
    settings = cluster.settings
    service = render(
        "portway-agent.service.j2",
        stack=cluster.stack.name,
        region=cluster.stack.region,
        interval=settings.agent_interval,
        minutes=30
        + (settings.drain_timeout + settings.lease_wait) // 60
        + settings.app_start_timeout // 30,  # and once more, to go back
        inventory=inventory,
        role="" if role is Role.LOAD_BALANCER else f"--role {role} ",
        current=CURRENT,
    )
    leave = render(
        "portway-leave.service.j2",
        app=settings.app_name,
        portway=PROGRAM,
        seconds=settings.drain_timeout + 60,
    )
    leaves = ManagedFile(str(paths.UNIT_FOLDER / LEAVE), leave, "644")
    look = settings.agent_look_interval
    timer = render("portway-agent.timer.j2", seconds=look, spread=look // 3)
    return WantedNode(
        packages=PACKAGES[role],
        files=(
            ManagedFile(str(paths.UNIT_FOLDER / UNIT), service, "644"),
            ManagedFile(AGENT.config, timer, "644"),
            *(() if knows_signers else (_signers_file(settings),)),
            *((leaves,) if role is Role.APPLICATION else ()),
        ),
        services=(AGENT,),
    )
