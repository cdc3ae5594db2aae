"""What a run makes in the account: a key pair, a stack, and a role for the operator.

Each is in the journal before the call that makes it.
"""

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from acceptance.account.calls import Caller
from acceptance.account.identity import Run
from acceptance.account.journal import Journal, Kind, State
from acceptance.account.operator import Operator
from acceptance.account.patience import patiently
from acceptance.account.remaining import remember_what_stays
from acceptance.account.stack import (
    as_parameters,
    describe_stack,
    first_failure,
    progress,
)
from acceptance.plan.options import Options
from acceptance.programs.deploys import PROJECT
from acceptance.terminal.masking import Mask
from acceptance.terminal.waiting import wait_for
from portway.errors import PortwayError

TEMPLATE = PROJECT / "cloudformation" / "stack.yaml"
CREATE_SECONDS = 3600
UPDATE_SECONDS = 1800
LIST_SECONDS = 120


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

    def role(self) -> Operator:
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


def document(statement: Mapping[str, Any]) -> str:
    """A policy with one statement."""
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})
