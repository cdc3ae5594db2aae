"""Discovery's pure part: names, what is awaited and what cannot be waited for."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portway.aws_errors import one_line
from portway.discovery import Answers, NotReady, Outputs, assemble, read_outputs
from portway.errors import PortwayError
from portway.instances import name_nodes
from portway.stack import Ports, Role

LAUNCH = datetime(2026, 1, 1, tzinfo=UTC)
OUTPUTS = Outputs("eipalloc-1", "db", "arn:a", "group", Ports(9000, 10999, 8081, 8404))
VALUES = {
    "ElasticIpAllocationId": "eipalloc-1",
    "DatabaseIdentifier": "db",
    "ApplicationSecretArn": "arn:a",
    "ApplicationGroupName": "group",
    "ClientPortFrom": "9000",
    "ClientPortTo": "10999",
    "HealthPort": "8081",
    "StatsPort": "8404",
}


def instance(number: int, role: Role, name: str, **changes: Any) -> dict[str, Any]:
    tags = {"Name": name, "portway:stack": "messages", "portway:role": role.value}
    attachment = {"DeviceIndex": 0, "AttachTime": LAUNCH + timedelta(seconds=number)}
    plain = {
        "InstanceId": f"i-{number:017x}",
        "State": {"Name": "running"},
        "PrivateIpAddress": f"10.60.0.{number}",
        "Placement": {"AvailabilityZone": "eu-central-1a"},
        "SubnetId": "subnet-1",
        "NetworkInterfaces": [
            {"NetworkInterfaceId": f"eni-{number}", "Attachment": attachment}
        ],
        "LaunchTime": LAUNCH + timedelta(seconds=number),
        "Tags": [{"Key": key, "Value": value} for key, value in tags.items() if value],
    }
    return plain | changes


def answers(**changes: Any) -> Answers:
    plain: dict[str, Any] = {
        "instances": [
            instance(1, Role.LOAD_BALANCER, "lb-1"),
            instance(2, Role.LOAD_BALANCER, "lb-2"),
            instance(3, Role.APPLICATION, "app"),
        ],
        "groups": [
            {
                "AutoScalingGroupName": "group",
                "DesiredCapacity": 1,
                "Instances": [
                    {"InstanceId": f"i-{3:017x}", "LifecycleState": "InService"}
                ],
            }
        ],
        "databases": [
            {
                "DBInstanceStatus": "available",
                "Engine": "postgres",
                "DBName": "messages",
                "Endpoint": {"Address": "db.test", "Port": 5432},
                "MasterUserSecret": {"SecretArn": "arn:m"},
            }
        ],
        "addresses": [{"PublicIp": "192.0.2.1"}],
    }
    return Answers(**plain | changes)


@given(
    st.lists(
        st.text(alphabet="aBb-.1", min_size=1, max_size=20).filter(
            lambda name: name[0].isalnum() and name[-1].isalnum()
        )
        | st.just(""),
        min_size=1,
        max_size=8,
    )
)
def test_nodes_get_distinct_names_that_are_host_names(names: list[str]) -> None:
    instances = [
        instance(number, Role.APPLICATION, name) for number, name in enumerate(names, 1)
    ]

    given_names = [node.name for node in name_nodes("messages", instances)]

    assert len({name.casefold() for name in given_names}) == len(names)
    for name in given_names:
        assert re.fullmatch(r"[A-Za-z0-9.-]{1,63}", name)


def test_an_instance_without_a_name_is_known_by_its_id() -> None:
    (node,) = name_nodes("messages", [instance(7, Role.APPLICATION, "")])

    assert node.name == node.instance_id


def test_a_restart_does_not_make_a_node_younger() -> None:
    restarted = LAUNCH + timedelta(days=30)
    first, second = (
        instance(1, Role.LOAD_BALANCER, "lb-1", LaunchTime=restarted),
        instance(2, Role.LOAD_BALANCER, "lb-2"),
    )

    nodes = {node.name: node for node in name_nodes("messages", [first, second])}

    assert nodes["lb-1"].launched_at < nodes["lb-2"].launched_at


def test_a_holder_that_is_only_an_interface_is_told() -> None:
    held = [{"PublicIp": "192.0.2.1", "NetworkInterfaceId": "eni-9"}]

    found = assemble("messages", "eu-central-1", OUTPUTS, answers(addresses=held))

    assert found.elastic_ip.holder == "eni-9"


def test_everything_that_is_awaited_is_told_at_once() -> None:
    creating = [{"DBInstanceStatus": "creating", "Engine": "postgres"}]
    group = {"AutoScalingGroupName": "group", "DesiredCapacity": 2, "Instances": []}

    with pytest.raises(NotReady) as caught:
        assemble(
            "messages",
            "eu-central-1",
            OUTPUTS,
            answers(databases=creating, groups=[group]),
        )

    assert "2 of 2 application nodes of group" in str(caught.value)
    assert "an endpoint for database db (creating)" in str(caught.value)


def test_what_waiting_cannot_mend_is_told_while_other_things_are_awaited() -> None:
    creating = [{"DBInstanceStatus": "creating", "Engine": "postgres"}]
    lone = answers().instances[:1]

    with pytest.raises(PortwayError, match="only lb-1"):
        assemble(
            "messages",
            "eu-central-1",
            OUTPUTS,
            answers(databases=creating, instances=lone),
        )


def test_outputs_that_are_missing_are_all_named() -> None:
    with pytest.raises(PortwayError, match="DatabaseIdentifier and StatsPort missing"):
        read_outputs(
            {
                "StackName": "messages",
                "Outputs": [
                    {"OutputKey": key, "OutputValue": value}
                    for key, value in VALUES.items()
                    if key not in ("DatabaseIdentifier", "StatsPort")
                ],
            }
        )


def test_an_output_that_is_no_port_is_named() -> None:
    values = VALUES | {"HealthPort": "http"}
    outputs = [{"OutputKey": k, "OutputValue": v} for k, v in values.items()]

    with pytest.raises(PortwayError, match="HealthPort not a port number"):
        read_outputs({"StackName": "messages", "Outputs": outputs})


def test_what_aws_says_is_put_on_one_line_without_its_appendix() -> None:
    said = "You are\nnot authorized. Encoded authorization failure message: x9"

    assert one_line(said) == "You are not authorized."
