"""The mover's calls to EC2: short timeouts, and every failure in one line.

The mover does the retrying: botocore's own would hide throttling and take longer than
a fail-over may.
"""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Any

import boto3
from botocore.config import Config as ClientConfig
from botocore.exceptions import ClientError, NoCredentialsError
from botocore.parsers import ResponseParserError

from portway.contract.address import (
    THROTTLED,
    AddressKind,
    AddressObject,
    Call,
    address_objects,
    describe_call,
    move_calls,
)
from portway.contract.mover import MoverConfig
from portway.node.address import imds

TIMEOUTS = ClientConfig(
    connect_timeout=1,
    read_timeout=3,
    retries={"mode": "standard", "total_max_attempts": 1},
    tcp_keepalive=True,
)
NOWHERE = "192.0.2.1"
"""An address reserved for documentation: nobody has it, and no subnet contains it."""
DENIED = ("UnauthorizedOperation", "AccessDenied", "AccessDeniedException")

log = logging.getLogger("address")


class Failure(Enum):
    """Why a call failed, as far as it decides what to do next."""

    THROTTLED = "throttled"
    DENIED = "denied"
    REFUSED = "refused"
    """AWS answered with another error."""
    UNREACHABLE = "unreachable"
    """No answer, or no credentials to sign the call with."""


class Ec2Error(Exception):
    """A call that failed; its text names the action."""

    def __init__(self, action: str, failure: Failure, text: str) -> None:
        super().__init__(f"{action}: {text}")
        self.action = action
        self.failure = failure


class Ec2:
    """EC2 as one node sees it, with the credentials of its instance profile."""

    def __init__(self, config: MoverConfig) -> None:
        self._config = config
        self._client: Any = None

    def describe(self) -> tuple[AddressObject, ...]:
        """Ask where the address points now; one call. Raises Ec2Error."""
        config = self._config
        call, key = describe_call(config.kind, config.address, config.objects)
        answer = self.make(call)
        with _translated(call.action):
            return address_objects(
                config.kind, config.address, config.objects, answer[key]
            )

    def move_calls(
        self, seen: tuple[AddressObject, ...], *, for_peer: bool = False
    ) -> Iterator[Call]:
        """The calls that move the address here, or to the peer, from where it was."""
        config = self._config
        target = config.peer_interface_id if for_peer else config.interface_id
        return move_calls(config.kind, config.address, seen, target)

    def has_arrived(self) -> bool:
        """Whether an address that EC2 says is here has really arrived.

        EC2 reassigns a private address asynchronously; the instance's metadata shows
        when it is done (AssignPrivateIpAddresses). Without an answer EC2's word counts.
        """
        if self._config.kind is not AddressKind.PRIVATE:
            return True
        try:
            return self._config.address in imds.private_addresses()
        except OSError as error:
            log.warning("%s", error)
            return True

    def make(self, call: Call) -> Any:
        """Make one call and return its answer. Raises Ec2Error."""
        with _translated(call.action):
            method: Callable[..., Any] = getattr(self._signed(), call.operation)
            return method(**call.arguments)

    def _signed(self) -> Any:
        """The client; one created without credentials would never get any."""
        if self._client is None:
            session = boto3.session.Session(region_name=self._config.region)
            if session.get_credentials() is None:
                raise NoCredentialsError
            # boto3 before Debian 13's version does not read it by itself.
            endpoint = os.environ.get("AWS_ENDPOINT_URL")
            self._client = session.client(
                "ec2", config=TIMEOUTS, endpoint_url=endpoint or None
            )
        return self._client

    def dry_run(self, call: Call) -> str:
        """Why EC2 would refuse a call, without making it; empty if it would not.

        AssignPrivateIpAddresses has no DryRun: it is asked for an address that no
        subnet has, which EC2 refuses with a different error if the role may make the
        call. Raises Ec2Error if EC2 does not say.
        """
        arguments = call.arguments | {"DryRun": True}
        has_dry_run = call.operation != "assign_private_ip_addresses"
        if not has_dry_run:
            arguments = {
                "NetworkInterfaceId": call.arguments["NetworkInterfaceId"],
                "PrivateIpAddresses": [NOWHERE],
            }
        try:
            self.make(Call(call.operation, arguments))
        except Ec2Error as error:
            if error.failure in (Failure.THROTTLED, Failure.UNREACHABLE):
                raise
            denied = error.failure is Failure.DENIED or ".NotFound" in str(error)
            would_work = "DryRunOperation" in str(error) if has_dry_run else not denied
            return "" if would_work else str(error)
        return f"{call.action}: EC2 made the call although it was only asked to try it"


@contextmanager
def _translated(action: str) -> Iterator[None]:
    """Turn what boto3 raises into an Ec2Error."""
    try:
        yield
    except ClientError as error:
        details = error.response.get("Error", {})
        code = details.get("Code", "Unknown")
        message = details.get("Message", "").partition(" Encoded auth")[0]
        kinds = {**dict.fromkeys(THROTTLED, Failure.THROTTLED)}
        kinds |= dict.fromkeys(DENIED, Failure.DENIED)
        failure = kinds.get(code, Failure.REFUSED)
        text = f"{code}: {' '.join(message.split())}"
        raise Ec2Error(action, failure, text) from error
    except ResponseParserError as error:
        # A page of HTML that botocore does not know: EC2 or a proxy is overloaded.
        text = "the answer was not EC2's; is something between this node and EC2?"
        raise Ec2Error(action, Failure.THROTTLED, text) from error
    except Exception as error:
        # A proxy on the way to EC2 may answer anything; the daemon must survive it.
        text = " ".join(str(error).split()) or type(error).__name__
        raise Ec2Error(action, Failure.UNREACHABLE, text) from error
