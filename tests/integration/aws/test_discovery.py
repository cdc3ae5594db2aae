"""Reading a stack: what is found, in how many calls, and what is waited for."""

import re
from datetime import timedelta

import pytest
from botocore.exceptions import ClientError

from portway.aws.discovery import Need
from portway.aws.names import SLOT_TAG
from portway.aws.preparing import Unprepared
from portway.aws.reading import LAUNCH_SECONDS
from portway.aws.sources import SOURCES
from portway.contract.address import AddressKind
from portway.errors import PortwayError
from portway.model.stack import Ports, Role, Stack
from tests.integration.aws_server import AwsServer, database_status, stack_status
from tests.integration.conftest import Account, Discovery
from tests.unit.samples import saved_and_read


def test_everything_in_a_new_stack_is_found(
    stack: Account, discover: Discovery
) -> None:
    found = discover()

    balancers = found.with_role(Role.LOAD_BALANCER)
    assert {node.name for node in balancers} == {"lb-1", "lb-2"}
    assert len({node.zone for node in balancers}) == 2
    assert len(found.with_role(Role.APPLICATION)) == 2
    assert found.ports == Ports(9000, 10999, 8081, 8404)
    assert found.operator_networks == ("10.60.0.0/16",)
    assert found.needed_database().engine == "postgres"
    assert found.needed_database().port == 5432
    assert found.needed_database().name == "messages"
    assert "rds!db" in found.needed_database().master_secret
    assert (
        found.needed_database().application_secret
        == stack.outputs()["ApplicationSecretArn"]
    )
    assert found.virtual_address.address == stack.outputs()["VirtualAddress"]
    assert found.virtual_address.kind is AddressKind.ELASTIC_IP
    assert found.virtual_address.holder is None
    assert discover.said == []


def test_a_small_stack_is_read_in_five_calls(
    stack: Account, discover: Discovery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One more if it was changed lately: when that ended."""
    calls = [
        "autoscaling:DescribeAutoScalingGroups",
        "cloudformation:DescribeStacks",
        "ec2:DescribeAddresses",
        "ec2:DescribeInstances",
        "rds:DescribeDBInstances",
    ]
    discover()
    assert sorted(stack.aws.calls) == sorted(
        [*calls, "cloudformation:DescribeStackEvents"]
    )

    stack.aws.forget()
    monkeypatch.setattr("portway.aws.reading.LATELY", timedelta())
    discover()
    assert sorted(stack.aws.calls) == calls


def test_nodes_are_as_ec2_describes_them(stack: Account, discover: Discovery) -> None:
    described = {i["InstanceId"]: i for i in stack.instances("application")}

    for node in discover().with_role(Role.APPLICATION):
        instance = described[node.instance_id]
        assert node.address == instance["PrivateIpAddress"]
        assert node.zone == instance["Placement"]["AvailabilityZone"]
        assert node.subnet_id == instance["SubnetId"]
        interface = instance["NetworkInterfaces"][0]
        assert node.interface_id == interface["NetworkInterfaceId"]
        assert node.launched_at.utcoffset() is not None


def slots(stack: Account) -> dict[str, str]:
    """What the tags of the application nodes say, by instance id."""
    return {
        i["InstanceId"]: tag["Value"]
        for i in stack.instances("application")
        for tag in i["Tags"]
        if tag["Key"] == SLOT_TAG
    }


def names(found: Stack) -> dict[str, str]:
    return {n.instance_id: n.name for n in found.with_role(Role.APPLICATION)}


def test_names_are_remembered_in_aws_once_and_only_if_that_is_asked_for(
    stack: Account, discover: Discovery
) -> None:
    seen = names(discover())
    assert slots(stack) == {}
    assert "ec2:CreateTags" not in stack.aws.calls

    things: list[Unprepared] = []
    discover(leaves=things.append)
    assert {thing.instance_id: thing.node for thing in things} == seen

    assert names(discover(prepares=True)) == seen
    assert {f"app-{slot}" for slot in slots(stack).values()} == {"app-1", "app-2"}
    assert {i: f"app-{slot}" for i, slot in slots(stack).items()} == seen
    assert stack.aws.calls.count("ec2:CreateTags") == 2

    stack.aws.forget()
    assert names(discover(prepares=True)) == seen
    assert "ec2:CreateTags" not in stack.aws.calls
    things.clear()
    discover(leaves=things.append)
    assert things == []


def test_who_replaces_a_terminated_node_gets_its_name_and_no_other_changes(
    stack: Account, discover: Discovery
) -> None:
    before = names(discover(prepares=True))
    ended = next(i for i, name in before.items() if name == "app-1")
    stack.client("autoscaling").terminate_instance_in_auto_scaling_group(
        InstanceId=ended, ShouldDecrementDesiredCapacity=False
    )

    after = names(discover(prepares=True))

    (new,) = after.keys() - before.keys()
    assert ended not in after
    assert after == {i: n for i, n in before.items() if i != ended} | {new: "app-1"}


def test_a_node_that_is_yet_to_be_launched_has_a_name(
    stack: Account, discover: Discovery
) -> None:
    group = stack.outputs()["ApplicationGroupName"]
    stack.client("autoscaling").update_auto_scaling_group(
        AutoScalingGroupName=group, MaxSize=3
    )

    assert discover().names == ("app-1", "app-2", "app-3")


def test_a_name_that_aws_does_not_remember_is_made_of_the_instance_id(
    stack: Account, discover: Discovery
) -> None:
    stack.aws.refuse("ec2:CreateTags", "UnauthorizedOperation", "not you")

    read = discover(prepares=True)
    found = names(read)

    assert found == {i: f"app-{i}" for i in found}
    assert read.names == (), "no client waits for a node of another name"
    assert all(
        any(
            f"{i} would be app-{n} and is called app-{i}" in line
            and "OperatorPolicyArn" in line
            for line in discover.said
            for n in (1, 2)
        )
        for i in found
    ), discover.said


def test_a_name_that_is_unique_is_used_alone(
    stack: Account, discover: Discovery
) -> None:
    first, second = (i["InstanceId"] for i in stack.instances("application"))
    stack.tag(first, Name="app-1")

    found = names(discover())

    assert found == {first: "app-1", second: "app-2"}


def test_a_name_that_cannot_be_a_host_name_falls_back(
    stack: Account, discover: Discovery
) -> None:
    second = stack.load_balancer("lb-2")
    stack.tag(second, Name="load balancer #2")

    balancers = {n.name for n in discover().with_role(Role.LOAD_BALANCER)}

    assert balancers == {"lb-1", second}


def test_names_that_differ_in_case_only_get_their_ids(
    stack: Account, discover: Discovery
) -> None:
    stack.tag(stack.load_balancer("lb-2"), Name="LB-1")

    names = {node.name for node in discover().with_role(Role.LOAD_BALANCER)}

    assert all(name[:5] in ("lb-1-", "LB-1-") for name in names)


def test_more_instances_than_one_page_are_all_found(
    stack: Account, discover: Discovery
) -> None:
    stack.launch(105, portway_stack="messages", portway_role="application", Name="x")
    stack.aws.forget()

    assert len(discover().with_role(Role.APPLICATION)) == 107
    assert stack.aws.calls.count("ec2:DescribeInstances") == 2


def test_other_stacks_and_other_roles_are_left_out(
    stack: Account, discover: Discovery
) -> None:
    stack.launch(portway_stack="other", portway_role="load-balancer", Name="lb-1")
    stack.launch(portway_stack="messages", portway_role="bastion", Name="bastion")
    stack.launch(Name="lb-1")

    assert len(discover().nodes) == 4


def test_an_instance_that_the_group_is_ending_is_left_out(
    stack: Account, discover: Discovery
) -> None:
    ending = stack.instances("application")[0]["InstanceId"]
    stack.launch(portway_stack="messages", portway_role="application", Name="x")
    stack.aws.edit(
        "autoscaling:DescribeAutoScalingGroups",
        lambda text: text.replace("<DesiredCapacity>2<", "<DesiredCapacity>1<").replace(
            "InService", "Terminating:Wait", 1
        ),
    )

    left = discover().with_role(Role.APPLICATION)

    assert len(left) == 2
    first = stack.client("autoscaling").describe_auto_scaling_groups(
        AutoScalingGroupNames=[stack.outputs()["ApplicationGroupName"]]
    )
    states = {
        i["InstanceId"]: i["LifecycleState"]
        for i in first["AutoScalingGroups"][0]["Instances"]
    }
    assert "Terminating:Wait" not in {states.get(n.instance_id) for n in left}
    assert ending in states


def test_a_preferred_master_is_told(stack: Account, discover: Discovery) -> None:
    stack.tag(stack.load_balancer("lb-2"), portway_master="true")

    preferred = [n.name for n in discover().nodes if n.preferred_master]

    assert preferred == ["lb-2"]


def test_a_stack_can_be_saved_and_read_again(
    stack: Account, discover: Discovery
) -> None:
    found = discover()

    assert saved_and_read(found) == found


# --- Waiting -------------------------------------------------------------------------


def test_it_waits_while_the_stack_is_being_created(
    stack: Account, discover: Discovery
) -> None:
    in_progress = stack_status("CREATE_IN_PROGRESS")
    stack.aws.edit_once("cloudformation:DescribeStacks", in_progress, in_progress)

    assert len(discover().nodes) == 4
    assert len(discover.pauses) == 2
    assert discover.said == [
        "stack messages: waiting for CloudFormation (CREATE_IN_PROGRESS) "
        f"({waited} s so far, at most 1800 s)"
        for waited in (0, 10)
    ]


@pytest.mark.parametrize(
    "status",
    [
        "UPDATE_IN_PROGRESS",
        "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
        "UPDATE_ROLLBACK_IN_PROGRESS",
    ],
)
def test_it_waits_while_the_stack_is_being_updated(
    stack: Account, discover: Discovery, status: str
) -> None:
    stack.aws.edit_once("cloudformation:DescribeStacks", stack_status(status))

    discover()

    assert len(discover.said) == 1
    assert status in discover.said[0]


def test_it_waits_for_an_instance_that_is_pending(
    stack: Account, discover: Discovery
) -> None:
    first = stack.instances("load-balancer")[0]["InstanceId"]
    pending = "<code>0</code><name>pending</name>"
    running = "<code>16</code><name>running</name>"
    stack.aws.edit_once(
        "ec2:DescribeInstances", lambda text: text.replace(running, pending, 1)
    )

    discover()

    assert f"waiting for lb-1 ({first}) to run" in discover.said[0]


def test_it_waits_for_application_nodes_to_be_launched(
    stack: Account, discover: Discovery
) -> None:
    stack.aws.edit_once(
        "autoscaling:DescribeAutoScalingGroups",
        lambda text: text.replace("<DesiredCapacity>2<", "<DesiredCapacity>5<"),
    )

    discover()

    assert "waiting for 3 of 5 application nodes of messages-Appl" in discover.said[0]


def test_nodes_that_no_zone_has_room_for_cost_a_warning_and_no_half_hour(
    stack: Account, discover: Discovery
) -> None:
    stack.aws.edit(
        "autoscaling:DescribeAutoScalingGroups",
        lambda text: text.replace("<DesiredCapacity>2<", "<DesiredCapacity>3<"),
    )

    assert len(discover().with_role(Role.APPLICATION)) == 2

    assert sum(discover.pauses) == LAUNCH_SECONDS
    assert "going on without 1 of 3 application nodes of" in discover.said[-1]

    discover.pauses.clear()
    assert len(discover(wait_seconds=0).with_role(Role.APPLICATION)) == 2
    assert discover.pauses == [], "a look waits for nothing"


def test_database_is_not_asked_for_by_who_does_not_need_it(
    stack: Account, discover: Discovery
) -> None:
    stack.aws.edit("rds:DescribeDBInstances", database_status("storage-full"))
    stack.aws.calls.clear()

    found = discover(need=Need.NOTHING)

    assert found.database is None
    assert "rds:DescribeDBInstances" not in stack.aws.calls
    found = discover(need=Need.ENDPOINT)
    assert found.needed_database().address
    assert "is storage-full; going on" in discover.said[-1]


def test_stopped_load_balancer_is_a_node_until_it_is_started(
    stack: Account, discover: Discovery
) -> None:
    second = stack.load_balancer("lb-2")
    stack.client("ec2").stop_instances(InstanceIds=[second])

    found = discover()

    assert [n.name for n in found.nodes if n.is_stopped] == ["lb-2"]
    assert f"lb-2 ({second}) is stopped; start it: aws ec2 start" in discover.said[-1]


def test_stack_may_be_given_by_its_arn(stack: Account, discover: Discovery) -> None:
    formation = stack.client("cloudformation")
    arn = formation.describe_stacks(StackName="messages")["Stacks"][0]["StackId"]

    assert discover(name=arn) == discover()


def test_it_waits_for_the_endpoint_of_the_database(
    stack: Account, discover: Discovery
) -> None:
    stack.aws.edit_once(
        "rds:DescribeDBInstances", database_status("creating", endpoint=False)
    )

    assert discover().needed_database().address

    assert "waiting for an endpoint for database" in discover.said[0]
    assert "(creating)" in discover.said[0]


def test_waiting_ends_at_its_limit(stack: Account, discover: Discovery) -> None:
    stack.aws.edit("cloudformation:DescribeStacks", stack_status("CREATE_IN_PROGRESS"))

    with pytest.raises(PortwayError) as caught:
        discover(wait_seconds=25)

    assert sum(discover.pauses) == 25
    assert "stack messages: gave up after waiting 25 s for" in caught.value.message
    assert "CREATE_IN_PROGRESS" in caught.value.message
    assert "the events of the stack" in caught.value.message


def test_an_update_that_was_rolled_back_is_told_and_used(
    stack: Account, discover: Discovery
) -> None:
    rolled_back = stack_status("UPDATE_ROLLBACK_COMPLETE")
    stack.aws.edit("cloudformation:DescribeStacks", rolled_back)

    assert len(discover().nodes) == 4
    assert discover.said == [
        "stack messages: its last update failed and was rolled back; going on with "
        "what was there before"
    ]


def test_an_answer_of_throttling_is_asked_again(
    stack: Account, discover: Discovery, aws: AwsServer
) -> None:
    aws.refuse("ec2:DescribeAddresses", "RequestLimitExceeded", "slow down", 503)

    with pytest.raises(PortwayError, match="throttles ec2:DescribeAddresses"):
        discover()

    assert aws.calls.count("ec2:DescribeAddresses") == 4


@pytest.mark.parametrize("protected", [True, False])
def test_unprotected_database_is_told_from_a_protected_one(
    account: Account, discover: Discovery, protected: bool
) -> None:
    account.create(DatabaseDeletionProtection=str(protected).lower())

    assert discover().needed_database().is_protected is protected
    if protected:
        rds = account.client("rds")
        with pytest.raises(ClientError, match="protect"):
            rds.delete_db_instance(
                DBInstanceIdentifier=discover().needed_database().identifier,
                SkipFinalSnapshot=True,
            )


def test_calls_that_values_are_said_to_come_from_are_made(
    stack: Account, discover: Discovery
) -> None:
    discover()

    named = {call for text in SOURCES.values() for call in re.findall(r"\w+:\w+", text)}
    other_kinds = {"ec2:DescribeNetworkInterfaces", "ec2:DescribeRouteTables"}
    tags = {call for call in named if call.startswith("portway:")}
    assert named - other_kinds - tags <= set(stack.aws.calls)
