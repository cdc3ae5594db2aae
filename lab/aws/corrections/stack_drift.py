"""What CloudFormation finds that differs from a stack's template.

As AWS does, it compares only what a template says explicitly: not a role's policies
that are resources of their own, and not the rules of a group without any of its own.
"""

import copy
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from moto.cloudformation import parsing
from moto.cloudformation.exceptions import ValidationError
from moto.cloudformation.responses import CloudFormationResponse
from moto.core.responses import ActionResult
from moto.iam.models import iam_backends

from lab.aws.corrections.rules import EGRESS, INGRESS, as_template, group_with

Properties = dict[str, Any]
Drift = dict[str, Any]

SECONDS = 1.5
"""How long a detection takes here; in AWS it is up to minutes."""
GROUP, RULE, ROLE = (
    "AWS::EC2::SecurityGroup",
    "AWS::EC2::SecurityGroupIngress",
    "AWS::IAM::Role",
)
"""The types that are compared here. AWS compares more, but no AWS::IAM::Policy."""

_responses: Any = CloudFormationResponse


@dataclass(slots=True)
class Detection:
    """One detection of a stack's drift, under way until its time is over."""

    stack_id: str
    drifts: list[Drift]
    id: str = field(default_factory=lambda: str(uuid4()))
    began: datetime = field(default_factory=lambda: datetime.now(UTC))
    until: float = field(default_factory=lambda: time.monotonic() + SECONDS)

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return time.monotonic() >= self.until


_detections: dict[str, Detection] = {}
"""All of them by id, in their order."""


def stacks_tell_their_drift() -> None:
    """Moto does not know DetectStackDrift, nor what tells its status and results."""
    _responses.detect_stack_drift = _detect
    _responses.describe_stack_drift_detection_status = _status
    _responses.describe_stack_resource_drifts = _drifts


def _detect(self: Any) -> ActionResult:
    stack = self.cloudformation_backend.get_stack(self._get_param("StackName"))
    if any(not d.is_over for d in _of(stack)):
        said = f"Drift detection is already in progress for stack [{stack.stack_id}]"
        raise ValidationError(message=said)
    only = self._get_param("LogicalResourceIds", [])
    detection = Detection(stack.stack_id, list(_compare(stack, only)))
    for drift in detection.drifts:
        drift["Timestamp"] = detection.began
    _detections[detection.id] = detection
    return ActionResult({"StackDriftDetectionId": detection.id})


def _status(self: Any) -> ActionResult:
    id_ = self._get_param("StackDriftDetectionId")
    if id_ not in _detections:
        raise ValidationError(message=f"Drift detection [{id_}] does not exist")
    detection = _detections[id_]
    answer = {
        "StackId": detection.stack_id,
        "StackDriftDetectionId": id_,
        "DetectionStatus": "DETECTION_IN_PROGRESS",
        "DetectionStatusReason": "User Initiated",
        "Timestamp": detection.began,
    }
    if detection.is_over:
        count = sum(
            d["StackResourceDriftStatus"] != "IN_SYNC" for d in detection.drifts
        )
        answer |= {
            "DetectionStatus": "DETECTION_COMPLETE",
            "StackDriftStatus": "DRIFTED" if count else "IN_SYNC",
            "DriftedStackResourceCount": count,
        }
    return ActionResult(answer)


def _drifts(self: Any) -> ActionResult:
    """The newest result of each resource, whichever detection it is of."""
    stack = self.cloudformation_backend.get_stack(self._get_param("StackName"))
    found = {
        drift["LogicalResourceId"]: drift
        for detection in _of(stack)
        if detection.is_over
        for drift in detection.drifts
    }
    wanted = self._get_param("StackResourceDriftStatusFilters", [])
    drifts = [
        drift
        for drift in found.values()
        if not wanted or drift["StackResourceDriftStatus"] in wanted
    ]
    return ActionResult({"StackResourceDrifts": drifts})


def _of(stack: Any) -> list[Detection]:
    return [d for d in _detections.values() if d.stack_id == stack.stack_id]


def _compare(stack: Any, only: list[str]) -> Iterator[Drift]:
    """Compare a stack's resources that there are with what its template says."""
    for name, resource in stack.resource_map.items():
        kind = getattr(resource, "cf_resource_type", "")
        if kind not in COMPARED or (only and name not in only):
            continue
        said = copy.deepcopy(stack.resource_map._resource_json_map[name])
        wanted = parsing.clean_json(said, stack.resource_map)["Properties"]
        differences = COMPARED[kind](stack, resource, wanted)
        status = "IN_SYNC"
        if differences is None:
            status = "DELETED"
        elif differences:
            status = "MODIFIED"
        yield {
            "StackId": stack.stack_id,
            "LogicalResourceId": name,
            "PhysicalResourceId": str(resource.physical_resource_id),
            "ResourceType": kind,
            "StackResourceDriftStatus": status,
            "PropertyDifferences": differences or [],
        }


def _compare_group(stack: Any, group: Any, wanted: Properties) -> list[Drift] | None:
    here = group_with(group.id, stack.account_id, stack.region_name)
    if here is None:
        return None
    apart = [r for r in _separate(stack) if r["GroupId"] == group.id]
    return [
        *_listed(
            INGRESS, wanted, [r for r in here.ingress_rules if not _has(apart, r)]
        ),
        *_listed(EGRESS, wanted, here.egress_rules),
    ]


def _separate(stack: Any) -> list[Properties]:
    """The rules that are resources of their own."""
    return [
        resource.properties
        for resource in stack.resource_map.values()
        if getattr(resource, "cf_resource_type", "") == RULE
    ]


def _listed(name: str, wanted: Properties, rules: list[Any]) -> Iterator[Drift]:
    """The differences of a list of rules, if the template has one."""
    if name not in wanted:
        return
    expected = [_normal(rule) for rule in wanted[name]]
    actual = [as_template(rule) for rule in rules]
    for number, rule in enumerate(expected):
        if rule not in actual:
            yield _difference(f"/{name}/{number}", rule, None)
    for number, rule in enumerate(actual):
        if rule not in expected:
            yield _difference(f"/{name}/{number}", None, rule)


def _normal(rule: Properties) -> Properties:
    """A rule of a template as AWS shows it."""
    ports = {k: int(rule[k]) for k in ("FromPort", "ToPort") if k in rule}
    return rule | ({} if str(rule["IpProtocol"]) == "-1" else ports)


def _compare_rule(stack: Any, _: Any, wanted: Properties) -> list[Drift] | None:
    """A rule of its own is there or not: all but its description is create-only."""
    group = group_with(wanted["GroupId"], stack.account_id, stack.region_name)
    rules = group.ingress_rules if group else []
    return [] if any(_has([wanted], rule) for rule in rules) else None


def _has(rules: list[Properties], rule: Any) -> bool:
    """Whether a rule of moto's is one of those of a template."""
    unsaid = ("Description", "GroupId")
    found = {k: v for k, v in as_template(rule).items() if k != "Description"}
    plain = ({k: v for k, v in r.items() if k not in unsaid} for r in rules)
    return any(_normal(given) == found for given in plain)


def _compare_role(stack: Any, role: Any, wanted: Properties) -> list[Drift] | None:
    here = iam_backends[stack.account_id]["aws"].roles.get(role.id)
    if here is None:
        return None
    trusted = here.assume_role_policy_document
    actual = json.loads(trusted) if isinstance(trusted, str) else trusted
    expected = wanted["AssumeRolePolicyDocument"]
    found = []
    if actual != expected:
        found.append(_difference("/AssumeRolePolicyDocument", expected, actual))
    for number, policy in enumerate(wanted.get("Policies", [])):
        document = here.policies.get(policy["PolicyName"])
        read = json.loads(document) if isinstance(document, str) else document
        path, said = f"/Policies/{number}", policy["PolicyDocument"]
        if document is None:
            found.append(_difference(path, policy, None))
        elif read != said:
            found.append(_difference(f"{path}/PolicyDocument", said, read))
    return found


def _difference(path: str, expected: Any, actual: Any) -> Drift:
    kind = "NOT_EQUAL"
    if expected is None or actual is None:
        kind = "ADD" if expected is None else "REMOVE"
    return {
        "PropertyPath": path,
        "ExpectedValue": json.dumps(expected),
        "ActualValue": json.dumps(actual),
        "DifferenceType": kind,
    }


Compare = Callable[[Any, Any, Properties], list[Drift] | None]
COMPARED: dict[str, Compare] = {
    GROUP: _compare_group,
    RULE: _compare_rule,
    ROLE: _compare_role,
}
"""How a resource is compared: its differences, or None if it was deleted."""
