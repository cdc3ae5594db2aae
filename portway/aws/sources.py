"""Which call to AWS each value of the Stack comes from, for people who ask."""

from fnmatch import fnmatch

INSTANCES = "ec2:DescribeInstances"
STACKS = "cloudformation:DescribeStacks"

SOURCES = {
    "name": "the inventory",
    "region": "the inventory",
    "nodes.*.name": f"{INSTANCES}, tags Name and portway:slot",
    "nodes.*.new_slot": f"{INSTANCES}, tag portway:slot",
    "nodes.*.role": f"{INSTANCES}, tag portway:role",
    "nodes.*.preferred_master": f"{INSTANCES}, tag portway:master",
    "nodes.*.launched_at": f"{INSTANCES}, when its interface was attached",
    "nodes.*": INSTANCES,
    "names": "autoscaling:DescribeAutoScalingGroups, MaxSize",
    "database.application_secret": f"{STACKS}, output ApplicationSecretArn",
    "database.*": "rds:DescribeDBInstances",
    "virtual_address.kind": f"{STACKS}, output AddressKind",
    "virtual_address.address": f"{STACKS}, output VirtualAddress",
    "virtual_address.objects.*.id": f"{STACKS}, output AddressObjects",
    "virtual_address.objects.*": "ec2:DescribeAddresses, ec2:DescribeNetworkInterfaces "
    "or ec2:DescribeRouteTables",
    "ports.first_client": f"{STACKS}, output ClientPortFrom",
    "ports.last_client": f"{STACKS}, output ClientPortTo",
    "ports.health": f"{STACKS}, output HealthPort",
    "ports.stats": f"{STACKS}, output StatsPort",
    "operator_networks": f"{STACKS}, parameter OperatorCidr",
    "leaving": f"{INSTANCES}, autoscaling:DescribeAutoScalingGroups",
    "changed_at": f"{STACKS}, or cloudformation:DescribeStackEvents",
}
"""By the value's path, ``*`` for a node's name or a number; the first that fits."""


def source(path: str) -> str:
    """Where a value of the Stack comes from."""
    return next(text for pattern, text in SOURCES.items() if fnmatch(path, pattern))
