"""cloudformation/stack.yaml: what it opens, what it permits, and that it can change."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from portway.contract.address import AddressKind
from tests.integration.conftest import TEMPLATE, Account, Discovery, Resource, of_type

EVERYONE = "0.0.0.0/0"


def ingress(stack: Account, role: str) -> set[tuple[str, int, int, str]]:
    """What the security group of a role lets in: protocol, ports, from whom."""
    groups = stack.client("ec2").describe_security_groups()["SecurityGroups"]
    roles = {
        group["GroupId"]: tag["Value"]
        for group in groups
        for tag in group.get("Tags", [])
        if tag["Key"] == "portway:role"
    }
    return {
        (rule["IpProtocol"], rule["FromPort"], rule["ToPort"], source)
        for group in groups
        if roles.get(group["GroupId"]) == role
        for rule in group["IpPermissions"]
        for source in (
            *(given["CidrIp"] for given in rule["IpRanges"]),
            *(roles[given["GroupId"]] for given in rule["UserIdGroupPairs"]),
        )
    }


def test_template_is_not_larger_than_aws_takes(account: Account) -> None:
    """Without a bucket, also for ``aws cloudformation deploy``."""
    text = TEMPLATE.read_text()
    room = 51_200 - len(text.encode())
    with pytest.raises(ClientError, match="less than or equal to 51200"):
        account.create(template=text + "#" * (room + 1))
    account.create(template=text + "#" * room)


def test_cfn_lint_has_nothing_to_say() -> None:
    cfn_lint = Path(sys.executable).with_name("cfn-lint")
    done = subprocess.run(
        [cfn_lint, TEMPLATE], capture_output=True, text=True, check=False
    )

    assert (done.stdout, done.returncode) == ("", 0)


def test_every_parameter_and_output_is_described(template: Resource) -> None:
    for section in ("Parameters", "Outputs"):
        for name, entry in template[section].items():
            assert entry.get("Description"), name


def test_only_the_operators_network_has_no_default(template: Resource) -> None:
    required = [n for n, p in template["Parameters"].items() if "Default" not in p]

    assert required == ["OperatorCidr"]


def test_every_instance_requires_imds_v2_and_takes_any_tag(template: Resource) -> None:
    """With tags in IMDS, EC2 refuses to launch under a stack's tag with a space."""
    instances = list(of_type(template, "AWS::EC2::Instance").values())
    launched = of_type(template, "AWS::EC2::LaunchTemplate").values()
    instances += [properties["LaunchTemplateData"] for properties in launched]

    assert len(instances) == 4
    for properties in instances:
        options = properties["MetadataOptions"]
        assert options["HttpTokens"] == "required"
        assert "InstanceMetadataTags" not in options


def test_running_instances_require_imds_v2(stack: Account) -> None:
    for role in ("load-balancer", "application"):
        for instance in stack.instances(role):
            assert instance["MetadataOptions"]["HttpTokens"] == "required"


def test_disks_and_database_are_encrypted(template: Resource) -> None:
    instances = list(of_type(template, "AWS::EC2::Instance").values())
    launched = of_type(template, "AWS::EC2::LaunchTemplate").values()
    instances += [properties["LaunchTemplateData"] for properties in launched]

    for properties in instances:
        assert properties["BlockDeviceMappings"][0]["Ebs"]["Encrypted"] is True
    (database,) = of_type(template, "AWS::RDS::DBInstance").values()
    assert database["StorageEncrypted"] is True


def test_the_database_and_the_address_outlive_the_stack(template: Resource) -> None:
    database = template["Resources"]["Database"]
    address = template["Resources"]["ElasticIp"]

    assert database["DeletionPolicy"] == database["UpdateReplacePolicy"] == "Snapshot"
    assert address["DeletionPolicy"] == "RetainExceptOnCreate"
    assert address["UpdateReplacePolicy"] == "Retain"


def test_network_made_for_an_elastic_ip_has_a_way_to_the_ec2_api(
    stack: Account,
) -> None:
    (endpoint,) = stack.client("ec2").describe_vpc_endpoints()["VpcEndpoints"]
    vpc = stack.outputs()["VpcId"]

    assert endpoint["VpcId"] == vpc
    assert endpoint["ServiceName"].endswith(".ec2")
    assert endpoint["VpcEndpointType"] == "Interface"
    assert endpoint["PrivateDnsEnabled"] is True
    assert len(endpoint["SubnetIds"]) == 2
    (group,) = stack.client("ec2").describe_security_groups(
        GroupIds=[group["GroupId"] for group in endpoint["Groups"]]
    )["SecurityGroups"]
    (rule,) = group["IpPermissions"]
    assert (rule["FromPort"], rule["ToPort"]) == (443, 443)
    assert [given["CidrIp"] for given in rule["IpRanges"]] == ["10.60.0.0/16"]


@pytest.mark.parametrize("answer", ["yes", "no"])
def test_existing_network_gets_one_if_asked_for(account: Account, answer: str) -> None:
    ec2 = account.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.9.{n}.0/24")["Subnet"]["SubnetId"]
        for n in range(2)
    ]

    account.create(VpcId=vpc, SubnetIds=",".join(subnets), Ec2ApiEndpoint=answer)

    endpoints = ec2.describe_vpc_endpoints()["VpcEndpoints"]
    assert [(e["VpcId"], sorted(e["SubnetIds"])) for e in endpoints] == (
        [(vpc, sorted(subnets))] if answer == "yes" else []
    )


@pytest.mark.parametrize("kind", [AddressKind.PRIVATE, AddressKind.ROUTE])
def test_only_an_elastic_ip_needs_such_a_way(
    account: Account, kind: AddressKind
) -> None:
    account.create_with(kind)

    assert account.client("ec2").describe_vpc_endpoints()["VpcEndpoints"] == []


def test_no_password_stands_in_the_template(template: Resource) -> None:
    (database,) = of_type(template, "AWS::RDS::DBInstance").values()
    (secret,) = of_type(template, "AWS::SecretsManager::Secret").values()

    assert database["ManageMasterUserPassword"] is True
    assert "MasterUserPassword" not in database
    assert "SecretString" not in secret


@pytest.mark.parametrize(
    ("parameter", "right", "wrong"),
    [
        ("VirtualAddress", "10.255.0.1", "10.255.0.256"),
        ("VirtualAddress", "255.1.0.99", "10.255.0.1/32"),
        ("RouteTableIds", "rtb-0aaa", "rtb-0aaa, rtb-0bbb"),
        ("RouteTableIds", ",".join(["rtb-0a"] * 9), "rtb-0a,"),
        ("RouteTableIds", "", "subnet-0aaa"),
    ],
)
def test_text_that_cannot_be_right_is_refused(
    template: Resource, parameter: str, right: str, wrong: str
) -> None:
    pattern = template["Parameters"][parameter]["AllowedPattern"]

    assert re.fullmatch(pattern, right)
    assert not re.fullmatch(pattern, wrong)


def test_cloudformation_does_not_hold_the_address_in_place(template: Resource) -> None:
    assert not of_type(template, "AWS::EC2::EIPAssociation")
    (address,) = of_type(template, "AWS::EC2::EIP").values()
    assert "InstanceId" not in address
    for route in of_type(template, "AWS::EC2::Route").values():
        assert route["DestinationCidrBlock"] == EVERYONE


# --- Who may reach whom --------------------------------------------------------------


def test_load_balancers_let_in_clients_vrrp_and_the_operator(stack: Account) -> None:
    assert ingress(stack, "clients") == {("tcp", 9000, 10999, EVERYONE)}
    assert ingress(stack, "load-balancer") == {
        ("112", -1, -1, "load-balancer"),
        ("tcp", 22, 22, "10.60.0.0/16"),
        ("tcp", 8404, 8404, "10.60.0.0/16"),
    }


def test_application_nodes_let_in_load_balancers_and_the_operator(
    stack: Account,
) -> None:
    assert ingress(stack, "application") == {
        ("tcp", 9000, 10999, "load-balancer"),
        ("tcp", 8081, 8081, "load-balancer"),
        ("tcp", 22, 22, "10.60.0.0/16"),
    }


def test_a_way_in_without_a_vpn_is_one_more_for_ssh(account: Account) -> None:
    account.create()
    before = {role: ingress(account, role) for role in ("load-balancer", "application")}
    account.update(ConnectEndpoint="yes")

    for role, rules in before.items():
        assert ingress(account, role) - rules == {("tcp", 22, 22, "connect")}
    assert ingress(account, "connect") == set()


def test_the_database_lets_in_application_nodes_only(stack: Account) -> None:
    assert ingress(stack, "database") == {("tcp", 5432, 5432, "application")}


def test_the_database_port_follows_its_engine(account: Account) -> None:
    account.create(DatabaseEngine="mariadb")

    assert ingress(account, "database") == {("tcp", 3306, 3306, "application")}


def test_instances_are_in_the_security_group_of_their_role(stack: Account) -> None:
    groups = stack.client("ec2").describe_security_groups()["SecurityGroups"]
    roles = {
        group["GroupId"]: tag["Value"]
        for group in groups
        for tag in group.get("Tags", [])
        if tag["Key"] == "portway:role"
    }
    for role, expected in (
        ("load-balancer", {"load-balancer", "clients"}),
        ("application", {"application"}),
    ):
        for instance in stack.instances(role):
            found = {roles[g["GroupId"]] for g in instance["SecurityGroups"]}
            assert found == expected


@pytest.mark.parametrize("count", [1, 2, 5])
def test_each_client_network_gets_its_rule(account: Account, count: int) -> None:
    networks = [f"192.0.2.{n * 16}/28" for n in range(count)]
    account.create(ClientCidrs=",".join(networks))

    assert ingress(account, "clients") == {("tcp", 9000, 10999, n) for n in networks}


def test_client_networks_can_be_reordered_and_replaced(account: Account) -> None:
    account.create(ClientCidrs="192.0.2.0/28,192.0.2.16/28,192.0.2.32/28")
    wanted = ["192.0.2.32/28", "198.51.100.0/24", "192.0.2.0/28"]

    account.update(ClientCidrs=",".join(wanted))

    assert ingress(account, "clients") == {("tcp", 9000, 10999, n) for n in wanted}


def test_client_networks_are_no_resources_of_their_own(template: Resource) -> None:
    """They would be made before the old ones go, and refused as duplicates."""
    rules = of_type(template, "AWS::EC2::SecurityGroupIngress").values()

    assert "ClientCidrs" not in str(list(rules))


def test_a_prefix_list_takes_the_place_of_client_networks(template: Resource) -> None:
    group = of_type(template, "AWS::EC2::SecurityGroup")["ClientsSecurityGroup"]
    of_list, *of_networks = group["SecurityGroupIngress"]
    conditions = template["Conditions"]

    assert of_list["Fn::If"][0] == "HasPrefixList"
    assert "SourcePrefixListId" in of_list["Fn::If"][1]
    assert len(of_networks) == 5
    for rule in of_networks:
        condition = str(conditions[rule["Fn::If"][0]])
        assert "{'Fn::Not': [{'Condition': 'HasPrefixList'}]}" in condition


def test_the_world_may_reach_client_ports_only(template: Resource) -> None:
    rules = of_type(template, "AWS::EC2::SecurityGroupIngress")
    to_world = [
        n for n, p in template["Parameters"].items() if p.get("Default") == EVERYONE
    ]

    assert to_world == ["ClientCidrs"]
    # The endpoint in somebody's own VPC: it has private addresses only.
    assert [n for n, rule in rules.items() if EVERYONE in str(rule)] == ["CallsOfEc2"]
    groups = of_type(template, "AWS::EC2::SecurityGroup")
    inline = {n: g for n, g in groups.items() if "SecurityGroupIngress" in g}
    assert list(inline) == ["ClientsSecurityGroup"]
    for rule in inline["ClientsSecurityGroup"]["SecurityGroupIngress"]:
        opened = rule["Fn::If"][1]
        assert opened["FromPort"] == {"Ref": "ClientPortFrom"}
        assert opened["ToPort"] == {"Ref": "ClientPortTo"}


def test_client_ports_leave_ssh_to_the_operator(template: Resource) -> None:
    for name in ("ClientPortFrom", "ClientPortTo"):
        assert template["Parameters"][name]["MinValue"] == 23


def test_protocol_112_passes_between_load_balancers_only(template: Resource) -> None:
    rules = of_type(template, "AWS::EC2::SecurityGroupIngress").values()
    (vrrp,) = (rule for rule in rules if str(rule["IpProtocol"]) == "112")

    assert vrrp["GroupId"] == {"Ref": "LoadBalancerSecurityGroup"}
    assert vrrp["SourceSecurityGroupId"] == {"Ref": "LoadBalancerSecurityGroup"}
    assert {str(rule["IpProtocol"]) for rule in rules} == {"tcp", "112"}


# --- Changing the stack --------------------------------------------------------------


def test_more_application_nodes_are_added_to_those_that_run(
    stack: Account, discover: Discovery
) -> None:
    before = {node.instance_id for node in discover().nodes}

    stack.update(ApplicationNodes="3")

    after = {node.instance_id for node in discover().nodes}
    assert before < after
    assert len(after) == 5


def test_fewer_application_nodes_leave_the_oldest(
    stack: Account, discover: Discovery
) -> None:
    before = {node.instance_id for node in discover().nodes}
    stack.update(ApplicationNodes="3")

    stack.update(ApplicationNodes="2")

    assert {node.instance_id for node in discover().nodes} == before


DEBIAN = "resolve:ssm:/aws/service/debian/release/13/latest"


@pytest.mark.parametrize(
    ("instance_type", "processor"),
    [
        ("t3.small", "amd64"),
        ("m7i-flex.large", "amd64"),
        ("g4dn.xlarge", "amd64"),
        ("t4g.small", "arm64"),
        ("c7gn.medium", "arm64"),
        ("m6gd.medium", "arm64"),
        ("a1.medium", "arm64"),
    ],
)
def test_image_is_for_the_processor_of_the_instance_type(
    account: Account, instance_type: str, processor: str
) -> None:
    account.create(
        LoadBalancerInstanceType=instance_type, ApplicationInstanceType=instance_type
    )

    images = {i["ImageId"] for i in account.instances("load-balancer")}
    assert images == {f"{DEBIAN}/{processor}"}
    launched = account.client("ec2").describe_launch_template_versions(
        Versions=["$Latest"]
    )["LaunchTemplateVersions"]
    assert [template["LaunchTemplateData"]["ImageId"] for template in launched] == [
        f"{DEBIAN}/{processor}"
    ] * 2


def test_image_of_ones_own_is_taken_whatever_the_processor(account: Account) -> None:
    account.create(
        LoadBalancerInstanceType="t4g.small", ImageParameter="/images/hardened"
    )

    images = {i["ImageId"] for i in account.instances("load-balancer")}
    assert images == {"resolve:ssm:/images/hardened"}


@pytest.mark.parametrize(
    ("engine", "version", "family"),
    [
        ("mysql", "8.4", "mysql8.4"),
        ("mariadb", "11.8.3", "mariadb11.8"),
        ("postgres", "17.6", None),
        ("mysql", "", None),
    ],
)
def test_vendor_may_make_triggers_on_mysql_and_mariadb(
    account: Account, engine: str, version: str, family: str | None
) -> None:
    account.create(DatabaseEngine=engine, DatabaseEngineVersion=version)

    rds = account.client("rds")
    made = rds.describe_db_parameter_groups()["DBParameterGroups"]
    (database,) = rds.describe_db_instances()["DBInstances"]
    used = {g["DBParameterGroupName"] for g in database["DBParameterGroups"]}
    assert [
        g["DBParameterGroupFamily"] for g in made if g["DBParameterGroupName"] in used
    ] == ([family] if family else [])


def test_failed_creation_can_delete_the_database(template: Resource) -> None:
    """RDS refuses to delete a protected one, and the rollback would fail."""
    protection = template["Parameters"]["DatabaseDeletionProtection"]

    assert protection["Default"] == "false"


def test_a_newer_image_replaces_nothing(stack: Account, discover: Discovery) -> None:
    for instance in stack.instances("load-balancer"):
        assert instance["ImageId"].startswith("resolve:ssm:")


def test_both_load_balancers_can_stand_in_one_subnet(
    account: Account, discover: Discovery
) -> None:
    account.create(LoadBalancerSubnets="one")

    subnets = {i["SubnetId"] for i in account.instances("load-balancer")}

    assert len(subnets) == 1


def test_an_existing_network_is_used_when_given(
    account: Account, discover: Discovery
) -> None:
    ec2 = account.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(
            VpcId=vpc,
            CidrBlock=f"10.9.{n}.0/24",
            AvailabilityZone=f"eu-central-1{zone}",
        )["Subnet"]["SubnetId"]
        for n, zone in enumerate("ab")
    ]
    networks = len(ec2.describe_vpcs()["Vpcs"])

    account.create(VpcId=vpc, SubnetIds=",".join(subnets))

    assert {node.subnet_id for node in discover().nodes} == set(subnets)
    assert account.outputs()["VpcId"] == vpc
    assert len(ec2.describe_vpcs()["Vpcs"]) == networks
