"""Nodes that come and go, in AWS's words."""

from lab.faults import interface as faults
from lab.plan.names import Lab
from tests.lab.system import System

LEAVE = """
import boto3, sys
ec2, group = boto3.client("ec2"), boto3.client("autoscaling")
(found,) = ec2.describe_instances(Filters=[
    {"Name": "private-ip-address", "Values": [sys.argv[1]]},
    {"Name": "instance-state-name", "Values": ["running"]}])["Reservations"]
instance = found["Instances"][0]["InstanceId"]
(member,) = group.describe_auto_scaling_instances(
    InstanceIds=[instance])["AutoScalingInstances"]
name = member["AutoScalingGroupName"]
group.update_auto_scaling_group(AutoScalingGroupName=name, MinSize=0)
group.detach_instances(
    InstanceIds=[instance], AutoScalingGroupName=name,
    ShouldDecrementDesiredCapacity=True)
ec2.delete_tags(Resources=[instance], Tags=[{"Key": "portway:role"}])
print(instance, name)
"""
JOIN = """
import boto3, sys
instance, name = sys.argv[1:]
boto3.client("ec2").create_tags(
    Resources=[instance], Tags=[{"Key": "portway:role", "Value": "application"}])
boto3.client("autoscaling").attach_instances(
    InstanceIds=[instance], AutoScalingGroupName=name)
"""
TERMINATE = """
import boto3, sys
ec2, group = boto3.client("ec2"), boto3.client("autoscaling")
(found,) = ec2.describe_instances(Filters=[
    {"Name": "private-ip-address", "Values": [sys.argv[1]]},
    {"Name": "instance-state-name", "Values": ["running"]}])["Reservations"]
instance = found["Instances"][0]["InstanceId"]
if sys.argv[2] == "shrink":
    group.terminate_instance_in_auto_scaling_group(
        InstanceId=instance, ShouldDecrementDesiredCapacity=True)
else:  # whatever it does: no group waits for it
    ec2.terminate_instances(InstanceIds=[instance])
"""
RESIZE = """
import boto3, sys
group = boto3.client("autoscaling")
name, size = sys.argv[1], int(sys.argv[2])
for found in group.describe_auto_scaling_groups()["AutoScalingGroups"]:
    if {"Name": name} in [{tag["Key"]: tag["Value"]} for tag in found["Tags"]]:
        group.update_auto_scaling_group(
            AutoScalingGroupName=found["AutoScalingGroupName"],
            MinSize=size, DesiredCapacity=size)
"""
NAMES = """
import boto3
pages = boto3.client("ec2").get_paginator("describe_instances").paginate(Filters=[
    {"Name": "tag:portway:role", "Values": ["application"]},
    {"Name": "instance-state-name", "Values": ["running"]}])
for page in pages:
    for reservation in page["Reservations"]:
        for instance in reservation["Instances"]:
            tags = {tag["Key"]: tag["Value"] for tag in instance["Tags"]}
            print(instance["InstanceId"], tags["Name"], tags.get("portway:slot", "?"))
"""
SWAP = """
import boto3, sys
ec2 = boto3.client("ec2")
slots = {}
for reservation in ec2.describe_instances(
    Filters=[{"Name": "private-ip-address", "Values": sys.argv[1:]}]
)["Reservations"]:
    for instance in reservation["Instances"]:
        tags = {tag["Key"]: tag["Value"] for tag in instance["Tags"]}
        slots[instance["InstanceId"]] = tags["portway:slot"]
first, second = slots
for instance, slot in ((first, slots[second]), (second, slots[first])):
    ec2.create_tags(
        Resources=[instance], Tags=[{"Key": "portway:slot", "Value": slot}])
"""
PROCESSES = 'echo "show proc" | socat - UNIX-CONNECT:/run/haproxy-master.sock'


def leave(system: System, address: str) -> list[str]:
    """Take the node with an address out of the stack; what brings it back."""
    return system.python(LEAVE, address).split()


def join(system: System, member: list[str]) -> None:
    """Bring a node back that left."""
    system.python(JOIN, *member)


def terminate(system: System, node: str) -> None:
    """Terminate a node for good; the group launches no other."""
    system.python(TERMINATE, system.addresses("application")[node], "shrink")
    system.up("--app-nodes", str(len(system.addresses("application")) - 1))
    assert node not in system.nodes()


def lose(system: System, node: str, *, deploys_to_itself: bool = False) -> None:
    """Have AWS terminate a node; its group launches another, which has booted.

    One that deploys to itself may fail at first, which systemd tells as ``degraded``.
    """
    address = system.nodes()[node]["address"]
    faults.power_off(Lab(system.name), node)
    system.python(TERMINATE, address, "replace")
    if deploys_to_itself:
        system.call("up", check=False)
    else:
        system.up()


def resize(
    system: System, name: str, size: int, *, deploys_to_itself: bool = False
) -> None:
    """Have the group whose nodes have a Name tag run so many, which have booted.

    Those that deploy to themselves may fail at first, and take their time to leave.
    """
    if not size:
        faults.power_off(Lab(system.name), name)
    system.python(RESIZE, name, str(size))
    if deploys_to_itself:
        system.call("up", check=False)
    else:
        system.up()


def slots(system: System) -> dict[str, str]:
    """What AWS knows of each application node: its Name tag and slot, by id."""
    lines = system.python(NAMES).splitlines()
    return {line.split()[0]: " ".join(line.split()[1:]) for line in lines}


def swap(system: System, one: str, other: str) -> None:
    """Have two nodes get each other's name, as if each had replaced the other."""
    system.python(SWAP, one, other)


def processes(system: System, node: str) -> tuple[int, int]:
    """How often HAProxy was reloaded on a node, and how many workers it has."""
    rows = [line.split() for line in system.node(node, PROCESSES).stdout.splitlines()]
    reloads = next(int(row[2]) for row in rows if row[1:2] == ["master"])
    return reloads, sum(row[1:2] == ["worker"] for row in rows)
