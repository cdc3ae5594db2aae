"""What somebody changed of what CloudFormation made, as CloudFormation finds it.

Its detection takes seconds to minutes, goes on beside everything else, and is one at a
time for a stack. It compares what the template says explicitly, and nothing else: not
the rules of a group whose rules are resources of their own. Those EC2 is asked for.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from portway.aws.client import Aws
from portway.aws.errors import AwsCallError, one_line
from portway.aws.instances import Answer
from portway.errors import PortwayError
from portway.model.stack import Stack

POLL_SECONDS = 2.0
PAGE = 100
GROUP, RULE = "AWS::EC2::SecurityGroup", "AWS::EC2::SecurityGroupIngress"
CHECKED = (
    GROUP,
    RULE,
    "AWS::EC2::SecurityGroupEgress",
    "AWS::IAM::Role",
)
"""What it is asked about: who may reach whom, and who may be what. It cannot be asked
about AWS::IAM::Policy: see ``role_drift``."""
SHOWN = (
    "IpProtocol",
    "FromPort",
    "ToPort",
    "CidrIpv4",
    "CidrIpv6",
    "PrefixListId",
    "ReferencedGroupInfo",
    "Description",
)
"""What is told of a rule that was added."""
KEPT = "kept:"
"""How the description of a rule begins that somebody has added on purpose."""
WORDS = {"ADD": "was added", "REMOVE": "was removed"}
"""What became of a property; otherwise it was changed."""


@dataclass(frozen=True, slots=True)
class Changed:
    """A resource, or a property of it, that is not as the template says."""

    resource: str
    """Its name in the template, and its id."""
    what: str
    diff: tuple[str, ...] = ()
    """What is there with ``-``, what the template says with ``+``; as JSON."""
    is_kept: bool = False
    """Whether it is said of it there that it was added on purpose."""


@dataclass(frozen=True, slots=True)
class Detected:
    """What one detection found."""

    changed: tuple[Changed, ...] = ()
    unknown: str = ""
    """Why not everything could be compared, if so."""


def detect(
    stack: Stack,
    seconds: float,
    *,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Detected:
    """Have CloudFormation compare a stack's groups and roles with its template.

    PortwayError if it does not do so within that time, or not for these credentials.
    """
    aws, about = Aws(stack.region), f"stack {stack.name}"
    listed = list_resources(aws, stack)
    names = [r["LogicalResourceId"] for r in listed if r["ResourceType"] in CHECKED]
    if not names:
        return Detected()
    until = clock() + seconds

    def wait() -> None:
        if clock() + POLL_SECONDS > until:
            raise PortwayError(
                f"{about}: CloudFormation did not say within {seconds:.0f} s what was "
                "changed of what it made"
            )
        sleep(POLL_SECONDS)

    id_ = _begin(aws, stack, names, wait)
    status = _end(aws, about, id_, wait)
    found = aws.call(
        "cloudformation",
        "describe_stack_resource_drifts",
        about,
        StackName=stack.name,
        StackResourceDriftStatusFilters=["MODIFIED", "DELETED"],
        MaxResults=PAGE,
    )["StackResourceDrifts"]
    began: datetime = status["Timestamp"]
    changed = [
        *_strangers(aws, about, listed),
        *(
            change
            for resource in found
            # What an earlier detection found of other resources is still there.
            if resource["LogicalResourceId"] in names and resource["Timestamp"] >= began
            for change in _changes(resource)
        ),
    ]
    return Detected(tuple(changed), _failure(about, status))


def list_resources(aws: Aws, stack: Stack) -> list[Answer]:
    """What CloudFormation has made of each resource of a stack."""
    return aws.read(
        "cloudformation",
        "list_stack_resources",
        "StackResourceSummaries",
        f"stack {stack.name}",
        StackName=stack.name,
    )


def _begin(aws: Aws, stack: Stack, names: list[str], wait: Callable[[], None]) -> str:
    """Begin a detection, after one that somebody else began."""
    while True:
        try:
            begun = aws.call(
                "cloudformation",
                "detect_stack_drift",
                f"stack {stack.name}",
                StackName=stack.name,
                LogicalResourceIds=names,
            )
            return str(begun["StackDriftDetectionId"])
        except AwsCallError as error:
            if "already in progress" not in str(error):
                raise
        wait()


def _end(aws: Aws, about: str, id_: str, wait: Callable[[], None]) -> Answer:
    """The status of a detection once it has ended."""
    while True:
        wait()
        status: Answer = aws.call(
            "cloudformation",
            "describe_stack_drift_detection_status",
            about,
            StackDriftDetectionId=id_,
        )
        if status["DetectionStatus"] != "DETECTION_IN_PROGRESS":
            return status


def _failure(about: str, status: Answer) -> str:
    if status["DetectionStatus"] == "DETECTION_COMPLETE":
        return ""
    reason = one_line(status.get("DetectionStatusReason") or "no reason given")
    return (
        f"{about}: CloudFormation could not compare everything with the template "
        f"({reason})"
    )


def _strangers(aws: Aws, about: str, listed: list[Answer]) -> Iterator[Changed]:
    """Rules that no resource is, in groups whose rules are resources.

    Resources that were made before EC2's rules had ids do not say which they are: their
    groups are left out.
    """
    ids: dict[str, set[str]] = {GROUP: set(), RULE: set()}
    for one in listed:
        ids.get(one["ResourceType"], set()).add(one.get("PhysicalResourceId", ""))
    if not all(id_.startswith("sgr-") for id_ in ids[RULE]):
        return
    names = {one.get("PhysicalResourceId"): one["LogicalResourceId"] for one in listed}
    filters = [{"Name": "group-id", "Values": sorted(ids[GROUP])}]
    rules = aws.read(
        "ec2",
        "describe_security_group_rules",
        "SecurityGroupRules",
        about,
        Filters=filters,
    )
    ours = {r["GroupId"] for r in rules if r["SecurityGroupRuleId"] in ids[RULE]}
    for rule in rules:
        group, id_ = rule["GroupId"], rule["SecurityGroupRuleId"]
        if group in ours and id_ not in ids[RULE] and not rule["IsEgress"]:
            said = {key: value for key, value in rule.items() if key in SHOWN}
            line = f"-{json.dumps(said, sort_keys=True)}"
            name = f"{names[group]} ({group})"
            yield Changed(name, f"{id_} was added", (line,), _is_kept(rule))


def _changes(resource: Answer) -> Iterator[Changed]:
    name, id_ = resource["LogicalResourceId"], resource.get("PhysicalResourceId")
    name += f" ({id_})" if id_ else ""
    if resource["StackResourceDriftStatus"] == "DELETED":
        yield Changed(name, "was deleted")
    for property_ in resource.get("PropertyDifferences") or ():
        kind = property_["DifferenceType"]
        lines = []
        if kind != "REMOVE":
            lines.append(f"-{_plain(property_['ActualValue'])}")
        if kind != "ADD":
            lines.append(f"+{_plain(property_['ExpectedValue'])}")
        what = f"{property_['PropertyPath']} {WORDS.get(kind, 'was changed')}"
        is_kept = kind == "ADD" and _is_kept(_read(property_["ActualValue"]))
        yield Changed(name, what, tuple(lines), is_kept)


def _is_kept(rule: Any) -> bool:
    said = rule.get("Description") if isinstance(rule, dict) else None
    return isinstance(said, str) and said.startswith(KEPT)


def _read(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return None


def _plain(value: str) -> str:
    """A value on one line, its keys in order."""
    try:
        read: Any = json.loads(value)
    except ValueError:
        return one_line(value)
    return json.dumps(read, sort_keys=True)
