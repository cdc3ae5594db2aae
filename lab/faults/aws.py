"""Sets, lists and removes what is wrong with the lab's AWS, from outside of it.

Asks the process that is AWS, in its own namespace: no fault is in the way there.
"""

from dataclasses import asdict
from typing import Any

import botocore.loaders
import requests

from lab.aws.calls import Call
from lab.aws.faults import ANSWERING, METADATA, WAITING, CloudFault
from lab.errors import LabError
from lab.ground import namespaces
from lab.plan import facts
from lab.plan.names import AWS, Lab

SERVICES = (
    "ec2",
    "autoscaling",
    "cloudformation",
    "iam",
    "rds",
    "s3",
    "secretsmanager",
    "ssm",
    "sts",
)
"""The services of AWS that the lab has."""


def put(lab: Lab, fault: CloudFault) -> None:
    """Add a fault to the active ones."""
    check(fault)
    _ask(lab, "POST", facts.FAULTS, json=asdict(fault))


def listed(lab: Lab) -> tuple[CloudFault, ...]:
    """The active faults."""
    found = _ask(lab, "GET", facts.FAULTS)
    return tuple(CloudFault(**{**f, "actions": tuple(f["actions"])}) for f in found)


def clear(lab: Lab) -> None:
    """Make AWS and the metadata service healthy."""
    _ask(lab, "DELETE", facts.FAULTS)


def calls(lab: Lab, since: float = 0) -> tuple[Call, ...]:
    """The calls that AWS answered and that came since a moment of ``time.time()``.

    The lab's own are among them: those from the operator's address that ``lab``
    makes, not those of this module.
    """
    found = _ask(lab, "GET", facts.CALLS, params={"since": repr(since)})
    return tuple(Call(*item) for item in found)


def check(fault: CloudFault) -> None:
    """Raise LabError for a fault that could not come about."""
    kinds = (*WAITING, *ANSWERING, *METADATA.values())
    if fault.kind not in kinds:
        raise LabError(f"AWS cannot {fault.kind!r}: use {', '.join(kinds)}")
    if fault.kind in WAITING and not 0 < fault.milliseconds <= 600_000:
        raise LabError(
            f"AWS cannot be {fault.kind} by {fault.milliseconds:g} ms: use 1 to 600000"
        )
    unknown = set(fault.actions)
    for service in SERVICES:
        if unknown:
            model = botocore.loaders.Loader().load_service_model(service, "service-2")
            unknown -= model["operations"].keys()
    if unknown:
        raise LabError(
            f"AWS has no action {', '.join(sorted(unknown))} in {', '.join(SERVICES)}: "
            "write it as in AssociateAddress"
        )


def _ask(lab: Lab, method: str, path: str, **more: Any) -> Any:
    try:
        with namespaces.within(lab, AWS):
            answer = requests.request(method, facts.ENDPOINT + path, timeout=30, **more)
    except requests.ConnectionError as error:
        raise LabError(
            f"the AWS of lab {lab.name} does not run: python -m lab up"
        ) from error
    answer.raise_for_status()
    return answer.json()
