"""A stack as CloudFormation tells of it."""

from collections.abc import Mapping
from typing import Any

from acceptance.account.calls import Caller
from acceptance.plan.options import Options
from portway.aws.errors import AwsCallError
from portway.errors import PortwayError


def describe_stack(caller: Caller, name: str) -> Any | None:
    """A stack as CloudFormation describes it; None if there is none."""
    try:
        about = f"stack {name}"
        given = {"StackName": name}
        return caller.call("cloudformation", "describe_stacks", about, **given)[
            "Stacks"
        ][0]
    except AwsCallError as error:
        if error.code == "ValidationError" and "does not exist" in error.message:
            return None
        raise


def refuse_existing(caller: Caller, options: Options) -> None:
    """Refuse a name that a stack has, whatever state it is in."""
    found = describe_stack(caller, options.stack)
    if found is not None:
        raise PortwayError(
            f"stack {options.stack} exists in {options.region}: {found['StackStatus']}",
            why="This makes a stack of its own and deletes it at the end; nothing was "
            "touched",
            do="give a name that no stack has",
        )


def as_parameters(values: Mapping[str, str]) -> list[dict[str, str]]:
    """Parameters as CloudFormation takes them; without one, its default counts."""
    return [
        {"ParameterKey": key, "ParameterValue": value}
        for key, value in values.items()
        if value
    ]


def resources(caller: Caller, stack_id: str) -> dict[str, Any]:
    """The resources of a stack by the names that the template has for them."""
    found = caller.call(
        "cloudformation",
        "describe_stack_resources",
        "the stack's resources",
        StackName=stack_id,
    )["StackResources"]
    return {r["LogicalResourceId"]: r for r in found if r.get("LogicalResourceId")}


def progress(caller: Caller, stack_id: str) -> str:
    """How far a stack is: how many of its resources, and which are under way."""
    try:
        found = resources(caller, stack_id)
    except PortwayError:
        return "its resources cannot be read"
    states = {name: r["ResourceStatus"] for name, r in found.items()}
    under_way = [n for n, state in states.items() if state.endswith("_IN_PROGRESS")]
    return f"{len(states)} resources, under way: {', '.join(under_way[:6]) or 'none'}"


def first_failure(caller: Caller, stack_id: str) -> str:
    """What failed first, in CloudFormation's words."""
    about = "the stack's events"
    events = caller.read(
        "cloudformation",
        "describe_stack_events",
        "StackEvents",
        about,
        StackName=stack_id,
    )
    failed = [e for e in events if e.get("ResourceStatus", "").endswith("_FAILED")]
    if not failed:
        return ""
    first = failed[-1]  # the newest comes first
    return f"{first['LogicalResourceId']}: {first.get('ResourceStatusReason', '')}"
