"""Installs what has a node deploy to itself: a release, and its timer."""

import shlex
from dataclasses import replace

from pyinfra import host, state

from portway.model.cluster import Cluster
from portway.model.pulled import CURRENT, ROOT, SIGNERS
from portway.model.stack import Role
from portway.ops.connector import is_own
from portway.ops.describing import described
from portway.ops.differences import Difference, service_steps
from portway.ops.fence import change
from portway.ops.operations import read_node, write_files
from portway.ops.packages import install_packages
from portway.ops.pyinfra_errors import Commands, failure, for_pyinfra, operation
from portway.ops.service_scripts import service_script
from portway.render.agent import (
    AGENT,
    BOTO3,
    FIRST,
    LEAVE,
    TURNS,
    UNIT,
    agent,
)
from portway.render.files import Survey, WantedNode


@for_pyinfra
def install_agent(cluster: Cluster, role: Role, inventory: str) -> None:
    """Bring the current host the published release, and have a timer run it.

    The node fetches it with the rights of its role. One that has a release keeps it:
    its timer brings the others.
    """
    wanted = agent(cluster, role, inventory, knows_signers=_knows_signers())
    install_packages(wanted=wanted, name="Install packages")
    # First who may sign releases, and then a release.
    write_files(files=wanted.files, wanted=wanted, name="Write the agent's files")
    bring_first_release(cluster=cluster, name="Bring the release that is published")
    run_timer(wanted=wanted, name=f"Run {AGENT.unit}")
    if role is Role.APPLICATION:
        drain_before_stop(wanted=wanted, name=f"Run {LEAVE}")


def _knows_signers() -> bool:
    """Whether the current host was told who may sign, and a release tells it again.

    That release may be an older one, which names somebody who may not any more.
    """
    file = str(SIGNERS)
    return is_own(host) and file in read_node(Survey(files=(file,))).files


@operation
def bring_first_release(cluster: Cluster) -> Commands:
    """Have a node without a release fetch and try the published one.

    So has one whose release is older than the timer.
    """
    found, stack = read_node(Survey(packages=(BOTO3,), files=(TURNS,))), cluster.stack
    if TURNS in found.files:
        host.noop(f"{CURRENT} is a release")
        return
    if state.is_executing and BOTO3 not in found.packages:
        yield failure(
            f"{host.name} cannot fetch a release",
            [f"{BOTO3} is not installed"],
            do=f"see why: apt-get install {BOTO3}",
        )
        return
    # As the timer's unit does it: with the environment that systemd gives.
    words = (
        *("systemd-run", "--quiet", "--wait", "--pipe", "--collect"),
        f"--setenv=PORTWAY_STACK={stack.name}",
        f"--setenv=AWS_REGION={stack.region}",
        *("/usr/bin/python3", "-I", "-", str(ROOT)),
    )
    yield from change(
        [Difference("release", str(CURRENT), "is none that a timer can start", "any")],
        shlex.join(words),
        stdin=FIRST.read_text(),
    )


@operation
def drain_before_stop(wanted: WantedNode) -> Commands:
    """Have the machine drain the application before it stops.

    Never by a restart: that would drain it now.
    """
    unit = read_node(replace(wanted.survey, units=(LEAVE,))).services.get(LEAVE)
    if unit and unit.active and unit.enabled and not unit.needs_daemon_reload:
        host.noop(f"{LEAVE} runs")
        return
    yield from change(
        [Difference("service", LEAVE, "does not run as its unit says")],
        f"systemctl daemon-reload && systemctl -q enable {LEAVE} && "
        f"systemctl start {LEAVE}",
    )


@operation
def run_timer(wanted: WantedNode) -> Commands:
    """Have the timer run as its unit says."""
    found = read_node(replace(wanted.survey, units=(AGENT.unit, UNIT)))
    config = wanted.file(AGENT.config)
    # Nothing is loaded but the units themselves.
    steps = [s for s in service_steps(AGENT, config, found) if s != "reload"]
    service = found.services.get(UNIT)
    if service and service.needs_daemon_reload and "daemon-reload" not in steps:
        steps.insert(0, "daemon-reload")
    if not steps:
        host.noop(f"{AGENT.unit} runs")
        return
    script = service_script(AGENT, steps)
    unit = found.services.get(AGENT.unit)
    if unit is not None and unit.active:
        script += f"\nsystemctl restart {AGENT.unit}"
    yield from change([described(AGENT, config.sha256, steps, found)], script)
