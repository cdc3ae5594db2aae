"""What discovery refuses: each error names the entry and the way out, in one line."""

import socket

import pytest

from portway.aws.reading import read_stack
from portway.errors import PortwayError
from portway.model.stack import Role
from tests.integration.aws_server import (
    AwsServer,
    database_status,
    stack_status,
    without_output,
)
from tests.integration.conftest import REGION, STACK, Account, Discovery


def refusal(discover: Discovery, **arguments: str | float) -> str:
    """What discovery refuses with: at most three lines."""
    with pytest.raises(PortwayError) as caught:
        discover(**arguments)  # type: ignore[arg-type]
    assert len(caught.value.message.splitlines()) <= 3  # what, why, what to do
    assert discover.pauses == [], "waiting would not have helped"
    return caught.value.message


def test_no_credentials(
    stack: Account, discover: Discovery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")

    message = refusal(discover)

    assert message.startswith("stack messages: there are no usable AWS credentials")
    assert "log in (aws sso login), or set AWS_PROFILE, or AWS_ACCESS_KEY_ID" in message


def test_a_profile_that_does_not_exist(
    stack: Account, discover: Discovery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nosuch")

    message = refusal(discover)

    assert "no usable AWS credentials" in message
    assert "nosuch" in message


@pytest.mark.parametrize("code", ["ExpiredToken", "RequestExpired"])
def test_expired_credentials(stack: Account, discover: Discovery, code: str) -> None:
    stack.aws.refuse("cloudformation:DescribeStacks", code, "too old")

    message = refusal(discover)

    assert f"the AWS credentials have expired ({code})\n  log in" in message


def test_credentials_that_aws_does_not_know(
    stack: Account, discover: Discovery
) -> None:
    stack.aws.refuse("cloudformation:DescribeStacks", "InvalidClientTokenId", "invalid")

    message = refusal(discover)

    assert "does not accept the credentials (InvalidClientTokenId: invalid)" in message
    assert "log in" in message


def test_no_region(stack: Account, discover: Discovery) -> None:
    assert "no AWS region is set\n  set AWS_REGION" in refusal(discover, region="")


def test_a_region_that_cannot_be_one(
    stack: Account, discover: Discovery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")

    message = refusal(discover, region="eu central")

    assert '"eu central" is not a region' in message
    assert "set AWS_REGION to one such as eu-central-1" in message


def test_no_stack_name(stack: Account, discover: Discovery) -> None:
    assert "no stack is set\n  set PORTWAY_STACK" in refusal(discover, name="")


def test_an_endpoint_that_does_not_answer(
    stack: Account, discover: Discovery, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")

    message = refusal(discover)

    assert "cloudformation:DescribeStacks did not reach AWS" in message
    assert "check the network" in message
    assert "AWS_ENDPOINT_URL" in message


def test_an_endpoint_that_is_not_an_address(
    stack: Account, discover: Discovery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "nonsense")

    message = refusal(discover)

    assert "nonsense" in message
    assert "check the AWS configuration" in message


def test_no_such_stack(account: Account, discover: Discovery) -> None:
    message = refusal(discover)

    assert "stack messages: there is no such stack in eu-central-1" in message
    assert "check PORTWAY_STACK and AWS_REGION" in message


@pytest.mark.parametrize(
    ("status", "remedy"),
    [
        ("CREATE_FAILED", "delete it and create it again"),
        ("ROLLBACK_COMPLETE", "delete it and create it again"),
        ("ROLLBACK_IN_PROGRESS", "delete it and create it again"),
        ("DELETE_FAILED", "delete it and create it again"),
        ("DELETE_IN_PROGRESS", "wait until it is gone"),
        ("REVIEW_IN_PROGRESS", "execute its change set"),
        ("UPDATE_FAILED", "update it again"),
        ("UPDATE_ROLLBACK_FAILED", "continue the rollback"),
    ],
)
def test_a_stack_that_failed(
    stack: Account, discover: Discovery, status: str, remedy: str
) -> None:
    stack.aws.edit("cloudformation:DescribeStacks", stack_status(status))

    message = refusal(discover)

    assert message.startswith(f"stack messages: it is {status}")
    assert remedy in message


def _event(stack_id: str, resource: str, status: str, reason: str) -> str:
    physical = stack_id if resource == "messages" else f"{resource}-1"
    return (
        "<member><EventId>1</EventId><StackName>messages</StackName>"
        f"<StackId>{stack_id}</StackId><LogicalResourceId>{resource}</LogicalResourceId>"
        f"<PhysicalResourceId>{physical}</PhysicalResourceId>"
        f"<ResourceStatus>{status}</ResourceStatus>"
        f"<ResourceStatusReason>{reason}</ResourceStatusReason>"
        "<Timestamp>2026-01-01T00:00:00Z</Timestamp></member>"
    )


def test_a_stack_that_failed_says_which_resource_was_first(
    stack: Account, discover: Discovery
) -> None:
    client = stack.client("cloudformation")
    stack_id = client.describe_stacks(StackName="messages")["Stacks"][0]["StackId"]
    newest_first = [
        ("messages", "ROLLBACK_COMPLETE", ""),
        ("LoadBalancer1", "CREATE_FAILED", "Resource creation cancelled"),
        ("Database", "CREATE_FAILED", "no capacity\nfor db.t4g.medium"),
        ("messages", "CREATE_IN_PROGRESS", "User Initiated"),
        ("Vpc", "DELETE_FAILED", "of an earlier operation"),
    ]
    events = "".join(_event(stack_id, *event) for event in newest_first)
    stack.aws.edit("cloudformation:DescribeStacks", stack_status("ROLLBACK_COMPLETE"))
    stack.aws.edit(
        "cloudformation:DescribeStackEvents",
        lambda _: (
            "<DescribeStackEventsResponse><DescribeStackEventsResult><StackEvents>"
            f"{events}</StackEvents></DescribeStackEventsResult>"
            "</DescribeStackEventsResponse>"
        ),
    )

    message = refusal(discover)

    assert "because Database failed (no capacity for db.t4g.medium)" in message


def test_a_failed_stack_is_told_even_if_its_events_are_denied(
    stack: Account, discover: Discovery
) -> None:
    stack.aws.edit("cloudformation:DescribeStacks", stack_status("CREATE_FAILED"))
    stack.aws.refuse("cloudformation:DescribeStackEvents", "AccessDenied", "no")

    assert "stack messages: it is CREATE_FAILED" in refusal(discover)


def test_a_look_waits_neither_for_rights_nor_for_the_stack(
    stack: Account, discover: Discovery
) -> None:
    stack.aws.refuse("ec2:DescribeInstances", "UnauthorizedOperation", "no")
    assert "ec2:DescribeInstances" in refusal(discover, wait_seconds=0)

    stack.aws.edit("cloudformation:DescribeStacks", stack_status("UPDATE_IN_PROGRESS"))
    assert "CloudFormation (UPDATE_IN_PROGRESS)" in refusal(discover, wait_seconds=0)
    assert discover.pauses == []


@pytest.mark.usefixtures("long_ago")
@pytest.mark.parametrize(
    ("action", "code"),
    [
        ("cloudformation:DescribeStacks", "AccessDenied"),
        ("ec2:DescribeInstances", "UnauthorizedOperation"),
        ("autoscaling:DescribeAutoScalingGroups", "AccessDenied"),
        ("rds:DescribeDBInstances", "AccessDenied"),
        ("ec2:DescribeAddresses", "UnauthorizedOperation"),
    ],
)
def test_access_denied_names_the_action(
    stack: Account, discover: Discovery, action: str, code: str
) -> None:
    said = "you may not. Encoded authorization failure message: x9x9x9"
    stack.aws.refuse(action, code, said)

    message = refusal(discover)

    assert f"access denied: these credentials may not call {action}" in message
    assert "OperatorPolicyArn" in message
    assert "you may not" in message
    assert "x9x9x9" not in message


@pytest.mark.parametrize(
    "action", ["cloudformation:DescribeStacks", "ec2:DescribeInstances"]
)
def test_rights_that_were_granted_just_now_are_waited_for(
    stack: Account, request: pytest.FixtureRequest, action: str
) -> None:
    said: list[str] = []

    def read() -> list[float]:
        pauses: list[float] = []
        stack.aws.refuse(action, "UnauthorizedOperation", "not yet")

        def sleep(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == 3:
                stack.aws.forget()

        read_stack(STACK, REGION, progress=said.append, sleep=sleep)
        return pauses

    assert len(read()) == 3
    assert "waiting for rights that may have been granted just now (" in said[0]
    assert f"these credentials may not call {action}" in said[0]
    request.getfixturevalue("long_ago")
    with pytest.raises(PortwayError, match="access denied"):
        read()


def test_no_load_balancers(stack: Account, discover: Discovery) -> None:
    ids = [i["InstanceId"] for i in stack.instances("load-balancer")]
    stack.launch_no_other()
    stack.client("ec2").terminate_instances(InstanceIds=ids)

    message = refusal(discover)

    assert "stack messages: none of its load balancers is running" in message
    assert "their auto scaling groups launch others within minutes" in message
    assert "portway:role=load-balancer" in message


def test_one_load_balancer_is_enough(stack: Account, discover: Discovery) -> None:
    second = stack.load_balancer("lb-2")
    stack.launch_no_other()
    stack.client("ec2").terminate_instances(InstanceIds=[second])

    found = discover().with_role(Role.LOAD_BALANCER)

    assert [lb.name for lb in found] == ["lb-1"]


def test_two_stopped_load_balancers_are_to_be_started(
    stack: Account, discover: Discovery
) -> None:
    ids = [stack.load_balancer("lb-1"), stack.load_balancer("lb-2")]
    stack.client("ec2").stop_instances(InstanceIds=ids)

    message = refusal(discover)

    assert f"lb-2 ({ids[1]}) is stopped\n  start them" in message


def test_three_load_balancers(stack: Account, discover: Discovery) -> None:
    third = stack.launch(
        portway_stack="messages", portway_role="load-balancer", Name="lb-3"
    )[0]

    message = refusal(discover)

    assert "3 load balancers are running" in message
    assert f"lb-3 ({third})" in message
    assert "terminate the extra one" in message


def test_two_preferred_masters(stack: Account, discover: Discovery) -> None:
    for name in ("lb-1", "lb-2"):
        stack.tag(stack.load_balancer(name), portway_master="true")

    message = refusal(discover)

    assert "lb-1" in message
    assert "lb-2" in message
    assert "both have the tag portway:master=true" in message
    assert "remove it from the other" in message


def test_a_master_tag_that_says_neither_true_nor_false(
    stack: Account, discover: Discovery
) -> None:
    stack.tag(stack.load_balancer("lb-1"), portway_master="yes")

    message = refusal(discover)

    assert "lb-1" in message
    assert "portway:master=yes\n  set it to true or remove it" in message


def test_no_application_nodes(stack: Account, discover: Discovery) -> None:
    group = stack.outputs()["ApplicationGroupName"]
    stack.client("autoscaling").update_auto_scaling_group(
        AutoScalingGroupName=group, MinSize=0, MaxSize=0, DesiredCapacity=0
    )

    message = refusal(discover)

    assert "stack messages: it has no application nodes" in message
    assert f"the desired capacity of {group} is 0" in message
    assert "ApplicationNodes of at least 1" in message


def test_no_scaling_group(stack: Account, discover: Discovery) -> None:
    group = stack.outputs()["ApplicationGroupName"]
    stack.client("autoscaling").delete_auto_scaling_group(
        AutoScalingGroupName=group, ForceDelete=True
    )

    message = refusal(discover)

    assert f"auto scaling group {group} is gone" in message
    assert "update the stack" in message


def test_no_database(stack: Account, discover: Discovery) -> None:
    identifier = stack.outputs()["DatabaseIdentifier"]
    stack.client("rds").delete_db_instance(
        DBInstanceIdentifier=identifier, SkipFinalSnapshot=True
    )

    message = refusal(discover)

    assert f"its database {identifier} does not exist" in message
    assert "restore its last snapshot" in message


@pytest.mark.parametrize(
    ("status", "fix"),
    [
        ("deleting", "see its events in RDS"),
        ("failed", "see its events in RDS"),
        ("incompatible-parameters", "see its events in RDS"),
        ("stopped", "start it"),
    ],
)
def test_a_database_that_will_not_come(
    stack: Account, discover: Discovery, status: str, fix: str
) -> None:
    stack.aws.edit("rds:DescribeDBInstances", database_status(status))

    message = refusal(discover)

    assert f"is {status}\n  {fix}" in message


def test_a_database_whose_master_password_is_not_managed(
    stack: Account, discover: Discovery
) -> None:
    stack.client("rds").modify_db_instance(
        DBInstanceIdentifier=stack.outputs()["DatabaseIdentifier"],
        ManageMasterUserPassword=False,
        MasterUserPassword="a-password-of-mine",
    )

    message = refusal(discover)

    assert "has no master password managed by RDS" in message
    assert "turn ManageMasterUserPassword on" in message


def test_an_elastic_ip_that_was_released(stack: Account, discover: Discovery) -> None:
    (allocation,) = stack.address_objects()
    stack.client("ec2").release_address(AllocationId=allocation)

    message = refusal(discover)

    assert f"({allocation}) was released" in message
    assert stack.outputs()["VirtualAddress"] in message
    assert "update the stack" in message


@pytest.mark.parametrize(
    "key",
    [
        "AddressKind",
        "AddressObjects",
        "ApplicationGroupName",
        "ApplicationSecretArn",
        "ClientPortTo",
        "DatabaseIdentifier",
        "StatsPort",
        "VirtualAddress",
    ],
)
def test_a_stack_from_an_older_template(
    stack: Account, discover: Discovery, key: str
) -> None:
    stack.aws.edit("cloudformation:DescribeStacks", without_output(key))

    message = refusal(discover)

    assert f"stack messages: {key} missing from its outputs" in message
    assert "update the stack with this version's cloudformation/stack.yaml" in message


def test_an_error_that_no_one_foresaw_names_the_call(
    aws: AwsServer, stack: Account, discover: Discovery
) -> None:
    aws.refuse("ec2:DescribeInstances", "InvalidFilter", "no such filter", 400)

    message = refusal(discover)

    assert "stack messages: ec2:DescribeInstances failed in eu-central-1" in message
    assert "InvalidFilter: no such filter" in message
