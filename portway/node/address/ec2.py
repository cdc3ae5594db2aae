"""The mover's calls to EC2, each inside short timeouts, every failure told in one line.

Retrying is the mover's business: botocore's own would hide throttling and take longer
than a fail-over may.
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

from portway.node.address import imds
from portway.node.address.config import Config
from portway.node.address.places import (
    AddressKind,
    Call,
    Place,
    claims,
    look,
    places,
)

TIMEOUTS = ClientConfig(
    connect_timeout=1,
    read_timeout=3,
    retries={"mode": "standard", "total_max_attempts": 1},
    tcp_keepalive=True,
)
THROTTLED = ("RequestLimitExceeded", "Throttling", "ThrottlingException")
NOWHERE = "192.0.2.1"
"""An address for documentation, which is nobody's and in no subnet."""
DENIED = ("UnauthorizedOperation", "AccessDenied", "AccessDeniedException")

log = logging.getLogger("address")


class Failure(Enum):
    """Why a call failed, as far as it decides what to do next."""

    THROTTLED = "throttled"
    DENIED = "denied"
    REFUSED = "refused"
    """AWS answered with another error."""
    UNREACHABLE = "unreachable"
    """No answer, or no credentials to ask with."""


class Ec2Error(Exception):
    """A call that failed; its text names the action."""

    def __init__(self, action: str, failure: Failure, text: str) -> None:
        super().__init__(f"{action}: {text}")
        self.action = action
        self.failure = failure


class Ec2:
    """EC2 as one node sees it, with the credentials of its instance profile."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._client: Any = None

    def look(self) -> tuple[Place, ...]:
        """Ask where the address leads now; one call. Raises Ec2Error."""
        config = self._config
        call, key = look(config.kind, config.address, config.objects)
        answer = self.make(call)
        with _told(call.action):
            return places(config.kind, config.address, config.objects, answer[key])

    def claims(
        self, seen: tuple[Place, ...], *, for_peer: bool = False
    ) -> Iterator[Call]:
        """The calls that bring the address here, or to the peer, from where it was."""
        config = self._config
        own = config.instance_id, config.interface_id
        peer = config.peer_instance_id, config.peer_interface_id
        return claims(config.kind, config.address, seen, *(peer if for_peer else own))

    def has_arrived(self) -> bool:
        """Whether an address that EC2 says is here is here already.

        EC2 reassigns a private address in its own time; the instance's metadata tells
        when it has (AssignPrivateIpAddresses). Without an answer EC2's word counts.
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
        with _told(call.action):
            method: Callable[..., Any] = getattr(self._signed(), call.operation)
            return method(**call.arguments)

    def _signed(self) -> Any:
        """The client; one that was made without credentials would never have any."""
        if self._client is None:
            session = boto3.session.Session(region_name=self._config.region)
            if session.get_credentials() is None:
                raise NoCredentialsError
            # Versions of boto3 older than Debian 13's do not read it themselves.
            endpoint = os.environ.get("AWS_ENDPOINT_URL")
            self._client = session.client(
                "ec2", config=TIMEOUTS, endpoint_url=endpoint or None
            )
        return self._client

    def rehearse(self, call: Call) -> str:
        """Why EC2 would refuse a call, without making it; empty if it would not.

        AssignPrivateIpAddresses knows no DryRun: it is asked for an address that no
        subnet has, which is refused in other words if the call as such is permitted.
        Raises Ec2Error if EC2 does not say.
        """
        arguments = call.arguments | {"DryRun": True}
        knows_dry_run = call.operation != "assign_private_ip_addresses"
        if not knows_dry_run:
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
            would_work = (
                "DryRunOperation" in str(error) if knows_dry_run else not denied
            )
            return "" if would_work else str(error)
        return f"{call.action}: AWS made the call instead of only trying it"


@contextmanager
def _told(action: str) -> Iterator[None]:
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
    except Exception as error:
        # Whatever stands between here and EC2 may answer anything; the daemon lives on.
        text = " ".join(str(error).split()) or type(error).__name__
        raise Ec2Error(action, Failure.UNREACHABLE, text) from error
