"""A stack created from the project's own template, in moto, for every test anew."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import botocore.loaders
import pytest
import requests
from cfnlint.decode import cfn_yaml

from lab.aws.corrections import correct
from portway.aws.reading import read_stack
from portway.contract.address import AddressKind
from portway.model.stack import Stack
from tests.integration.artifacts import artifacts
from tests.integration.aws_server import AwsServer

__all__ = ["artifacts"]

Resource = dict[str, Any]

REGION = "eu-central-1"
STACK = "messages"
TEMPLATE = Path(__file__).parents[2] / "cloudformation" / "stack.yaml"


OVERLAY = "10.255.0.1"
PRIVATE = "10.60.0.250"
FREE = "10.60.0.200"
"""Another address of the first subnet; moto would draw one by lot, and maybe that."""

ADDRESSES: dict[AddressKind, dict[str, str]] = {
    AddressKind.ELASTIC_IP: {},
    AddressKind.PRIVATE: {"VirtualAddress": PRIVATE, "LoadBalancerSubnets": "one"},
    AddressKind.ROUTE: {"VirtualAddress": OVERLAY},
}
"""Parameters that each kind of address needs."""


@pytest.fixture(scope="session", autouse=True)
def models_read_once() -> Iterator[None]:
    """Let all sessions of boto3 share what they read of its models.

    Each reads them for itself otherwise, which takes longer than most of these tests.
    """
    with pytest.MonkeyPatch.context() as patch:
        loader = botocore.loaders.create_loader(None)
        patch.setattr("botocore.session.create_loader", lambda _: loader)
        yield


@pytest.fixture(scope="session")
def server() -> Iterator[AwsServer]:
    correct(REGION, hosts=False)
    running = AwsServer()
    yield running
    running.stop()


@pytest.fixture
def aws(server: AwsServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[AwsServer]:
    """An empty account, which boto3 in this process talks to."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "AWS_ENDPOINT_URL": server.url,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    server.forget()
    requests.post(f"{server.url}/moto-api/reset", timeout=60).raise_for_status()
    server.forget()
    yield server
    server.forget()


@functools.cache
def _client(url: str, service: str) -> Any:
    """One for all tests: it takes longer to make than most calls."""
    return boto3.client(service, REGION, endpoint_url=url)


@dataclass(frozen=True)
class Account:
    """The account that the stack stands in, and ways to change it."""

    aws: AwsServer

    def client(self, service: str) -> Any:
        return _client(self.aws.url, service)

    def create(self, *, template: str = "", **parameters: str) -> None:
        """Create the stack, from another text of the template if one is given."""
        self.client("cloudformation").create_stack(
            StackName=STACK,
            TemplateBody=template or TEMPLATE.read_text(),
            Capabilities=["CAPABILITY_IAM"],
            Parameters=_parameters(parameters),
        )
        self.aws.forget()

    def create_with(
        self, kind: AddressKind, *, template: str = "", **parameters: str
    ) -> None:
        """Create the stack with an address of this kind."""
        given = {"AddressKind": kind, **ADDRESSES[kind], **parameters}
        self.create(template=template, **given)

    def update(self, **parameters: str) -> None:
        self.client("cloudformation").update_stack(
            StackName=STACK,
            TemplateBody=TEMPLATE.read_text(),
            Capabilities=["CAPABILITY_IAM"],
            Parameters=_parameters(parameters),
        )
        self.aws.forget()

    def resource(self, name: str) -> str:
        """The id of what the stack has under this name."""
        found = self.client("cloudformation").list_stack_resources(StackName=STACK)
        return next(
            str(one["PhysicalResourceId"])
            for one in found["StackResourceSummaries"]
            if one["LogicalResourceId"] == name
        )

    def outputs(self) -> dict[str, str]:
        client = self.client("cloudformation")
        stack = client.describe_stacks(StackName=STACK)["Stacks"][0]
        return {o["OutputKey"]: o["OutputValue"] for o in stack["Outputs"]}

    def instances(self, role: str) -> list[dict[str, Any]]:
        """The running instances of a role, by Name and id."""
        answer = self.client("ec2").describe_instances(
            Filters=[
                {"Name": "tag:portway:role", "Values": [role]},
                {"Name": "instance-state-name", "Values": ["running"]},
            ]
        )
        found = [i for r in answer["Reservations"] for i in r["Instances"]]
        return sorted(found, key=lambda i: (_name(i), i["InstanceId"]))

    def load_balancer(self, name: str) -> str:
        """The instance id of the load balancer with this Name tag."""
        found = self.instances("load-balancer")
        return str(next(i["InstanceId"] for i in found if _name(i) == name))

    def interface(self, name: str) -> str:
        """The network interface of the load balancer with this Name tag."""
        found = self.instances("load-balancer")
        instance = next(i for i in found if _name(i) == name)
        return str(instance["NetworkInterfaces"][0]["NetworkInterfaceId"])

    def address_objects(self) -> list[str]:
        return self.outputs()["AddressObjects"].split(",")

    def tag(self, instance_id: str, **tags: str) -> None:
        self.client("ec2").create_tags(
            Resources=[instance_id],
            Tags=[
                {"Key": key.replace("_", ":"), "Value": value}
                for key, value in tags.items()
            ],
        )

    def launch_no_other(self) -> None:
        """Have groups launch nothing for now, as in a zone without capacity."""
        group = self.client("autoscaling")
        for found in group.describe_auto_scaling_groups()["AutoScalingGroups"]:
            name = found["AutoScalingGroupName"]
            ids = [member["InstanceId"] for member in found["Instances"]]
            group.update_auto_scaling_group(AutoScalingGroupName=name, MinSize=0)
            if "ApplicationGroup" not in name:
                group.detach_instances(
                    InstanceIds=ids,
                    AutoScalingGroupName=name,
                    ShouldDecrementDesiredCapacity=True,
                )

    def launch(self, count: int = 1, **tags: str) -> list[str]:
        """Start instances outside of the stack, each a reservation of its own."""
        like = self.instances("load-balancer")[0]
        return [
            self.client("ec2").run_instances(
                ImageId="ami-12345678",
                MinCount=1,
                MaxCount=1,
                SubnetId=like["SubnetId"],
                TagSpecifications=[
                    {
                        "ResourceType": "instance",
                        "Tags": [
                            {"Key": key.replace("_", ":"), "Value": value}
                            for key, value in tags.items()
                        ],
                    }
                ],
            )["Instances"][0]["InstanceId"]
            for _ in range(count)
        ]


@dataclass
class Discovery:
    """Runs ``read_stack`` without real pauses and keeps what it said meanwhile."""

    said: list[str]
    pauses: list[float]

    def __call__(self, name: str = STACK, **arguments: Any) -> Stack:
        return read_stack(
            name,
            arguments.pop("region", REGION),
            progress=self.said.append,
            sleep=self.pauses.append,
            **arguments,
        )


@pytest.fixture(scope="session")
def template() -> Resource:
    loaded: Resource = cfn_yaml.load(str(TEMPLATE))
    return loaded


def of_type(template: Resource, kind: str) -> dict[str, Resource]:
    """The properties of the template's resources of a type, by name."""
    return {
        name: resource["Properties"]
        for name, resource in template["Resources"].items()
        if resource["Type"] == kind
    }


@pytest.fixture
def account(aws: AwsServer) -> Account:
    return Account(aws)


@pytest.fixture
def stack(account: Account) -> Account:
    """The account, with the stack created."""
    account.create()
    return account


@pytest.fixture
def discover() -> Discovery:
    return Discovery([], [])


@pytest.fixture
def long_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rights were granted long ago: those that are there are in force."""
    monkeypatch.setattr("portway.aws.reading.GRANT_SECONDS", 0.0)


def _name(instance: dict[str, Any]) -> str:
    return next((t["Value"] for t in instance["Tags"] if t["Key"] == "Name"), "")


def _parameters(given: dict[str, str]) -> list[dict[str, str]]:
    values = {
        "OperatorCidr": "10.60.0.0/16",
        "ZoneA": f"{REGION}a",
        "ZoneB": f"{REGION}b",
    } | given
    return [
        {"ParameterKey": key, "ParameterValue": value} for key, value in values.items()
    ]
