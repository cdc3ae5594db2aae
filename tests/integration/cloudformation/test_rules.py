"""The template's rules: which parameters CloudFormation refuses together.

Moto does not look at them, so they are evaluated here.
"""

from typing import Any

import pytest

from tests.integration.conftest import ADDRESSES, Resource

NETWORK = {"VpcId": "vpc-0a", "SubnetIds": "subnet-0a,subnet-0b"}
ZONES = {"ZoneA": "eu-central-1a", "ZoneB": "eu-central-1b"}
EXISTING = {
    "AWS::EC2::KeyPair::KeyName": ["my-key"],
    "AWS::EC2::VPC::Id": ["vpc-0a", "vpc-0b"],
    "AWS::EC2::Subnet::Id": ["subnet-0a", "subnet-0b", "subnet-0c"],
    "AWS::EC2::AvailabilityZone::Name": ["eu-central-1a", "eu-central-1b"],
}
"""What the account sees of the types that a rule may ask for."""
ROUTE = {"AddressKind": "route", "VirtualAddress": "10.255.0.1"}
PRIVATE = {"AddressKind": "private-address", "VirtualAddress": "10.60.0.250"}


def value(expression: Any, parameters: dict[str, str]) -> Any:
    """What a rule's intrinsic functions say of parameters."""
    if not isinstance(expression, dict):
        return expression
    ((function, argument),) = expression.items()
    if function == "Ref":
        return parameters[argument]
    if function == "Fn::RefAll":
        return EXISTING[argument]
    parts = [value(part, parameters) for part in argument]
    return answer(function, parts)


def answer(function: str, parts: list[Any]) -> bool:
    """What a function says of its arguments."""
    if function in ("Fn::Not", "Fn::And", "Fn::Or"):
        how = {"Fn::Not": [not parts[0]], "Fn::And": parts, "Fn::Or": [any(parts)]}
        return all(how[function])
    first, second = parts
    if function == "Fn::Equals":
        return bool(first == second)
    if function == "Fn::Contains":
        return second in first
    members = set(first.split(","))
    if function == "Fn::EachMemberEquals":
        return members == {second}
    assert function == "Fn::EachMemberIn"
    return members <= set(second)


def refusals(template: Resource, **given: str) -> list[str]:
    """What CloudFormation says of these parameters, the others at their defaults."""
    defaults = {n: str(p.get("Default", "")) for n, p in template["Parameters"].items()}
    network = {} if "VpcId" in given else ZONES
    parameters = defaults | {"LoadBalancersAs": "groups"} | network | given
    return [
        assertion["AssertDescription"]
        for rule in template["Rules"].values()
        if value(rule.get("RuleCondition", True), parameters)
        for assertion in rule["Assertions"]
        if not value(assertion["Assert"], parameters)
    ]


@pytest.mark.parametrize("kind", ADDRESSES)
def test_each_kind_is_accepted_with_what_it_needs(
    template: Resource, kind: str
) -> None:
    assert refusals(template, AddressKind=kind, **ADDRESSES[kind]) == []  # type: ignore[index]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"VirtualAddress": "10.255.0.1"}, "leave VirtualAddress empty"),
        ({"AddressKind": "route"}, "needs VirtualAddress"),
        (
            {"AddressKind": "private-address", "LoadBalancerSubnets": "one"},
            "needs VirtualAddress",
        ),
        (PRIVATE, "set LoadBalancerSubnets to one"),
        (ROUTE | NETWORK, "AddressKind route needs RouteTableIds"),
        ({"RouteTableIds": "rtb-0a"}, "RouteTableIds are for AddressKind route only"),
        (
            PRIVATE | {"LoadBalancerSubnets": "one", "RouteTableIds": "rtb-0a"},
            "RouteTableIds are for AddressKind route only",
        ),
        ({"LoadBalancersAs": ""}, "Give LoadBalancersAs, groups for a new stack"),
        ({"SubnetIds": "subnet-0a,subnet-0b"}, "Give both VpcId and SubnetIds"),
        ({"KeyName": "my-kye"}, "KeyName is no key pair of this account and region"),
        ({"ZoneA": ""}, "of its subnet SubnetA"),
        ({"ZoneB": "eu-central-1z"}, "of its subnet SubnetB"),
        ({"ZoneB": "eu-central-1a"}, "ZoneA and ZoneB must differ"),
        (NETWORK | {"VpcId": "vpc-0c"}, "VpcId is no VPC of this region"),
        (NETWORK | {"SubnetIds": "subnet-0a,subnet-0d"}, "SubnetIds are not all"),
        (
            ROUTE | {"Ec2ApiEndpoint": "yes"},
            "Ec2ApiEndpoint is for AddressKind elastic-ip only",
        ),
    ],
)
def test_parameters_that_do_not_go_together_are_refused(
    template: Resource, given: dict[str, str], words: str
) -> None:
    (said,) = refusals(template, **given)
    assert words in said


def test_vpc_without_subnets_is_refused(template: Resource) -> None:
    assert "Give both VpcId and SubnetIds, or neither." in refusals(
        template, VpcId="vpc-0a"
    )


@pytest.mark.parametrize(
    "given",
    [
        NETWORK,
        NETWORK | {"Ec2ApiEndpoint": "yes", "KeyName": "my-key"},
        ROUTE | NETWORK | {"RouteTableIds": "rtb-0a,rtb-0b"},
        ROUTE | {"RouteTableIds": "rtb-0a"},
        PRIVATE | NETWORK | {"LoadBalancerSubnets": "one"},
        {"LoadBalancersAs": "instance-and-group"},
    ],
)
def test_parameters_that_go_together_are_accepted(
    template: Resource, given: dict[str, str]
) -> None:
    assert refusals(template, **given) == []
