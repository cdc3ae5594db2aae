"""Which of an account's stacks a lab has hosts for."""

from datetime import UTC, datetime
from typing import Any

from lab.aws.present import outputs, stacks, too_many


def described(name: str, minute: int, **outputs: str) -> dict[str, Any]:
    """A stack as CloudFormation describes it."""
    return {
        "StackName": name,
        "CreationTime": datetime(2026, 1, 1, 0, minute, tzinfo=UTC),
        "Outputs": [{"OutputKey": k, "OutputValue": v} for k, v in outputs.items()],
    }


def test_the_stack_created_first_is_first_and_others_do_not_count() -> None:
    network = described("network", 0, VpcId="vpc-1")
    first = described("prod", 1, AddressKind="route")
    second = described("staging", 2, AddressKind="elastic-ip")
    young = {"StackName": "young", "CreationTime": first["CreationTime"]}

    assert stacks([second, network, young, first]) == (first, second)
    assert outputs(first) == {"AddressKind": "route"}
    assert outputs(young) == {}


def test_stacks_without_hosts_are_named_with_the_one_that_has_them() -> None:
    assert too_many(()) == too_many(("prod",)) == ""
    assert too_many(("prod", "staging")) == (
        "stacks prod and staging exist, but a lab has hosts for only one: they stay "
        "with prod; delete staging, or use another lab"
    )
