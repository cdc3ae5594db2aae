"""The template's rules: which parameters CloudFormation refuses together.

Moto does not look at them, so they are evaluated here.
"""

from typing import Any

import pytest

from tests.integration.conftest import ADDRESSES, Resource

NETWORK = {"VpcId": "vpc-0a", "SubnetIds": "subnet-0a,subnet-0b"}
ROUTE = {"AddressKind": "route", "VirtualAddress": "10.255.0.1"}
PRIVATE = {"AddressKind": "private-address", "VirtualAddress": "10.60.0.250"}


def value(expression: Any, parameters: dict[str, str]) -> Any:
    """What a rule's intrinsic functions say of parameters."""
    if not isinstance(expression, dict):
        return expression
    ((function, argument),) = expression.items()
    if function == "Ref":
        return parameters[argument]
    if function == "Fn::EachMemberEquals":
        listed, wanted = (value(part, parameters) for part in argument)
        return all(member == wanted for member in listed.split(","))
    parts = [value(part, parameters) for part in argument]
    if function == "Fn::Equals":
        return parts[0] == parts[1]
    return {"Fn::Not": not parts[0], "Fn::And": all(parts), "Fn::Or": any(parts)}[
        function
    ]


def refusals(template: Resource, **given: str) -> list[str]:
    """What CloudFormation says of these parameters, the others at their defaults."""
    defaults = {n: str(p.get("Default", "")) for n, p in template["Parameters"].items()}
    parameters = defaults | given
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
        ({"VpcId": "vpc-0a"}, "Give both VpcId and SubnetIds, or neither."),
        ({"SubnetIds": "subnet-0a,subnet-0b"}, "Give both VpcId and SubnetIds"),
    ],
)
def test_parameters_that_do_not_go_together_are_refused(
    template: Resource, given: dict[str, str], words: str
) -> None:
    (said,) = refusals(template, **given)
    assert words in said


@pytest.mark.parametrize(
    "given",
    [
        NETWORK,
        ROUTE | NETWORK | {"RouteTableIds": "rtb-0a,rtb-0b"},
        ROUTE | {"RouteTableIds": "rtb-0a"},
        PRIVATE | NETWORK | {"LoadBalancerSubnets": "one"},
    ],
)
def test_parameters_that_go_together_are_accepted(
    template: Resource, given: dict[str, str]
) -> None:
    assert refusals(template, **given) == []
