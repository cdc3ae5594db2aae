"""Auto scaling groups, which AWS keeps at their size and moto only when it is told."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

Group = Mapping[str, Any]
"""A group as Auto Scaling describes it."""


def keep(autoscaling: Any, ec2: Any) -> None:
    """Replace unhealthy instances and launch missing ones, as AWS does each minute."""
    pages = autoscaling.get_paginator("describe_auto_scaling_groups").paginate()
    groups = [group for page in pages for group in page["AutoScalingGroups"]]
    if ids := unhealthy(groups, _stopped(ec2)):
        # moto's groups launch others for what EC2 terminates.
        ec2.terminate_instances(InstanceIds=ids)
        return
    for group in short(groups):
        autoscaling.set_desired_capacity(
            AutoScalingGroupName=group["AutoScalingGroupName"],
            DesiredCapacity=group["DesiredCapacity"],
        )


def _stopped(ec2: Any) -> set[str]:
    """The instances that do not run, which fails EC2's checks."""
    states = {"Name": "instance-state-name", "Values": ["stopping", "stopped"]}
    pages = ec2.get_paginator("describe_instances").paginate(Filters=[states])
    return {
        instance["InstanceId"]
        for page in pages
        for reservation in page["Reservations"]
        for instance in reservation["Instances"]
    }


def unhealthy(groups: Iterable[Group], stopped: Collection[str] = ()) -> list[str]:
    """The instances that are stopped, or that somebody reported as unhealthy."""
    return [
        instance["InstanceId"]
        for group in groups
        if _does(group, "ReplaceUnhealthy")
        for instance in group["Instances"]
        if instance["HealthStatus"].lower() == "unhealthy"
        or instance["InstanceId"] in stopped
    ]


def short(groups: Iterable[Group]) -> list[Group]:
    """The groups that have fewer instances than they should."""
    return [
        group
        for group in groups
        if _does(group, "Launch") and len(group["Instances"]) < group["DesiredCapacity"]
    ]


def _does(group: Group, process: str) -> bool:
    """Whether nobody has suspended a process of a group's."""
    suspended = group.get("SuspendedProcesses", [])
    return process not in {found["ProcessName"] for found in suspended}
