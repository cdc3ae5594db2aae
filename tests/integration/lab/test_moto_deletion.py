"""A deleted stack leaves what it leaves in AWS; what the lab's corrections promise."""

from tests.integration.conftest import STACK, Account


def test_deleted_stack_leaves_its_elastic_ip_and_nothing_else(stack: Account) -> None:
    ec2 = stack.client("ec2")
    vpc = stack.outputs()["VpcId"]
    (allocation,) = stack.address_objects()

    stack.client("cloudformation").delete_stack(StackName=STACK)

    there = [{"Name": "vpc-id", "Values": [vpc]}]
    assert ec2.describe_vpcs(Filters=there)["Vpcs"] == []
    assert ec2.describe_network_interfaces(Filters=there)["NetworkInterfaces"] == []
    assert [a["AllocationId"] for a in ec2.describe_addresses()["Addresses"]] == [
        allocation
    ]
    assert stack.instances("load-balancer") == stack.instances("application") == []
