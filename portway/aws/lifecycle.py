"""Auto Scaling's wait for an instance that it is about to terminate."""

from portway.aws.client import Aws
from portway.aws.errors import AwsCallError

HOOK = "portway-leave"
"""The name of the hook in cloudformation/agent.yaml."""


def may_be_terminated(region: str, instance: str) -> bool:
    """Tell Auto Scaling that an instance has nothing left to do.

    Whether it was waiting for that. PortwayError if AWS refuses it.
    """
    aws, about = Aws(region), f"instance {instance}"
    found = aws.read(
        "autoscaling",
        "describe_auto_scaling_instances",
        "AutoScalingInstances",
        about,
        InstanceIds=[instance],
    )
    if not found or found[0]["LifecycleState"] != "Terminating:Wait":
        return False
    try:
        aws.call(
            "autoscaling",
            "complete_lifecycle_action",
            about,
            LifecycleHookName=HOOK,
            AutoScalingGroupName=found[0]["AutoScalingGroupName"],
            InstanceId=instance,
            LifecycleActionResult="CONTINUE",
        )
    except AwsCallError as error:
        if error.code != "ValidationError":  # somebody else's hook, or it is over
            raise
        return False
    return True
