"""Who calls the lab's AWS, and whether their policies in moto allow it.

Runs inside the process that serves moto. Nodes are known by their addresses, as the
metadata service knows them, and everybody else by the access key. The owner of the
account may do everything, as whoever creates the stack must.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from moto.cloudformation.models import cloudformation_backends
from moto.ec2.models import ec2_backends
from moto.iam.models import iam_backends
from moto.s3.models import s3_backends
from moto.secretsmanager.models import secretsmanager_backends
from moto.sts.models import sts_backends

from lab.aws.calls import Request
from lab.aws.imds import instance_at, role_of
from lab.aws.policies import Resource, Statement, allowed
from lab.plan import facts

Context = dict[str, tuple[str, ...]]
Tags = Iterable[tuple[str, str]]


_ABOUT_A_STACK = (
    "DescribeStacks",
    "DescribeStackEvents",
    "DescribeStackResourceDrifts",
    "DetectStackDrift",
    "GetTemplate",
    "ListStackResources",
)
_IAM_NAMES = {"HeadObject": "GetObject"}
"""What IAM calls a call that has no action of its own."""


def is_permitted(request: Request) -> bool:
    """Whether whoever makes a request may make it."""
    if request.key == facts.OWNER["AWS_ACCESS_KEY_ID"]:
        return True
    if (request.service, request.action) == ("sts", "GetCallerIdentity"):
        return True  # needs no permission, as in AWS
    statements = list(_statements(_caller(request)))
    about = {"aws:userid": (user,)} if (user := _user_id(request)) else {}
    resources = [
        Resource(resource.arn, {**resource.context, **about})
        for resource in _resources(request)
    ]
    action = f"{request.service}:{_IAM_NAMES.get(request.action, request.action)}"
    if _is_nothing(request):
        # S3 tells who may not list a bucket of what is missing that access is denied.
        bucket = Resource(f"arn:aws:s3:::{request.parameters.get('Bucket', '')}", about)
        return allowed(statements, "s3:ListBucket", [bucket])
    return allowed(statements, action, resources)


def _is_nothing(request: Request) -> bool:
    """Whether a request reads an object that a bucket does not have."""
    if request.service != "s3" or request.action not in ("GetObject", "HeadObject"):
        return False
    buckets = s3_backends[facts.ACCOUNT]["aws"].buckets
    found = buckets.get(request.parameters.get("Bucket", ""))
    return found is not None and request.parameters.get("Key") not in found.keys


def _user_id(request: Request) -> str:
    """Whose session it is: the role's id, and the session's name; of nodes only."""
    instance = instance_at(request.source)
    role = role_of(instance) if instance is not None else None
    # EC2 names the session after the instance.
    return f"{role.id}:{instance.id}" if role is not None else ""


def _caller(request: Request) -> Any:
    """The role or user that makes a request; None for somebody unknown."""
    instance = instance_at(request.source)
    if instance is not None:
        return role_of(instance)
    sessions = sts_backends[facts.ACCOUNT]["aws"]
    session = sessions.get_assumed_role_from_access_key(request.key)
    if session is not None:
        roles = iam_backends[facts.ACCOUNT]["aws"].roles.values()
        return next((role for role in roles if role.arn == session.role_arn), None)
    users = iam_backends[facts.ACCOUNT]["aws"].users
    if request.key == facts.CREDENTIALS["AWS_ACCESS_KEY_ID"]:
        return users.get(facts.OPERATOR_USER)
    return next(
        (
            user
            for user in users.values()
            if any(key.access_key_id == request.key for key in user.access_keys)
        ),
        None,
    )


def _statements(caller: Any) -> Iterator[Statement]:
    if caller is None:
        return
    own = caller.policies
    documents = list(own.values() if isinstance(own, dict) else own)
    documents += [
        version.document
        for policy in caller.managed_policies.values()
        for version in policy.versions
        if version.is_default
    ]
    for document in documents:
        read = json.loads(document) if isinstance(document, str) else document
        statements = read["Statement"]
        yield from [statements] if isinstance(statements, dict) else statements


def _resources(request: Request) -> Iterator[Resource]:
    """What a request is about, as the service authorization reference lists it."""
    given = request.parameters
    if request.service == "ec2":
        yield from _of_ec2(request.action, given)
        return
    match request.service, request.action:
        case "rds", "DescribeDBInstances":
            yield Resource(_arn("rds", f"db:{given.get('DBInstanceIdentifier', '*')}"))
        case "secretsmanager", "GetSecretValue" | "DescribeSecret":
            yield _secret(given.get("SecretId", ""))
        case "s3", _:
            bucket, key = given.get("Bucket", ""), given.get("Key", "")
            yield Resource(f"arn:aws:s3:::{bucket}{f'/{key}' if key else ''}")
        case "ssm", "GetParameter" | "PutParameter":
            yield Resource(_arn("ssm", f"parameter{given.get('Name', '')}"))
        case "autoscaling", "CompleteLifecycleAction":
            group = f"autoScalingGroupName/{given.get('AutoScalingGroupName', '')}"
            yield Resource(_arn("autoscaling", f"autoScalingGroup:id:{group}"))
        case "iam", _ if role := given.get("RoleName"):
            yield Resource(f"arn:aws:iam::{facts.ACCOUNT}:role/{role}")
        case "cloudformation", action if action in _ABOUT_A_STACK:
            yield Resource(_stack(given.get("StackName", "")))
        case _:
            yield Resource()


def _of_ec2(action: str, given: dict[str, str]) -> Iterator[Resource]:
    match action:
        case "AssociateAddress":
            yield _ec2("elastic-ip", given.get("AllocationId", ""))
            instance = _backend().get_instance_by_id(given.get("InstanceId", ""))
            yield from _attached(
                instance.nics[0].id if instance else given.get("NetworkInterfaceId", "")
            )
        case "AssignPrivateIpAddresses":
            yield _interface(given.get("NetworkInterfaceId", ""))
        case "ModifyNetworkInterfaceAttribute":
            attributes: Context = {
                f"ec2:Attribute/{key.removesuffix('.Value')}": (value,)
                for key, value in given.items()
                if key.endswith(".Value")
            }
            yield from _attached(given.get("NetworkInterfaceId", ""), attributes)
        case "CreateRoute" | "ReplaceRoute":
            id_ = given.get("RouteTableId", "")
            yield _ec2("route-table", id_, {"ec2:RouteTableID": (id_,)})
        case "CreateTags":
            keys = tuple(v for k, v in given.items() if k.endswith(".Key"))
            for key, id_ in given.items():
                if key.startswith("ResourceId."):
                    yield _instance(id_, {"aws:TagKeys": keys})
        case "GetConsoleOutput":
            yield _instance(given.get("InstanceId", ""))
        case _:
            yield Resource()


def _backend() -> Any:
    return ec2_backends[facts.ACCOUNT][facts.REGION]


def _arn(service: str, rest: str) -> str:
    return f"arn:aws:{service}:{facts.REGION}:{facts.ACCOUNT}:{rest}"


def _ec2(kind: str, id_: str, context: Context | None = None) -> Resource:
    tags = _backend().describe_tags(filters={"resource-id": [id_]}) if id_ else []
    return Resource(
        _arn("ec2", f"{kind}/{id_}"),
        _tagged((tag["key"], tag["value"]) for tag in tags) | (context or {}),
    )


def _instance(id_: str, context: Context | None = None) -> Resource:
    kind = "instance" if id_.startswith("i-") else "other"
    return _ec2(kind, id_, {"ec2:InstanceID": (id_,)} | (context or {}))


def _attached(id_: str, context: Context | None = None) -> Iterator[Resource]:
    """An interface, of which alone the context is known, and its instance."""
    yield _interface(id_, context)
    found = _backend().enis.get(id_)
    if found is not None and found.instance is not None:
        yield _instance(found.instance.id)


def _interface(id_: str, context: Context | None = None) -> Resource:
    found = _backend().enis.get(id_)
    if found is None:
        return _ec2("network-interface", id_, context)
    return _ec2(
        "network-interface",
        id_,
        {
            "ec2:Vpc": (_arn("ec2", f"vpc/{found.subnet.vpc_id}"),),
            "ec2:Subnet": (_arn("ec2", f"subnet/{found.subnet.id}"),),
        }
        | (context or {}),
    )


def _secret(id_: str) -> Resource:
    secrets = secretsmanager_backends[facts.ACCOUNT][facts.REGION].secrets
    if id_ not in secrets:
        return Resource(_arn("secretsmanager", f"secret:{id_}"))
    found = secrets[id_]
    tags = [(tag["Key"], tag["Value"]) for tag in found.tags or ()]
    return Resource(found.arn, _tagged(tags))


def _stack(name: str) -> str:
    if name.startswith("arn:"):
        return name
    stacks = cloudformation_backends[facts.ACCOUNT][facts.REGION].stacks.values()
    ids = [stack.stack_id for stack in stacks if stack.name == name]
    return str(ids[0]) if ids else _arn("cloudformation", f"stack/{name}/none")


def _tagged(tags: Tags) -> Context:
    return {f"aws:ResourceTag/{key}": (value,) for key, value in tags}
