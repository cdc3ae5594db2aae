"""cloudformation/agent.yaml: what nodes may do that deploy to themselves."""

import time
from functools import partial
from typing import Any

import pytest

from lab.aws.calls import Request
from lab.aws.permissions import is_permitted
from lab.plan import facts
from portway.aws.agent_stack import agent_parameters
from portway.aws.lifecycle import HOOK, may_be_terminated
from portway.aws.names import SLOT_TAG
from portway.aws.progress import progress_reader, tell
from portway.aws.releases import release_bucket
from portway.aws.role_drift import AGENT, changed_rights
from portway.aws.stack_drift import KEPT
from portway.contract.address import AddressKind
from portway.errors import PortwayError
from portway.model.progress import TAG, Progress, Step
from portway.model.published import parameter_name
from portway.model.stack import Role
from tests.integration.aws.test_role_drift import put
from tests.integration.cloudformation.test_permissions import actions, shortcomings
from tests.integration.conftest import REGION, STACK, Account, Discovery

POLICY = "deploy-to-itself"
ARTIFACTORY = "portway/artifactory"
SERVES = Progress(Step.SERVES, "0123456789abcdef")


@pytest.fixture(autouse=True)
def _judged_where_the_stack_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "REGION", REGION)


@pytest.fixture
def agent(account: Account) -> Account:
    """An account with the stack and the agent's."""
    account.create()
    create_agent(account, ARTIFACTORY)
    return account


def create_agent(account: Account, secret: str = "") -> None:
    """Create the agent's stack, as its documentation says."""
    given = agent_parameters(REGION, STACK, secret)
    account.client("cloudformation").create_stack(
        StackName=f"{STACK}-agent",
        TemplateBody=AGENT.read_text(),
        Capabilities=["CAPABILITY_IAM"],
        Parameters=[
            {"ParameterKey": key, "ParameterValue": value}
            for key, value in given.items()
        ],
    )
    account.aws.forget()


def statements(
    account: Account, role: str = "LoadBalancerRole"
) -> dict[str, dict[str, Any]]:
    """The statements of a role's policy, by ``Sid``."""
    found = account.client("iam").get_role_policy(
        RoleName=account.resource(role), PolicyName=POLICY
    )
    return {one["Sid"]: one for one in found["PolicyDocument"]["Statement"]}


def may(account: Account, caller: str, service: str, action: str, **given: str) -> bool:
    """Whether a load balancer may make a call."""
    (address,) = (
        i["PrivateIpAddress"]
        for i in account.instances("load-balancer")
        if i["InstanceId"] == account.load_balancer(caller)
    )
    return is_permitted(Request(address, service, action, "ec2", given))


def app_may(account: Account, service: str, action: str, **given: str) -> bool:
    """Whether an application node may make a call."""
    address = account.instances("application")[0]["PrivateIpAddress"]
    return is_permitted(Request(address, service, action, "ec2", given))


def may_tag(account: Account, caller: str, instance: str, key: str = TAG) -> bool:
    given = {"ResourceId.1": instance, "Tag.1.Key": key}
    return may(account, caller, "ec2", "CreateTags", **given)


@pytest.mark.parametrize("role", ["LoadBalancerRole", "ApplicationRole"])
def test_every_statement_is_one_that_aws_knows(agent: Account, role: str) -> None:
    for sid, statement in statements(agent, role).items():
        found = shortcomings(statement)
        # IAM's own keys go with every action.
        assert [text for text in found if "has no aws:userid" not in text] == [], sid
        assert all("*" not in action for action in statement["Action"])


def test_only_descriptions_that_aws_cannot_limit_are_for_all_resources(
    agent: Account,
) -> None:
    everything = {"autoscaling:DescribeAutoScalingGroups", "ec2:DescribeInstances"}
    for role, more in (
        ("LoadBalancerRole", set()),  # the stack itself lets it see its address
        (
            "ApplicationRole",
            {"autoscaling:DescribeAutoScalingInstances", "ec2:DescribeAddresses"},
        ),
    ):
        given = statements(agent, role).values()
        found = [s for s in given if s["Resource"] == "*"]
        assert actions(found) == everything | more


def test_application_nodes_read_what_is_for_the_application_and_no_other_secret(
    agent: Account,
) -> None:
    secrets = agent.client("secretsmanager")
    secrets.create_secret(Name=ARTIFACTORY, SecretString="{}")
    secrets.create_secret(Name=f"{ARTIFACTORY}-of-others", SecretString="{}")
    own = agent.resource("ApplicationSecret")
    read = partial(app_may, agent, "secretsmanager", "GetSecretValue")
    (database,) = agent.client("rds").describe_db_instances()["DBInstances"]

    assert read(SecretId=own)
    assert read(SecretId=ARTIFACTORY)
    assert not read(SecretId=f"{ARTIFACTORY}-of-others")
    assert not read(SecretId=database["MasterUserSecret"]["SecretArn"])
    assert not app_may(agent, "secretsmanager", "PutSecretValue", SecretId=own)
    assert not may(agent, "lb-1", "secretsmanager", "GetSecretValue", SecretId=own)


def test_application_nodes_take_turns_and_write_no_release(agent: Account) -> None:
    bucket = release_bucket(REGION, STACK)
    agent.client("s3").put_object(Bucket=bucket, Key="one.tar", Body=b"")

    assert app_may(agent, "s3", "GetObject", Bucket=bucket, Key="one.tar")
    assert app_may(agent, "s3", "PutObject", Bucket=bucket, Key="turns/1")
    assert not app_may(agent, "s3", "PutObject", Bucket=bucket, Key="one.tar")
    assert not app_may(agent, "s3", "DeleteObject", Bucket=bucket, Key="turns/1")
    assert not may(agent, "lb-1", "s3", "PutObject", Bucket=bucket, Key="turns/1")


def test_application_nodes_let_go_of_their_own_group_only(agent: Account) -> None:
    complete = partial(app_may, agent, "autoscaling", "CompleteLifecycleAction")
    assert complete(AutoScalingGroupName=agent.resource("ApplicationGroup"))
    assert not complete(AutoScalingGroupName=agent.resource("LoadBalancerGroup1"))


def test_group_waits_for_nobody_once_the_stack_is_deleted(agent: Account) -> None:
    scaling = agent.client("autoscaling")
    name = agent.resource("ApplicationGroup")

    def hooks() -> list[str]:
        found = scaling.describe_lifecycle_hooks(AutoScalingGroupName=name)
        return [hook["LifecycleHookName"] for hook in found["LifecycleHooks"]]

    assert hooks() == [HOOK]
    agent.client("cloudformation").delete_stack(StackName=f"{STACK}-agent")
    assert hooks() == []


def test_group_waits_for_a_node_before_it_terminates_it(agent: Account) -> None:
    """But not for what EC2 is told to terminate."""
    scaling, ec2 = agent.client("autoscaling"), agent.client("ec2")
    name = agent.resource("ApplicationGroup")

    def states() -> dict[str, str]:
        (group,) = scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])[
            "AutoScalingGroups"
        ]
        return {i["InstanceId"]: i["LifecycleState"] for i in group["Instances"]}

    first, second = states()
    assert not may_be_terminated(REGION, first)
    scaling.update_auto_scaling_group(
        AutoScalingGroupName=name, MinSize=1, DesiredCapacity=1
    )
    waits, stays = sorted(states(), key=lambda id_: states()[id_], reverse=True)
    assert states() == {waits: "Terminating:Wait", stays: "InService"}
    assert {waits, stays} == {first, second}
    assert may_be_terminated(REGION, waits)
    assert states() == {waits: "Terminating:Proceed", stays: "InService"}
    assert not may_be_terminated(REGION, waits), "it is over"
    until = time.monotonic() + 10
    while waits in states():
        assert time.monotonic() < until
        time.sleep(0.1)

    ec2.terminate_instances(InstanceIds=[stays])
    (other,) = states()
    assert other != stays


def test_application_nodes_tell_nothing_in_tags_but_their_numbers(
    agent: Account,
) -> None:
    (application, *_) = agent.instances("application")
    for instance, key, allowed in (
        (application["InstanceId"], SLOT_TAG, True),
        (application["InstanceId"], TAG, False),
        (application["InstanceId"], "portway:role", False),
        (agent.load_balancer("lb-1"), TAG, False),
    ):
        given = {"ResourceId.1": instance, "Tag.1.Key": key}
        assert app_may(agent, "ec2", "CreateTags", **given) is allowed


def test_application_nodes_ask_each_other_for_their_health(
    agent: Account, discover: Discovery
) -> None:
    """It is no drift: the rule says that it is there on purpose."""
    group = agent.resource("ApplicationSecurityGroup")
    rules = agent.client("ec2").describe_security_group_rules(
        Filters=[{"Name": "group-id", "Values": [group]}]
    )["SecurityGroupRules"]
    (rule,) = (
        r
        for r in rules
        if r.get("ReferencedGroupInfo", {}).get("GroupId") == group
        and not r["IsEgress"]
    )
    port = discover().ports.health
    assert (rule["FromPort"], rule["ToPort"]) == (port, port)
    assert rule["Description"].startswith(KEPT)


def test_a_stack_of_somebody_elses_has_no_parameters(account: Account) -> None:
    with pytest.raises(PortwayError, match="there is no such stack"):
        agent_parameters(REGION, STACK, "")
    account.client("cloudformation").create_stack(
        StackName=STACK,
        TemplateBody="Resources: {Queue: {Type: 'AWS::SQS::Queue'}}",
    )
    with pytest.raises(PortwayError, match="nothing says its LoadBalancerRole, "):
        agent_parameters(REGION, STACK, "")


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("", ""),
        (ARTIFACTORY, ARTIFACTORY),
        (
            f"arn:aws:secretsmanager:eu-central-1:1:secret:{ARTIFACTORY}-Ab1234",
            ARTIFACTORY,
        ),
    ],
)
def test_secret_is_called_by_its_name(agent: Account, given: str, name: str) -> None:
    assert agent_parameters(REGION, STACK, given)["ArtifactorySecret"] == name


def test_a_load_balancer_tells_the_other_in_a_tag_of_its_own_instance_only(
    agent: Account,
) -> None:
    own, other = agent.load_balancer("lb-1"), agent.load_balancer("lb-2")
    (application, *_) = agent.instances("application")

    assert may_tag(agent, "lb-1", own)
    assert may_tag(agent, "lb-2", other)
    assert not may_tag(agent, "lb-1", other)
    assert not may_tag(agent, "lb-1", application["InstanceId"])
    assert not may_tag(agent, "lb-1", own, "portway:master")
    assert not may_tag(agent, "lb-1", own, "portway:stack")


def test_a_load_balancer_keeps_names_of_application_nodes_and_of_no_other(
    agent: Account,
) -> None:
    (application, *_) = agent.instances("application")
    own, slot = agent.load_balancer("lb-1"), SLOT_TAG

    assert may_tag(agent, "lb-1", application["InstanceId"], slot)
    assert not may_tag(agent, "lb-1", own, slot)
    assert not may_tag(agent, "lb-1", application["InstanceId"], "portway:role")


@pytest.mark.parametrize("kind", AddressKind)
def test_only_where_routes_point_to_them_do_they_let_all_packets_in(
    account: Account, kind: AddressKind
) -> None:
    account.create_with(kind)
    create_agent(account)
    given = {
        "NetworkInterfaceId": account.interface("lb-1"),
        "SourceDestCheck.Value": "false",
    }
    call = "ModifyNetworkInterfaceAttribute"
    is_route = kind is AddressKind.ROUTE

    assert may(account, "lb-1", "ec2", call, **given) is is_route
    wrong = given | {"SourceDestCheck.Value": "true"}
    assert not may(account, "lb-1", "ec2", call, **wrong)


def test_it_reads_its_own_stack_only(agent: Account) -> None:
    for action in ("DescribeStacks", "DescribeStackEvents"):
        assert may(agent, "lb-1", "cloudformation", action, StackName=STACK)
        other = f"{STACK}-agent"
        assert not may(agent, "lb-1", "cloudformation", action, StackName=other)


def test_a_load_balancer_fetches_releases_and_changes_none(agent: Account) -> None:
    bucket = release_bucket(REGION, STACK)
    agent.client("s3").put_object(Bucket=bucket, Key="one.tar", Body=b"")
    agent.client("s3").create_bucket(
        Bucket="other", CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    agent.client("s3").put_object(Bucket="other", Key="one.tar", Body=b"")
    parameter = parameter_name(STACK)

    assert may(agent, "lb-1", "s3", "GetObject", Bucket=bucket, Key="one.tar")
    assert may(agent, "lb-1", "ssm", "GetParameter", Name=parameter)
    assert not may(agent, "lb-1", "s3", "GetObject", Bucket=bucket, Key="none.tar")
    assert not may(agent, "lb-1", "s3", "GetObject", Bucket="other", Key="one.tar")
    assert not may(agent, "lb-1", "s3", "PutObject", Bucket=bucket, Key="one.tar")
    assert not may(agent, "lb-1", "ssm", "PutParameter", Name=parameter)
    other = parameter_name("other")
    assert not may(agent, "lb-1", "ssm", "GetParameter", Name=other)


def test_publishers_may_do_what_publishing_takes_and_no_more(agent: Account) -> None:
    cloud, iam = agent.client("cloudformation"), agent.client("iam")
    (stack,) = cloud.describe_stacks(StackName=f"{STACK}-agent")["Stacks"]
    outputs = {o["OutputKey"]: o["OutputValue"] for o in stack["Outputs"]}
    arn = outputs["PublisherPolicyArn"]
    version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    found = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]
    of_publishers = found["Document"]["Statement"]

    assert [text for s in of_publishers for text in shortcomings(s)] == []
    assert actions(of_publishers) == {
        "cloudformation:DescribeStacks",
        "s3:GetObject",
        "s3:PutObject",
        "ssm:GetParameter",
        "ssm:PutParameter",
    }
    assert all("*" not in s["Resource"].removesuffix("/*") for s in of_publishers)


def test_without_it_load_balancers_may_do_none_of_this(account: Account) -> None:
    account.create()
    own = account.load_balancer("lb-1")

    assert not may_tag(account, "lb-1", own)
    assert not may(account, "lb-1", "ec2", "DescribeInstances")


def test_what_is_told_is_read(agent: Account, discover: Discovery) -> None:
    stack = discover()
    first, second = stack.with_role(Role.LOAD_BALANCER)
    read = progress_reader(stack)
    assert read() == {first.name: None, second.name: None}

    tell(stack, second, SERVES)
    told = read()[second.name]
    assert told is not None
    assert told.progress == SERVES
    assert abs(told.at - time.time()) < 60
    assert read()[first.name] is None

    agent.client("ec2").terminate_instances(InstanceIds=[second.instance_id])
    assert read() == {first.name: None}


def test_its_policy_is_no_drift_until_somebody_changes_it(
    agent: Account, discover: Discovery
) -> None:
    assert changed_rights(discover()) == ()

    wider = statements(agent)["ReadTheStack"] | {"Resource": "*"}
    put(agent, POLICY, wider, to="LoadBalancerRole")
    found = {change.what for change in changed_rights(discover())}
    assert f"policy {POLICY}: statement ReadTheStack was changed" in found
    assert f"policy {POLICY}: statement TellTheOtherNode was removed" in found


def test_nor_are_those_of_routes(account: Account, discover: Discovery) -> None:
    account.create_with(AddressKind.ROUTE)
    create_agent(account)
    assert changed_rights(discover()) == ()


def test_the_same_rights_on_the_other_role_are_a_drift(
    agent: Account, discover: Discovery
) -> None:
    put(agent, POLICY, *statements(agent).values(), to="ApplicationRole")
    found = {change.what for change in changed_rights(discover())}
    assert f"policy {POLICY}: statement TellTheOtherNode was added" in found
    assert f"policy {POLICY}: statement TakeTurns was removed" in found
