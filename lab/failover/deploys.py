"""The parts of scenarios that an operator does: transfers, replacements, bad runs."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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
        ec2 = stack.client("ec2")
        ids = [host.instance_id]
        (found,) = ec2.describe_instances(InstanceIds=ids)["Reservations"]
        world.notes["instance"] = found["Instances"][0]
        faults.power_off(world.lab, world.master)
        ec2.terminate_instances(InstanceIds=ids)


def replace(world: World) -> None:
    """Launch another instance like the terminated one, and deploy to it."""
    lost = world.notes.get("instance")
    if lost is None:
        raise LabError("no instance was terminated")
    with namespaces.within(world.lab, OPERATOR):
        ec2 = stack.client("ec2")
        (launched,) = ec2.run_instances(**_like(lost))["Instances"]
        if lost.get("SourceDestCheck") is False:
            ec2.modify_instance_attribute(
                InstanceId=launched["InstanceId"], SourceDestCheck={"Value": False}
            )
    must(command(world.lab, "up"), "lab up")
    deploy_again(world)


def _like(instance: dict[str, Any]) -> dict[str, Any]:
    """The launch settings of an instance, and its tags."""
    tags = [t for t in instance["Tags"] if not t["Key"].startswith("aws:")]
    settings: dict[str, Any] = {
        "ImageId": instance["ImageId"],
        "InstanceType": instance["InstanceType"],
        "MinCount": 1,
        "MaxCount": 1,
        "SubnetId": instance["SubnetId"],
        "SecurityGroupIds": [g["GroupId"] for g in instance["SecurityGroups"]],
        "TagSpecifications": [{"ResourceType": "instance", "Tags": tags}],
    }
    if profile := instance.get("IamInstanceProfile"):
        settings["IamInstanceProfile"] = {"Arn": profile["Arn"]}
    if options := instance.get("MetadataOptions"):
        kept = ("HttpTokens", "HttpPutResponseHopLimit", "InstanceMetadataTags")
        settings["MetadataOptions"] = {k: options[k] for k in kept if k in options}
    return settings
