"""What load balancers tell each other in the tags of their instances."""

import time
from collections.abc import Callable, Mapping

from portway.aws.client import Aws
from portway.aws.instances import ALIVE, state, tags_of
from portway.model.progress import TAG, Progress, Told
from portway.model.stack import Node, Role, Stack


def progress_reader(stack: Stack) -> Callable[[], Mapping[str, Told | None]]:
    """A function that reads, each time, what load balancers tell, by node name.

    None stands for one that tells nothing. One that does not run any more is missing.
    """
    aws = Aws(stack.region)
    names = {n.instance_id: n.name for n in stack.with_role(Role.LOAD_BALANCER)}

    def read() -> Mapping[str, Told | None]:
        found = aws.read(
            "ec2",
            "describe_instances",
            "Reservations",
            f"stack {stack.name}: its load balancers",
            # A filter, because an id that is gone would be an error.
            Filters=[{"Name": "instance-id", "Values": list(names)}],
        )
        return {
            names[i["InstanceId"]]: Told.parse(tags_of(i).get(TAG, ""), time.time())
            for reservation in found
            for i in reservation["Instances"]
            if state(i) in ALIVE
        }

    return read


def tell(stack: Stack, node: Node, progress: Progress) -> None:
    """Write what a node tells. PortwayError if AWS refuses it."""
    Aws(stack.region).call(
        "ec2",
        "create_tags",
        f"stack {stack.name}: what {node.name} tells the other load balancer",
        Resources=[node.instance_id],
        Tags=[{"Key": TAG, "Value": str(Told(progress, int(time.time())))}],
    )
