"""The parts of scenarios that an operator does: transfers, replacements, bad runs."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.aws import stack
from lab.errors import LabError
from lab.failover.world import World, command, deploy, must
from lab.faults import interface as faults
from lab.ground import namespaces
from lab.plan.names import OPERATOR
from lab.plan.project import PROJECT

TEMPLATE = Path("templates") / "keepalived.conf.j2"
NO_KEEPALIVED = "\nvrrp_instance {\n    this is no configuration\n"


def transfer_away(world: World) -> None:
    """Transfer the address to the backup."""
    _transfer(world, world.backup)


def transfer_back(world: World) -> None:
    """Transfer the address back to the master."""
    _transfer(world, world.master)


def _transfer(world: World, node: str) -> None:
    done = deploy(world.lab, "transfer", "--data", f"transfer_to={node}")
    must(done, f"the transfer to {node}")


def deploy_again(world: World) -> None:
    """What an operator does after anything: run it again."""
    must(deploy(world.lab, "lb"), "the run of deploys/lb.py")


def push_bad_template(world: World) -> None:
    """Deploy a copy of the project whose template keepalived refuses."""
    with _copy_of_the_project() as project:
        template = project / TEMPLATE
        template.write_text(template.read_text() + NO_KEEPALIVED)
        done = deploy(world.lab, "lb", project=project)
    if done.returncode == 0:
        raise LabError("a run with a bad template was not refused")


@contextmanager
def _copy_of_the_project() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "project"
        ignored = shutil.ignore_patterns(".*", "__pycache__")
        shutil.copytree(PROJECT, project, ignore=ignored)
        yield project


def terminate(world: World) -> None:
    """Have AWS terminate the master's instance; its host is gone at once."""
    host = world.pair.hosts[world.master]
    with namespaces.within(world.lab, OPERATOR):
        faults.power_off(world.lab, world.master)
        stack.client("ec2").terminate_instances(InstanceIds=[host.instance_id])


def replace(world: World) -> None:
    """Deploy to the instance that the group has launched in place of the other."""
    must(command(world.lab, "up"), "lab up")
    deploy_again(world)
