"""Turns EC2 instances, as AWS describes them, into the nodes of a stack.

Pure. It refuses what no deploy can work with: no load balancers, or more than two, two
preferred masters, no application nodes.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from portway.errors import PortwayError
from portway.model.stack import Node, Role

Answer = dict[str, Any]
"""Something as boto3 returns it."""

ALIVE = ("pending", "running")
ENDING = "Terminat"
"""How the states begin in which a scaling group is giving up an instance."""
OUT_OF_SERVICE = (ENDING, "EnteringStandby", "Standby", "Quarantined", "Warmed:")
"""How the states begin in which a scaling group keeps an instance that is no node."""


def alive_instances(instances: Iterable[Answer], group: Answer) -> list[Answer]:
    """The instances that run or will run and that the group has in service.

    Those in standby are out: whoever put one there works on it.
    """
    out = {
        member["InstanceId"]
        for member in group.get("Instances", [])
        if member["LifecycleState"].startswith(OUT_OF_SERVICE)
    }
    return [i for i in instances if state(i) in ALIVE and i["InstanceId"] not in out]


def leaving_addresses(instances: Iterable[Answer], group: Answer) -> tuple[str, ...]:
    """The addresses of instances that run, and that the group waits for."""
    waits = {
        member["InstanceId"]
        for member in group.get("Instances", [])
        if member["LifecycleState"].startswith(ENDING)
    }
    found = (i for i in instances if i["InstanceId"] in waits and state(i) == "running")
    return tuple(sorted(i["PrivateIpAddress"] for i in found))


def stopped_peer(instances: Iterable[Answer], alive: Iterable[Answer]) -> list[Answer]:
    """The load balancer that somebody stopped, if it is the one that is missing.

    It has its address, and may be started any time; until then runs do without it.
    """
    if sum(_role(i) == Role.LOAD_BALANCER for i in alive) != 1:
        return []
    found = [
        i
        for i in instances
        if _role(i) == Role.LOAD_BALANCER
        and is_stopped(i)
        and i.get("PrivateIpAddress")
    ]
    return found if len(found) == 1 else []


def is_stopped(instance: Answer) -> bool:
    """Whether somebody has stopped an instance, or is about to have."""
    return state(instance) in ("stopping", "stopped")


def check_load_balancers(
    name: str, instances: Iterable[Answer], alive: Iterable[Answer]
) -> None:
    """Refuse more than two load balancers, none, or two that are preferred.

    One is enough for most of what a run does; what it is not enough for says so.
    """
    found = [i for i in alive if _role(i) == Role.LOAD_BALANCER]
    if len(found) in (1, 2):
        _check_preferred_masters(name, found)
        return
    if len(found) > 2:
        raise PortwayError(
            f"stack {name}: {len(found)} load balancers are running "
            f"({listed(map(label, found))}) and there must be two",
            do="terminate the extra one, or remove its tag portway:role",
        )
    ended = [
        i for i in instances if _role(i) == Role.LOAD_BALANCER and state(i) not in ALIVE
    ]
    stopped = "".join(f"; {label(i)} is {state(i)}" for i in ended)
    # Without a group, nothing launches another: an update of the stack does not.
    launch = (
        "their auto scaling groups launch others within minutes; if they have none, "
        "launch two like those of the template"
    )
    fix = "start them" if ended else launch
    raise PortwayError(
        f"stack {name}: none of its load balancers is running{stopped}",
        do=f"{fix}, with the tags portway:stack={name} and "
        "portway:role=load-balancer, and run again",
    )


def _check_preferred_masters(name: str, found: Iterable[Answer]) -> None:
    preferred = []
    for instance in found:
        value = tags_of(instance).get("portway:master")
        if value not in (None, "true", "false"):
            raise PortwayError(
                f"stack {name}: {label(instance)} has the tag portway:master={value}",
                do="set it to true or remove it",
            )
        if value == "true":
            preferred.append(instance)
    if len(preferred) > 1:
        raise PortwayError(
            f"stack {name}: {listed(map(label, preferred))} both have the tag "
            "portway:master=true and only one can be master",
            do="remove it from the other",
        )


def has_application_nodes(alive: Iterable[Answer]) -> bool:
    """Whether any application node runs or will run."""
    return any(_role(i) == Role.APPLICATION for i in alive)


def missing_application_nodes(
    name: str, group: Answer, alive: Sequence[Answer]
) -> list[str]:
    """How many the group has yet to launch, if any; refuse a stack without a node."""
    found = {i["InstanceId"] for i in alive if _role(i) == Role.APPLICATION}
    launched = found & {m["InstanceId"] for m in group.get("Instances", [])}
    desired = group["DesiredCapacity"]
    group_name = group["AutoScalingGroupName"]
    if len(launched) < desired:
        missing = desired - len(launched)
        return [f"{missing} of {desired} application nodes of {group_name}"]
    if not found:
        raise PortwayError(
            f"stack {name}: it has no application nodes, because the desired "
            f"capacity of {group_name} is 0",
            do="update the stack with ApplicationNodes of at least 1",
        )
    return []


def node_of(
    stack: str, instance: Answer, name: str, new_slot: int | None = None
) -> Node:
    """An instance as a node; PortwayError if it has no address."""
    interfaces = instance.get("NetworkInterfaces", [])
    primary = next((i for i in interfaces if i["Attachment"]["DeviceIndex"] == 0), None)
    if primary is None or not instance.get("PrivateIpAddress"):
        raise PortwayError(
            f"stack {stack}: {label(instance)} is {state(instance)} and has no private "
            "IPv4 address",
            do="terminate it, or remove its tag portway:role",
        )
    return Node(
        instance_id=instance["InstanceId"],
        name=name,
        role=Role(_role(instance)),
        address=instance["PrivateIpAddress"],
        zone=instance["Placement"]["AvailabilityZone"],
        subnet_id=instance["SubnetId"],
        interface_id=primary["NetworkInterfaceId"],
        launched_at=launched(instance).astimezone(UTC),
        started_at=instance["LaunchTime"].astimezone(UTC),
        preferred_master=tags_of(instance).get("portway:master") == "true",
        source_dest_check=instance.get("SourceDestCheck", True),
        is_stopped=is_stopped(instance),
        new_slot=new_slot,
    )


def launched(instance: Answer) -> datetime:
    """When an instance was launched first.

    LaunchTime moves when it is stopped and started again; the primary interface is
    attached once in its life.
    """
    times: list[datetime] = [instance["LaunchTime"]]
    for interface in instance.get("NetworkInterfaces", []):
        if interface["Attachment"]["DeviceIndex"] == 0:
            times.append(interface["Attachment"].get("AttachTime", times[0]))
    return min(times)


def tags_of(instance: Answer) -> dict[str, str]:
    """The tags of an instance, by key."""
    return {tag["Key"]: tag["Value"] for tag in instance.get("Tags", [])}


def is_application_node(instance: Answer) -> bool:
    """Whether an instance's tags say that it is one."""
    return _role(instance) == Role.APPLICATION


def _role(instance: Answer) -> str:
    return tags_of(instance).get("portway:role", "")


def state(instance: Answer) -> str:
    """The state of an instance, such as ``running``."""
    return str(instance["State"]["Name"])


def label(instance: Answer) -> str:
    """Name and id of an instance, as people look for it in the console."""
    name = tags_of(instance).get("Name")
    return f"{name} ({instance['InstanceId']})" if name else instance["InstanceId"]


def listed(words: Iterable[str]) -> str:
    """Join words as in a sentence; there must be at least one."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
