"""The stack in the lab's AWS: created, updated, and read for the hosts to build.

Asks AWS as anyone would, with boto3, from the operator's namespace.
"""

import contextlib
import ipaddress
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from lab.aws import address as addresses
from lab.aws import groups, present
from lab.aws.address import Address
from lab.errors import LabError
from lab.plan import facts
from lab.plan.project import AGENT_TEMPLATE, TEMPLATE
from lab.plan.records import DATABASE_ROLE, Host

DEFAULT_ENGINE = "postgres"

_KEPT = {
    "DatabaseEngine": DEFAULT_ENGINE,
    "AddressKind": addresses.KINDS[0],
    "LoadBalancerSubnets": "two",
    "VirtualAddress": "",
    "LoadBalancersAs": "",
    "UserData": "",
}
"""What a stack keeps when it is updated, unless it is the template's default."""
_ALWAYS = {
    "OperatorCidr": f"{facts.OPERATOR_STATION.address}/32",
    "ZoneA": f"{facts.REGION}a",
    "ZoneB": f"{facts.REGION}b",
}

GROUP_NAME_TAG = "app"
"""The Name that instances of the application's group are launched with."""
MACHINE_TAG = "lab:machine"
"""What the lab calls an instance of that group; AWS calls them all the same."""


@dataclass(frozen=True, slots=True)
class Machine:
    """A part of the stack that becomes a host, as AWS describes it."""

    node: str
    role: str
    id: str
    interface_id: str
    mac: str
    address: str
    subnet: str
    on: bool = True

    def host(self, image: Path) -> Host:
        """The host to build for it."""
        network = ipaddress.ip_network(self.subnet)
        return Host(
            node=self.node,
            role=self.role,
            instance_id=self.id,
            interface_id=self.interface_id,
            mac=self.mac,
            address=self.address,
            prefix=network.prefixlen,
            # AWS reserves a subnet's first address for its router.
            gateway=str(network.network_address + 1),
            image=str(image),
        )


def client(service: str) -> Any:
    """A boto3 client of the account's owner; use it in the operator's namespace."""
    credentials = facts.OWNER
    return boto3.client(
        service,
        region_name=facts.REGION,
        endpoint_url=facts.ENDPOINT,
        aws_access_key_id=credentials["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=credentials["AWS_SECRET_ACCESS_KEY"],
        config=Config(
            connect_timeout=5, read_timeout=60, retries={"total_max_attempts": 2}
        ),
    )


def ensure(
    application_nodes: int | None,
    engine: str | None,
    address_kind: str | None,
    load_balancers_as: str | None,
) -> str:
    """Create the stack, or update it where it differs; returns what was done."""
    formation = client("cloudformation")
    template = TEMPLATE.read_text()
    before = _describe(formation)
    wanted = dict(_ALWAYS)
    if application_nodes is not None:
        wanted["ApplicationNodes"] = str(application_nodes)
    if before is None or load_balancers_as:
        wanted["LoadBalancersAs"] = load_balancers_as or "groups"
    done = "unchanged"
    if before is None:
        if engine not in (None, DEFAULT_ENGINE):
            wanted["DatabaseEngine"] = engine
        wanted |= addresses.parameters(address_kind or addresses.KINDS[0])
        _carry_out(formation.create_stack, template, wanted)
        done = "created"
    set_before = _parameters(formation)
    _refuse_another("DatabaseEngine", engine, set_before)
    _refuse_another("AddressKind", address_kind, set_before)
    wanted = _kept(set_before) | wanted
    if wanted.get("VirtualAddress") == facts.ADDRESS_TO_CHOOSE:
        wanted["VirtualAddress"] = _choose_address()
    same_template = formation.get_template(StackName=facts.STACK)["TemplateBody"]
    if same_template == template and wanted.items() <= set_before.items():
        return done
    _carry_out(formation.update_stack, template, wanted)
    return "updated" if done == "unchanged" else done


def give(parameters: dict[str, str]) -> None:
    """Update the stack with some parameters; the others stay as they are."""
    formation = client("cloudformation")
    kept = _kept(_parameters(formation))
    template = TEMPLATE.read_text()
    _carry_out(formation.update_stack, template, kept | _ALWAYS | parameters)


def ensure_agent(parameters: dict[str, str]) -> None:
    """Create the stack beside it that lets nodes deploy to themselves, once.

    The operator may publish releases from then on.
    """
    formation, name = client("cloudformation"), f"{facts.STACK}-agent"
    given = [{"ParameterKey": k, "ParameterValue": v} for k, v in parameters.items()]
    with contextlib.suppress(formation.exceptions.AlreadyExistsException):
        formation.create_stack(
            StackName=name,
            TemplateBody=AGENT_TEMPLATE.read_text(),
            Capabilities=["CAPABILITY_IAM"],
            Parameters=given,
        )
    (found,) = formation.describe_stacks(StackName=name)["Stacks"]
    (publisher,) = (
        output["OutputValue"]
        for output in found["Outputs"]
        if output["OutputKey"] == "PublisherPolicyArn"
    )
    client("iam").attach_user_policy(UserName=facts.OPERATOR_USER, PolicyArn=publisher)


def terminate(instance_id: str) -> None:
    """Terminate an instance, whatever it does; its group launches another one."""
    client("ec2").terminate_instances(InstanceIds=[instance_id])


def _kept(before: dict[str, str]) -> dict[str, str]:
    """What to give again of a stack's parameters.

    moto takes every one that is given for a change, even to the same value.
    """
    kept = {k: v for k, v in before.items() if v != _KEPT.get(k, v)}
    return {"ApplicationNodes": before["ApplicationNodes"]} | kept


def _refuse_another(key: str, wanted: str | None, before: dict[str, str]) -> None:
    """Refuse what AWS could change, but the lab's moto and hosts cannot follow."""
    kept = before.get(key, _KEPT[key])
    if wanted not in (None, kept):
        raise LabError(
            f"the lab's stack has {key}={kept} and keeps it, so it cannot become "
            f"{wanted}: take the lab down first"
        )


def _choose_address() -> str:
    """An address for the load balancers that is free in their subnet."""
    ec2 = client("ec2")
    (subnet_id,) = {
        instance["SubnetId"]
        for instance in _instances(ec2, ["pending", "running", "stopping", "stopped"])
        if _tags(instance).get("portway:role") == "load-balancer"
    }
    return addresses.free(ec2, subnet_id)


def _parameters(formation: Any) -> dict[str, str]:
    described = _describe(formation) or {"Parameters": []}
    return {p["ParameterKey"]: p["ParameterValue"] for p in described["Parameters"]}


def _carry_out(action: Any, template: str, parameters: dict[str, str]) -> None:
    action(
        StackName=facts.STACK,
        TemplateBody=template,
        Capabilities=["CAPABILITY_IAM"],
        Parameters=[
            {"ParameterKey": key, "ParameterValue": value}
            for key, value in parameters.items()
        ],
    )
    done = _describe(client("cloudformation"))
    if done is None or not done["StackStatus"].endswith("_COMPLETE"):
        raise LabError(
            f"the stack was not created or updated: {done}; see the lab's aws.log"
        )


def _describe(formation: Any) -> dict[str, Any] | None:
    """The stack that the lab makes itself."""
    try:
        stacks = formation.describe_stacks(StackName=facts.STACK)["Stacks"]
    except ClientError as error:
        if error.response["Error"]["Code"] == "ValidationError":
            return None
        raise
    return dict(stacks[0])


def names() -> tuple[str, ...]:
    """The stacks that are there; the machines of the first are the lab's hosts."""
    return tuple(described["StackName"] for described in _present())


def name() -> str | None:
    """The stack whose machines are the lab's hosts, whoever created it."""
    return next(iter(names()), None)


def outputs() -> dict[str, str]:
    """The outputs of that stack; none if there is no stack."""
    return next(map(present.outputs, _present()), {})


def _present() -> tuple[present.Described, ...]:
    pages = client("cloudformation").get_paginator("describe_stacks").paginate()
    return present.stacks(stack for page in pages for stack in page["Stacks"])


def grant() -> None:
    """Let the operator do what the stack's policy and ``docs/install.md`` say."""
    iam = client("iam")
    with contextlib.suppress(iam.exceptions.EntityAlreadyExistsException):
        iam.create_user(UserName=facts.OPERATOR_USER)
    iam.attach_user_policy(
        UserName=facts.OPERATOR_USER, PolicyArn=outputs()["OperatorPolicyArn"]
    )
    secret = (
        f"arn:aws:secretsmanager:{facts.REGION}:{facts.ACCOUNT}:secret:"
        f"{facts.ARTIFACTORY_SECRET}-??????"
    )
    statement = {
        "Effect": "Allow",
        "Action": "secretsmanager:GetSecretValue",
        "Resource": secret,
    }
    iam.put_user_policy(
        UserName=facts.OPERATOR_USER,
        PolicyName="read-the-token",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": statement}),
    )


def name_instances() -> None:
    """Give the application group's instances machines, the lowest free number first.

    In a tag that nothing but the lab reads.
    """
    ec2 = client("ec2")
    instances = sorted(
        _instances(ec2, ["pending", "running", "stopping", "stopped"]),
        key=lambda i: (i["LaunchTime"], i["InstanceId"]),
    )
    taken = {_machine(_tags(instance)) for instance in instances}
    for instance in instances:
        tags = _tags(instance)
        if _has_name(tags):
            continue
        name = next(
            candidate
            for number in range(1, len(instances) + 1)
            if (candidate := f"{_machine(tags)}-{number}") not in taken
        )
        taken.add(name)
        ec2.create_tags(
            Resources=[instance["InstanceId"]],
            Tags=[{"Key": MACHINE_TAG, "Value": name}],
        )


def _machine(tags: dict[str, str]) -> str:
    name = tags.get(MACHINE_TAG) or tags.get("Name", "")
    return re.sub(r"[^a-z0-9-]", "-", name.lower())


def machines() -> tuple[Machine, ...]:
    """Everything of the stack that is a machine, by name."""
    ec2 = client("ec2")
    states = ["pending", "running", "stopping", "stopped"]
    instances = named(_instances(ec2, states))
    identifier = outputs().get("DatabaseIdentifier", "")
    filters = [{"Name": f"tag:{facts.DATABASE_TAG}", "Values": [identifier or "-"]}]
    interfaces = ec2.describe_network_interfaces(Filters=filters)["NetworkInterfaces"]
    # Last, for the stack may have been created meanwhile.
    subnets = {
        subnet["SubnetId"]: subnet["CidrBlock"]
        for page in ec2.get_paginator("describe_subnets").paginate()
        for subnet in page["Subnets"]
    }
    found = [
        *(_instance_machine(instance, subnets) for instance in instances),
        *_database_machines(identifier, interfaces, subnets),
    ]
    names = [machine.node for machine in found]
    if twice := {name for name in names if names.count(name) > 1}:
        raise LabError(f"several instances are named {', '.join(sorted(twice))}")
    return tuple(sorted(found, key=lambda machine: machine.node))


def named(instances: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those that keep their name: the group may have launched one a moment ago."""
    return [instance for instance in instances if _has_name(_tags(instance))]


def _has_name(tags: dict[str, str]) -> bool:
    return tags.get("Name") != GROUP_NAME_TAG or MACHINE_TAG in tags


def _instance_machine(instance: dict[str, Any], subnets: dict[str, str]) -> Machine:
    tags = _tags(instance)
    interface = instance["NetworkInterfaces"][0]
    return Machine(
        node=_machine(tags) or instance["InstanceId"],
        role=tags.get("portway:role", ""),
        id=instance["InstanceId"],
        interface_id=interface["NetworkInterfaceId"],
        mac=interface["MacAddress"],
        address=instance["PrivateIpAddress"],
        subnet=subnets[instance["SubnetId"]],
        on=instance["State"]["Name"] in ("pending", "running"),
    )


def _database_machines(
    identifier: str, interfaces: list[dict[str, Any]], subnets: dict[str, str]
) -> Iterator[Machine]:
    """RDS shows no machine, but the network interface that it made for one."""
    for number, interface in enumerate(interfaces, start=1):
        yield Machine(
            node=f"db-{number}",
            role=DATABASE_ROLE,
            id=identifier,
            interface_id=interface["NetworkInterfaceId"],
            mac=interface["MacAddress"],
            address=interface["PrivateIpAddress"],
            subnet=subnets[interface["SubnetId"]],
        )


def public_key(instance_id: str) -> str:
    """The public key of the key pair that an instance was launched with; or empty."""
    ec2 = client("ec2")
    found = ec2.describe_instances(InstanceIds=[instance_id])["Reservations"]
    name = found[0]["Instances"][0].get("KeyName")
    filters = [{"Name": "key-name", "Values": [name or "-"]}]
    pairs = ec2.describe_key_pairs(Filters=filters, IncludePublicKey=True)["KeyPairs"]
    return "".join(pair["PublicKey"].strip() + "\n" for pair in pairs)


def database(identifier: str) -> dict[str, Any]:
    """What RDS says of a database."""
    found = client("rds").describe_db_instances(DBInstanceIdentifier=identifier)
    return dict(found["DBInstances"][0])


def database_endpoint(identifier: str) -> tuple[str, int]:
    """The name and port under which RDS offers a database."""
    endpoint = database(identifier)["Endpoint"]
    return endpoint["Address"], endpoint["Port"]


def secret(arn: str) -> str:
    """The text of a secret."""
    answer = client("secretsmanager").get_secret_value(SecretId=arn)
    return str(answer["SecretString"])


def address() -> Address | None:
    """What AWS says of the stack's address; None if there is no stack."""
    return addresses.read(client("ec2"), outputs())


def keep_groups() -> None:
    """Have auto scaling groups replace what they lost, as AWS does by itself."""
    groups.keep(client("autoscaling"), client("ec2"))


def _instances(ec2: Any, states: list[str]) -> Iterator[dict[str, Any]]:
    # An empty value is no stack's name.
    pages = ec2.get_paginator("describe_instances").paginate(
        Filters=[
            {"Name": "tag:portway:stack", "Values": [name() or ""]},
            {"Name": "instance-state-name", "Values": states},
        ]
    )
    for page in pages:
        for reservation in page["Reservations"]:
            yield from reservation["Instances"]


def _tags(instance: dict[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in instance.get("Tags", [])}
