"""A deleted stack leaves what it leaves in AWS; what the lab's corrections promise."""

import pytest
from botocore.exceptions import ClientError

from tests.integration.conftest import STACK, TEMPLATE, Account


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
    endpoints = ec2.describe_vpc_endpoints()["VpcEndpoints"]
    assert {endpoint["State"] for endpoint in endpoints} == {"deleted"}
    assert stack.client("rds").describe_db_instances()["DBInstances"] == []
    groups = stack.client("autoscaling").describe_auto_scaling_groups()
    assert groups["AutoScalingGroups"] == []
    assert stack.client("secretsmanager").list_secrets()["SecretList"] == []


def test_deleted_stack_leaves_a_snapshot_of_its_database(stack: Account) -> None:
    rds = stack.client("rds")
    (database,) = rds.describe_db_instances()["DBInstances"]

    stack.client("cloudformation").delete_stack(StackName=STACK)

    snapshots = rds.describe_db_snapshots(SnapshotType="manual")["DBSnapshots"]
    assert rds.describe_db_instances()["DBInstances"] == []
    assert [s["DbiResourceId"] for s in snapshots] == [database["DbiResourceId"]]


def test_database_that_is_gone_keeps_no_stack(stack: Account) -> None:
    formation, rds = stack.client("cloudformation"), stack.client("rds")
    (database,) = rds.describe_db_instances()["DBInstances"]
    rds.delete_db_instance(
        DBInstanceIdentifier=database["DBInstanceIdentifier"], SkipFinalSnapshot=True
    )

    formation.delete_stack(StackName=STACK)

    assert formation.describe_stacks()["Stacks"] == []


def test_protected_database_keeps_its_stack(account: Account) -> None:
    account.create(DatabaseDeletionProtection="true", LoadBalancersAs="groups")
    formation, rds = account.client("cloudformation"), account.client("rds")
    account.outputs()

    formation.delete_stack(StackName=STACK)

    (stack,) = formation.describe_stacks(StackName=STACK)["Stacks"]
    assert stack["StackStatus"] == "DELETE_FAILED"
    events = formation.describe_stack_events(StackName=STACK)["StackEvents"]
    assert "disable deletion protection" in events[0]["ResourceStatusReason"]
    assert account.instances("load-balancer") == []
    with pytest.raises(ClientError, match="DELETE_FAILED state and can not be updated"):
        formation.create_change_set(
            StackName=STACK,
            ChangeSetName="too-late",
            ChangeSetType="UPDATE",
            TemplateBody=TEMPLATE.read_text(),
        )

    (database,) = rds.describe_db_instances()["DBInstances"]
    rds.modify_db_instance(
        DBInstanceIdentifier=database["DBInstanceIdentifier"], DeletionProtection=False
    )
    formation.delete_stack(StackName=STACK)

    assert formation.describe_stacks()["Stacks"] == []
    assert rds.describe_db_instances()["DBInstances"] == []
    assert account.instances("load-balancer") == []
    assert len(rds.describe_db_snapshots(SnapshotType="manual")["DBSnapshots"]) == 1


def test_attached_policy_keeps_its_stack(stack: Account) -> None:
    iam, formation = stack.client("iam"), stack.client("cloudformation")
    policy = stack.outputs()["OperatorPolicyArn"]
    iam.create_role(RoleName="operators", AssumeRolePolicyDocument="{}")
    iam.attach_role_policy(RoleName="operators", PolicyArn=policy)

    formation.delete_stack(StackName=STACK)

    (event, *_) = formation.describe_stack_events(StackName=STACK)["StackEvents"]
    assert event["ResourceStatus"] == "DELETE_FAILED"
    assert "attached to entities" in event["ResourceStatusReason"]

    iam.detach_role_policy(RoleName="operators", PolicyArn=policy)
    formation.delete_stack(StackName=STACK)

    assert formation.describe_stacks()["Stacks"] == []
    assert iam.list_policies(Scope="Local")["Policies"] == []


def test_groups_launch_with_the_key_pair_of_their_template(account: Account) -> None:
    key = account.client("ec2").create_key_pair(KeyName="mine")["KeyName"]
    account.create(KeyName=key, LoadBalancersAs="groups")
    found = account.instances("load-balancer") + account.instances("application")
    assert [instance.get("KeyName") for instance in found] == [key] * 4
