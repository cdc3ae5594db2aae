"""Instances that a group is about to terminate, and waits for."""

from collections.abc import Callable
from threading import Timer
from typing import Any

from moto.autoscaling.exceptions import ValidationError
from moto.autoscaling.models import (
    AutoScalingBackend,
    FakeAutoScalingGroup,
    TerminateInstanceActivity,
    autoscaling_backends,
)
from moto.autoscaling.responses import AutoScalingResponse
from moto.core.common_models import CloudFormationModel
from moto.core.responses import EmptyResult

WAITS, PROCEEDS = "Terminating:Wait", "Terminating:Proceed"
PROCEED_SECONDS = 2.0
"""In which whoever completed the wait gets an answer; AWS takes longer."""
TERMINATING = "autoscaling:EC2_INSTANCE_TERMINATING"

_backend: Any = AutoScalingBackend
_group: Any = FakeAutoScalingGroup
_responses: Any = AutoScalingResponse


class HookResource(CloudFormationModel):
    """AWS::AutoScaling::LifecycleHook, which moto's CloudFormation does not know."""

    def __init__(self, name: str, group: str) -> None:
        self.physical_resource_id = name
        self.group = group

    @staticmethod
    def cloudformation_name_type() -> str:
        """Name the property that holds the hook's name."""
        return "LifecycleHookName"

    @staticmethod
    def cloudformation_type() -> str:
        """Name the resource type."""
        return "AWS::AutoScaling::LifecycleHook"

    @classmethod
    def create_from_cloudformation_json(
        cls,
        resource_name: str,  # noqa: ARG003 - moto gives it
        cloudformation_json: dict[str, Any],
        account_id: str,
        region_name: str,
        **_: Any,
    ) -> "HookResource":
        """Give the group the hook."""
        given = cloudformation_json["Properties"]
        name, group = given["LifecycleHookName"], given["AutoScalingGroupName"]
        autoscaling_backends[account_id][region_name].create_lifecycle_hook(
            name,
            group,
            given["LifecycleTransition"],
            int(given.get("HeartbeatTimeout", 3600)),
            given.get("DefaultResult", "ABANDON"),
        )
        return cls(name, group)

    def delete(self, account_id: str, region_name: str) -> None:
        """Take the hook from the group."""
        backend = autoscaling_backends[account_id][region_name]
        backend.delete_lifecycle_hook(self.group, self.physical_resource_id)


def groups_wait_before_they_terminate() -> None:
    """Moto keeps a group's lifecycle hooks, and terminates at once all the same.

    AWS has what a group gives up, the newest instance first by the policy of these
    groups, in ``Terminating:Wait`` until somebody completes that, or time is up. What
    EC2 is told to terminate waits for nobody.
    """
    set_capacity, terminate = _group.set_desired_capacity, _backend.terminate_instance

    def set_desired_capacity(self: Any, new_capacity: int | None) -> None:
        wanted = self.min_size if new_capacity is None else new_capacity
        serving = self.active_instances()
        # A group that is deleted waits for nobody here.
        if not 0 < wanted < len(serving) or _hook(self) is None:
            set_capacity(self, new_capacity)
            return
        self.desired_capacity = wanted
        newest = sorted(serving, key=lambda one: one.instance.launch_time)
        for state in newest[wanted:]:
            _wait(self, state)

    def terminate_instance(self: Any, instance_id: str, should_decrement: bool) -> Any:
        for group in self.autoscaling_groups.values():
            for state in group.instance_states:
                if state.instance.id == instance_id and _hook(group) is not None:
                    size = group.desired_capacity
                    _wait(group, state)
                    if should_decrement:
                        group.desired_capacity = size - 1
                    else:
                        set_capacity(group, size)
                    return TerminateInstanceActivity(state.instance, size)
        return terminate(self, instance_id, should_decrement)

    def complete_lifecycle_action(self: Any) -> Any:
        name = self._get_param("AutoScalingGroupName")
        group = self.autoscaling_backend.autoscaling_groups.get(name)
        if group is None or not _end(group, self._get_param("InstanceId")):
            raise ValidationError("No active Lifecycle Action found with instance ID")
        return EmptyResult()

    _group.set_desired_capacity = set_desired_capacity
    _backend.terminate_instance = terminate_instance
    _responses.complete_lifecycle_action = complete_lifecycle_action


def _hook(group: Any) -> Any:
    """The hook that a group has for instances that it terminates; None without one."""
    hooks = group.autoscaling_backend.describe_lifecycle_hooks(group.name, [])
    return next((h for h in hooks if h.lifecycle_transition == TERMINATING), None)


def _wait(group: Any, state: Any) -> None:
    """Have an instance wait until somebody completes that, or time is up."""
    state.lifecycle_state = WAITS
    _later(_hook(group).heartbeat_timeout, _end, group, state.instance.id)


def _end(group: Any, instance_id: str) -> bool:
    """Terminate an instance that waits, in a moment; whether it does."""
    for state in group.instance_states:
        if state.instance.id == instance_id and state.lifecycle_state == WAITS:
            state.lifecycle_state = PROCEEDS
            _later(PROCEED_SECONDS, _terminate, group, state)
            return True
    return False


def _terminate(group: Any, state: Any) -> None:
    if state in group.instance_states:
        group.instance_states.remove(state)
        backend = group.autoscaling_backend.ec2_backend
        backend.terminate_instances([state.instance.id])


def _later(seconds: float, function: Callable[..., object], *arguments: Any) -> None:
    timer = Timer(seconds, function, arguments)
    timer.daemon = True
    timer.start()
