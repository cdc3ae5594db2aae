"""Application nodes that come and go, in AWS's words. Use it as the account's owner."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from lab.aws import stack
from lab.errors import LabError
from lab.ground import namespaces
from lab.plan.names import OPERATOR, Lab

ROLE = {"Key": "portway:role", "Value": "application"}
SLOT = "portway:slot"
MOST = 9
"""The group's greatest size meanwhile."""


@dataclass(frozen=True, slots=True)
class Member:
    """An instance of the group, or one that was."""

    machine: str
    """What the lab calls it."""
    id: str
    address: str
    slot: int = 0
    """The number in the name that Portway gave it; 0 if it has none."""


class Group:
    """The auto scaling group of the application nodes."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        with self._asked():
            name = stack.outputs().get("ApplicationGroupName")
        if not name:
            raise LabError("the stack has no group of application nodes")
        self._name = name

    @contextmanager
    def _asked(self) -> Iterator[None]:
        with namespaces.within(self._lab, OPERATOR):
            self._scaling, self._ec2 = stack.client("autoscaling"), stack.client("ec2")
            yield

    def members(self) -> dict[str, Member]:
        """The instances that run, in the group or not, by machine."""
        states = {"Name": "instance-state-name", "Values": ["pending", "running"]}
        with self._asked():
            pages = self._ec2.get_paginator("describe_instances").paginate(
                Filters=[states]
            )
            found = [
                _member(instance)
                for page in pages
                for reservation in page["Reservations"]
                for instance in reservation["Instances"]
                if stack.GROUP_NAME_TAG in _names(instance)
            ]
        return {member.machine: member for member in found}

    def next_name(self) -> str:
        """The name of the node that is launched next: the lowest number is free."""
        taken = {member.slot for member in self.members().values()}
        slot = next(n for n in range(1, MOST + 1) if n not in taken)
        return f"{stack.GROUP_NAME_TAG}-{slot}"

    def loosen(self) -> None:
        """Let the group shrink and grow."""
        self._set(MinSize=0, MaxSize=MOST)

    def enter_standby(self, *members: Member) -> None:
        """Have nodes go for a while, as somebody does who works on them."""
        with self._asked():
            self._scaling.enter_standby(
                AutoScalingGroupName=self._name,
                InstanceIds=[member.id for member in members],
                ShouldDecrementDesiredCapacity=True,
            )

    def exit_standby(self, *members: Member) -> None:
        """Have them back."""
        with self._asked():
            self._scaling.exit_standby(
                AutoScalingGroupName=self._name,
                InstanceIds=[member.id for member in members],
            )

    def detach(self, member: Member) -> None:
        """Take a node out of the stack; whoever comes next may have its name."""
        with self._asked():
            self._scaling.detach_instances(
                AutoScalingGroupName=self._name,
                InstanceIds=[member.id],
                ShouldDecrementDesiredCapacity=True,
            )
            tags = [ROLE, {"Key": SLOT}]
            self._ec2.delete_tags(Resources=[member.id], Tags=tags)

    def attach(self, member: Member) -> None:
        """Have an instance in the stack that was not; it has no name yet."""
        with self._asked():
            self._ec2.create_tags(Resources=[member.id], Tags=[ROLE])
            self._scaling.attach_instances(
                AutoScalingGroupName=self._name, InstanceIds=[member.id]
            )

    def launch(self) -> None:
        """Have the group launch one more."""
        with self._asked():
            (group,) = self._scaling.describe_auto_scaling_groups(
                AutoScalingGroupNames=[self._name]
            )["AutoScalingGroups"]
        self._set(DesiredCapacity=group["DesiredCapacity"] + 1)

    def terminate(self, member: Member) -> None:
        """Have the group end an instance for good, and launch no other."""
        with self._asked():
            self._scaling.terminate_instance_in_auto_scaling_group(
                InstanceId=member.id, ShouldDecrementDesiredCapacity=True
            )

    def _set(self, **what: int) -> None:
        with self._asked():
            self._scaling.update_auto_scaling_group(
                AutoScalingGroupName=self._name, **what
            )


def _names(instance: dict[str, Any]) -> set[str]:
    return {tag["Value"] for tag in instance.get("Tags", []) if tag["Key"] == "Name"}


def _member(instance: dict[str, Any]) -> Member:
    tags = {tag["Key"]: tag["Value"] for tag in instance.get("Tags", [])}
    machine = tags.get(stack.MACHINE_TAG, instance["InstanceId"])
    slot = int(tags.get(SLOT, 0))
    return Member(machine, instance["InstanceId"], instance["PrivateIpAddress"], slot)
