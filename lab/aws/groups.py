"""Auto scaling groups, which AWS keeps at their size and moto only when it is told."""

from collections.abc import Iterable, Mapping
from typing import Any

Group = Mapping[str, Any]
"""A group as Auto Scaling describes it."""


def keep(autoscaling: Any, ec2: Any) -> None:
    """Replace unhealthy instances and launch missing ones, as AWS does each minute."""
    pages = autoscaling.get_paginator("describe_auto_scaling_groups").paginate()
    groups = [group for page in pages for group in page["AutoScalingGroups"]]
    if ids := unhealthy(groups):
        # moto's groups launch others for what EC2 terminates.
        ec2.terminate_instances(InstanceIds=ids)
        return
    for group in short(groups):
        autoscaling.set_desired_capacity(
            AutoScalingGroupName=group["AutoScalingGroupName"],
            DesiredCapacity=group["DesiredCapacity"],
        )


def unhealthy(groups: Iterable[Group]) -> list[str]:
    """The instances that somebody reported as unhealthy."""
    return [
        instance["InstanceId"]
        for group in groups
        if _does(group, "ReplaceUnhealthy")
        for instance in group["Instances"]
        if instance["HealthStatus"].lower() == "unhealthy"
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
