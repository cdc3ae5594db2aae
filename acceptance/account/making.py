"""What a run makes in the account: a key pair, a stack, and a role for the operator.

Each is in the journal before the call that makes it.
"""

import json
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from acceptance.account.calls import Caller, Refused
from acceptance.account.journal import Journal, Kind, State
from acceptance.account.patience import patiently
from acceptance.plan.options import Options
from acceptance.programs.deploys import PROJECT
from acceptance.terminal.masking import Mask
from acceptance.terminal.waiting import wait_for
from portway.aws.errors import DENIED, AwsCallError
from portway.errors import PortwayError

TAG = "portway:acceptance"
"""On everything that takes tags; its value is the run's id."""
TEMPLATE = PROJECT / "cloudformation" / "stack.yaml"
CREATE_SECONDS = 3600
UPDATE_SECONDS = 1800
GRANT_SECONDS = 180
LIST_SECONDS = 120
SESSION_SECONDS = 3600
"""The longest that a role may be assumed for by another role."""
RENEW_SECONDS = 1200
"""A session is renewed when it is so old: a deploy may take the rest."""


@dataclass(frozen=True, slots=True)
class Run:
    """Who runs what, where."""

    id: str
    account: str
    partition: str

    @property
    def key_name(self) -> str:
        return f"portway-acceptance-{self.id}"

    @property
    def role_name(self) -> str:
        return f"portway-acceptance-{self.id}"

    @property
    def tags(self) -> list[dict[str, str]]:
        return [{"Key": TAG, "Value": self.id}]


def new_key() -> tuple[str, str]:
    """A private key and its public one, in OpenSSH's formats."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    return private.decode(), public.decode()


def describe_stack(caller: Caller, name: str) -> Any | None:
    """A stack as CloudFormation describes it; None if there is none."""
    try:
        about = f"stack {name}"
        given = {"StackName": name}
        return caller.call("cloudformation", "describe_stacks", about, **given)[
            "Stacks"
        ][0]
    except AwsCallError as error:
        if error.code == "ValidationError" and "does not exist" in error.message:
            return None
        raise


def refuse_existing(caller: Caller, options: Options) -> None:
    """Refuse a name that a stack has, whatever state it is in."""
    found = describe_stack(caller, options.stack)
    if found is not None:
        raise PortwayError(
            f"stack {options.stack} exists in {options.region}: {found['StackStatus']}",
            why="This makes a stack of its own and deletes it at the end; nothing was "
            "touched",
            do="give a name that no stack has",
        )


def zones(caller: Caller, types: set[str]) -> tuple[str, str]:
    """Two zones of the region that have these instance types."""
    filters = {"state": ["available"], "zone-type": ["availability-zone"]}
    given = [{"Name": key, "Values": values} for key, values in filters.items()]
    about = "the region's zones"
    found = caller.read(
        "ec2", "describe_availability_zones", "AvailabilityZones", about, Filters=given
    )
    names = sorted(zone["ZoneName"] for zone in found)
    offered = caller.read(
        "ec2",
        "describe_instance_type_offerings",
        "InstanceTypeOfferings",
        "the zones of instance types",
        LocationType="availability-zone",
        Filters=[{"Name": "instance-type", "Values": sorted(types)}],
    )
    has = {name: set[str]() for name in names}
    for offer in offered:
        has.get(offer["Location"], set()).add(offer["InstanceType"])
    good = [name for name in names if has[name] >= types]
    if len(good) < 2:
        raise PortwayError(
            f"fewer than two zones of {caller.region} have {', '.join(sorted(types))}",
            do="choose other types with --load-balancer-type and --application-type",
        )
    return good[0], good[1]


@dataclass
class Maker:
    """Makes what a run needs."""

    caller: Caller
    options: Options
    run: Run
    journal: Journal
    held: Callable[[], AbstractContextManager[None]]
    """Keeps signals from ending the run between a call and its line."""
    mask: Mask
    stack_id: str = ""
    parameters: dict[str, str] = field(default_factory=dict)
    """The stack's; an update gives them all again, for else they are the defaults."""
    outputs: dict[str, str] = field(default_factory=dict)

    def key_pair(self, public_key: str) -> None:
        """Import the key that hosts let in."""
        name = self.run.key_name
        with self.held():
            self.journal.write(Kind.KEY_PAIR, name, State.PLANNED)
            tags = [{"ResourceType": "key-pair", "Tags": self.run.tags}]
            made = self.caller.call(
                "ec2",
                "import_key_pair",
                f"key pair {name}",
                KeyName=name,
                PublicKeyMaterial=public_key.encode(),
                TagSpecifications=tags,
            )
            self.journal.write(
                Kind.KEY_PAIR, name, State.MADE, made.get("KeyPairId", "")
            )
        self._wait_for_key_pair(name)

    def _wait_for_key_pair(self, name: str) -> None:
        """A rule of the template lists key pairs, and a new one may be listed later."""
        about = f"key pair {name}"

        def look() -> bool | None:
            found = self.caller.call("ec2", "describe_key_pairs", about)["KeyPairs"]
            return name in [pair["KeyName"] for pair in found] or None

        wait_for(f"{about} to be listed", lambda: patiently(look), LIST_SECONDS)

    def stack(self, zones_: tuple[str, str]) -> None:
        """Begin to create the stack."""
        name = self.options.stack
        self.parameters = self.options.parameters(self.run.key_name, zones_)
        with self.held():
            self.journal.write(Kind.STACK, name, State.PLANNED)
            made = self.caller.call(
                "cloudformation",
                "create_stack",
                f"stack {name}",
                StackName=name,
                TemplateBody=TEMPLATE.read_text(),
                Capabilities=["CAPABILITY_IAM"],
                Parameters=as_parameters(self.parameters),
                Tags=self.run.tags,
                ClientRequestToken=f"portway-acceptance-{self.run.id}",
            )
            self.stack_id = made["StackId"]
            self.journal.write(Kind.STACK, name, State.MADE, self.stack_id)

    def wait_for_stack(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Wait until the stack stands."""
        self._settle("CREATE_COMPLETE", CREATE_SECONDS, meanwhile)

    def update(self, **changes: str) -> None:
        """Change parameters of the stack and wait until that is done."""
        self.parameters |= changes
        self.caller.call(
            "cloudformation",
            "update_stack",
            f"stack {self.options.stack}",
            StackName=self.options.stack,
            TemplateBody=TEMPLATE.read_text(),
            Capabilities=["CAPABILITY_IAM"],
            Parameters=as_parameters(self.parameters),
            Tags=self.run.tags,
        )
        self._settle("UPDATE_COMPLETE", UPDATE_SECONDS)

    def _settle(
        self, wanted: str, seconds: float, meanwhile: Callable[[], None] = lambda: None
    ) -> None:
        status = ""

        def look() -> Any | None:
            nonlocal status
            meanwhile()
            answer = patiently(lambda: describe_stack(self.caller, self.stack_id) or {})
            if answer is None:
                return None
            found = answer or None
            status = found["StackStatus"] if found else "gone"
            if status == wanted:
                return found
            if status.endswith("_IN_PROGRESS"):
                return None
            raise PortwayError(
                f"stack {self.options.stack} is {status}",
                why=first_failure(self.caller, self.stack_id),
                do="see its events in CloudFormation before it is deleted: "
                "DescribeStackEvents shows those of deleted stacks by their id "
                f"{self.stack_id}",
            )

        def now() -> str:
            return f"{status}, {progress(self.caller, self.stack_id)}"

        found = wait_for(
            f"stack {self.options.stack}", look, seconds, now=now, do="see its events"
        )
        self.outputs = {o["OutputKey"]: o["OutputValue"] for o in found["Outputs"]}

    def role(self) -> "Operator":
        """Make a role that has the stack's policy for operators, and nothing else."""
        name, run = self.run.role_name, self.run
        root = f"arn:{run.partition}:iam::{run.account}:root"
        trust = {
            "Effect": "Allow",
            "Principal": {"AWS": root},
            "Action": "sts:AssumeRole",
            "Condition": {"StringEquals": {"sts:ExternalId": run.id}},
        }
        about = f"role {name}"
        with self.held():
            self.journal.write(Kind.ROLE, name, State.PLANNED)
            made = self.caller.call(
                "iam",
                "create_role",
                about,
                RoleName=name,
                AssumeRolePolicyDocument=document(trust),
                Description=f"Acceptance run {run.id} of Portway",
                Tags=run.tags,
            )
            self.journal.write(Kind.ROLE, name, State.MADE, made["Role"]["Arn"])
        self.caller.call(
            "iam",
            "attach_role_policy",
            about,
            RoleName=name,
            PolicyArn=self.outputs["OperatorPolicyArn"],
        )
        if self.options.token_secret:
            self.caller.call(
                "iam",
                "put_role_policy",
                about,
                RoleName=name,
                PolicyName="read-the-token",
                PolicyDocument=document(self._reads_token()),
            )
        return Operator(self.caller, self.run, made["Role"]["Arn"], self.mask)

    def _reads_token(self) -> dict[str, Any]:
        secret = self.options.token_secret
        if not secret.startswith("arn:"):
            run = self.run
            place = f"{self.caller.region}:{run.account}"
            secret = (
                f"arn:{run.partition}:secretsmanager:{place}:secret:{secret}-??????"
            )
        return {
            "Effect": "Allow",
            "Action": "secretsmanager:GetSecretValue",
            "Resource": secret,
        }

    def remember_what_stays(self) -> None:
        """Write down what the stack's deletion leaves: address, snapshot, routes."""
        remember_what_stays(self.caller, self.journal, self.stack_id)


@dataclass
class Operator:
    """The role that runs are made with."""

    caller: Caller
    run: Run
    arn: str
    mask: Mask
    _credentials: dict[str, str] | None = None
    _since: float = 0.0

    def credentials(self) -> Mapping[str, str]:
        """Credentials of a session, as the environment has them; renewed in time."""
        # By the clock of the wall: the other one stands still while a laptop sleeps.
        old = time.time() - self._since > RENEW_SECONDS
        if self._credentials is None or old:
            self._credentials = self._assume()
            self._since = time.time()
        return self._credentials

    def _assume(self) -> dict[str, str]:
        """Assume the role; IAM takes a while to know a new one."""
        refused = ""

        def look() -> Any | None:
            nonlocal refused
            answer = self.caller.probe(
                "sts",
                "assume_role",
                RoleArn=self.arn,
                RoleSessionName="portway-acceptance",
                ExternalId=self.run.id,
                DurationSeconds=SESSION_SECONDS,
            )
            if not isinstance(answer, Refused):
                return answer["Credentials"]
            refused = str(answer)
            if answer.code not in DENIED:
                raise PortwayError(f"role {self.arn} cannot be assumed", why=refused)
            return None

        given = wait_for(
            "the right to assume the new role",
            look,
            GRANT_SECONDS,
            now=lambda: refused,
            do="these credentials need sts:AssumeRole on roles of this account",
        )
        self.mask.hide(given["SecretAccessKey"], given["SessionToken"])
        return {
            "AWS_ACCESS_KEY_ID": given["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": given["SecretAccessKey"],
            "AWS_SESSION_TOKEN": given["SessionToken"],
        }


def document(statement: Mapping[str, Any]) -> str:
    """A policy with one statement."""
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def as_parameters(values: Mapping[str, str]) -> list[dict[str, str]]:
    """Parameters as CloudFormation takes them; without one, its default counts."""
    return [
        {"ParameterKey": key, "ParameterValue": value}
        for key, value in values.items()
        if value
    ]


def resources(caller: Caller, stack_id: str) -> dict[str, Any]:
    """The resources of a stack by the names that the template has for them."""
    found = caller.call(
        "cloudformation",
        "describe_stack_resources",
        "the stack's resources",
        StackName=stack_id,
    )["StackResources"]
    return {r["LogicalResourceId"]: r for r in found if r.get("LogicalResourceId")}


def progress(caller: Caller, stack_id: str) -> str:
    """How far a stack is: how many of its resources, and which are under way."""
    try:
        found = resources(caller, stack_id)
    except PortwayError:
        return "its resources cannot be read"
    states = {name: r["ResourceStatus"] for name, r in found.items()}
    under_way = [n for n, state in states.items() if state.endswith("_IN_PROGRESS")]
    return f"{len(states)} resources, under way: {', '.join(under_way[:6]) or 'none'}"


def first_failure(caller: Caller, stack_id: str) -> str:
    """What failed first, in CloudFormation's words."""
    about = "the stack's events"
    events = caller.read(
        "cloudformation",
        "describe_stack_events",
        "StackEvents",
        about,
        StackName=stack_id,
    )
    failed = [e for e in events if e.get("ResourceStatus", "").endswith("_FAILED")]
    if not failed:
        return ""
    first = failed[-1]  # the newest comes first
    return f"{first['LogicalResourceId']}: {first.get('ResourceStatusReason', '')}"


def remember_what_stays(caller: Caller, journal: Journal, stack_id: str) -> None:
    """Write down what of a stack its deletion leaves, as far as it is there by now.

    It may have been deleted meanwhile: CloudFormation still answers for its id.
    """
    listed = resources(caller, stack_id)
    found = {
        name: resource["PhysicalResourceId"]
        for name, resource in listed.items()
        if resource.get("PhysicalResourceId")
    }
    known = journal.latest()
    if database := found.get("Database"):
        before = known.get((Kind.DATABASE, database))
        id_ = "" if before and before.id else _resource_id(caller, database)
        if before is None or id_:
            journal.write(Kind.DATABASE, database, State.MADE, id_)
    ip = found.get("ElasticIp")
    if (
        ip
        and (Kind.ADDRESS, ip) not in known
        and listed["ElasticIp"].get("ResourceStatus") != "DELETE_COMPLETE"
    ):
        _remember_address(caller, journal, ip)
    described = describe_stack(caller, stack_id) or {}
    given = {
        p["ParameterKey"]: p["ParameterValue"] for p in described.get("Parameters", [])
    }
    if given.get("AddressKind") == "route" and given.get("VirtualAddress"):
        for logical in ("RouteTableA", "RouteTableB"):
            table = found.get(logical)
            if table and (Kind.ROUTE, table) not in known:
                destination = f"{given['VirtualAddress']}/32"
                journal.write(
                    Kind.ROUTE, table, State.MADE, table, destination=destination
                )


def _remember_address(caller: Caller, journal: Journal, ip: str) -> None:
    filters = [{"Name": "public-ip", "Values": [ip]}]
    about = "the Elastic IP"
    found = caller.read(
        "ec2", "describe_addresses", "Addresses", about, Filters=filters
    )
    if not found:
        raise PortwayError(
            f"the stack's Elastic IP {ip} was not found",
            do="look whether it is in the account, and release it",
        )
    for address in found:
        journal.write(Kind.ADDRESS, ip, State.MADE, address["AllocationId"])


def _resource_id(caller: Caller, database: str) -> str:
    """What RDS calls a database for ever: no other gets this id."""
    found = caller.probe("rds", "describe_db_instances", DBInstanceIdentifier=database)
    if isinstance(found, Refused):
        return ""
    return str(found["DBInstances"][0].get("DbiResourceId", ""))
