"""What somebody changed of the rights of a stack's roles.

CloudFormation's own detection does not compare them: it knows no ``AWS::IAM::Policy``,
and no policies of a role that its template does not name.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from portway.aws.client import Aws
from portway.aws.instances import Answer
from portway.aws.stack_drift import Changed, list_resources
from portway.aws.template import can_be, read_resources, resources_of
from portway.model.stack import Stack

ROLE = "AWS::IAM::Role"
POLICY = "AWS::IAM::Policy"
MANAGED_POLICY = "AWS::IAM::ManagedPolicy"
KEPT_TAG = "portway:kept"
"""The tag of a role that names the policies it got on purpose, with blanks between."""

AGENT = Path(__file__).parents[2] / "cloudformation" / "agent.yaml"
"""The template of another stack, which may give these roles policies as well."""

Resources = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Policy:
    """A policy that a template gives a role; its values may be functions."""

    name: Any
    document: Mapping[str, Any]


def changed_rights(stack: Stack) -> tuple[Changed, ...]:
    """How the policies of a stack's roles differ from its template.

    PortwayError if AWS refuses to say so.
    """
    aws, about = Aws(stack.region), f"stack {stack.name}"
    listed = list_resources(aws, stack)
    roles = [one for one in listed if one["ResourceType"] == ROLE]
    if not roles:
        return ()
    made = {one["LogicalResourceId"] for one in listed}
    resources = {
        name: resource
        for name, resource in read_resources(aws, stack).items()
        if name in made
    }
    managed = [
        one["PhysicalResourceId"]
        for one in listed
        if one["ResourceType"] == MANAGED_POLICY
    ]
    return tuple(
        change
        for role in roles
        for change in _compared(aws, about, role, resources, managed)
    )


def _compared(
    aws: Aws, about: str, role: Answer, resources: Resources, managed: Sequence[str]
) -> Iterator[Changed]:
    name, id_ = role["LogicalResourceId"], role["PhysicalResourceId"]
    tags = aws.call("iam", "get_role", about, RoleName=id_)["Role"].get("Tags", ())
    kept = {word for tag in tags if tag["Key"] == KEPT_TAG for word in _words(tag)}
    names = aws.read("iam", "list_role_policies", "PolicyNames", about, RoleName=id_)
    there = {
        str(policy): aws.call(
            "iam", "get_role_policy", about, RoleName=id_, PolicyName=policy
        )["PolicyDocument"]
        for policy in names
    }
    attached = aws.read(
        "iam", "list_attached_role_policies", "AttachedPolicies", about, RoleName=id_
    )
    resource = f"{name} ({id_})"
    of_agent = _said(resources_of(AGENT.read_text()), name)
    agents = [policy for policy in of_agent if policy.name in there]
    for change in _inline([*_said(resources, name), *agents], there):
        yield Changed(resource, change.what, change.diff, change.resource in kept)
    own = resources.get(name, {}).get("Properties", {}).get("ManagedPolicyArns", ())
    for policy in attached:
        arn = policy["PolicyArn"]
        if arn not in managed and not any(can_be(said, arn) for said in own):
            what = f"policy {policy['PolicyName']} was attached"
            is_kept = policy["PolicyName"] in kept
            yield Changed(resource, what, (f"-{arn}",), is_kept)


def _words(tag: Mapping[str, str]) -> list[str]:
    return tag["Value"].split()


def _said(resources: Resources, role: str) -> list[_Policy]:
    """The inline policies that a template gives a role."""
    own = resources.get(role, {}).get("Properties", {}).get("Policies", ())
    of_others = (
        resource["Properties"]
        for resource in resources.values()
        if resource["Type"] == POLICY
        and {"Ref": role} in resource["Properties"].get("Roles", ())
    )
    return [
        _Policy(said["PolicyName"], said["PolicyDocument"])
        for said in (*own, *of_others)
    ]


def _inline(
    said: list[_Policy], there: Mapping[str, Mapping[str, Any]]
) -> Iterator[Changed]:
    """How a role's policies differ; each with the name of its policy as resource."""
    strangers = dict(there)
    for policy in said:
        name = next((name for name in strangers if can_be(policy.name, name)), None)
        if name is None:
            yield Changed(str(policy.name), f"policy {policy.name} was removed")
        else:
            for what, diff in _statements(policy.document, strangers.pop(name)):
                yield Changed(name, f"policy {name}: {what}", diff)
    for name, document in strangers.items():
        yield Changed(name, f"policy {name} was added", (f"-{_json(document)}",))


def _statements(
    said: Mapping[str, Any], there: Mapping[str, Any]
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """What became of the statements of a policy, which are told by their ``Sid``."""
    wanted, found = _by_sid(said), _by_sid(there)
    for sid in dict.fromkeys([*wanted, *found]):
        if sid not in found:
            yield f"statement {sid} was removed", (f"+{_json(wanted[sid])}",)
        elif sid not in wanted:
            yield f"statement {sid} was added", (f"-{_json(found[sid])}",)
        elif not can_be(wanted[sid], found[sid]):
            lines = (f"-{_json(found[sid])}", f"+{_json(wanted[sid])}")
            yield f"statement {sid} was changed", lines


def _by_sid(document: Mapping[str, Any]) -> dict[str, Any]:
    found = document.get("Statement", ())
    statements = [found] if isinstance(found, Mapping) else found
    return {
        str(statement.get("Sid", number)): statement
        for number, statement in enumerate(statements)
    }


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)
