"""What is wrong with the lab's AWS: faults as values, the active ones, their answers.

Part of the process that is AWS, but it knows nothing of moto. A fault that answers
keeps the request from moto, so it has no effect.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from threading import Condition
from typing import Any
from uuid import uuid4
from xml.sax.saxutils import escape

from lab.aws.calls import Request
from lab.plan import facts

SLOW, LATE = "slow", "late"
WAITING = (SLOW, LATE)
"""Answers are late: after the request was carried out, or because it is late itself."""

ANSWERING = ("throttle", "fail", "deny")

METADATA_FAILS = "imds-fail"
SPOT_NOTICE = "imds-spot"
"""The metadata service says that EC2 takes the instance back in two minutes. The
instance stays: whoever sets this terminates it."""
METADATA = {"fail": METADATA_FAILS, "spot": SPOT_NOTICE}
"""What the metadata service can do, and the fault that it is."""


@dataclass(frozen=True, slots=True)
class CloudFault:
    """Something that is wrong with AWS, for all requests or for some."""

    kind: str
    milliseconds: float = 0
    actions: tuple[str, ...] = ()
    """None: every action."""
    source: str = ""
    """The address that asks; empty: any."""

    def concerns(self, source: str, action: str) -> bool:
        """Whether it is about such a request."""
        return self.source in ("", source) and (
            not self.actions or action in self.actions
        )

    @property
    def place(self) -> tuple[object, ...]:
        """A fault replaces an earlier one with the same key."""
        return self.kind, self.actions, self.source


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that is not AWS's own."""

    status: str
    content_type: str
    body: bytes


class CloudFaults:
    """The active faults."""

    def __init__(self) -> None:
        self._faults: tuple[CloudFault, ...] = ()
        self._changed = Condition()

    def listed(self) -> tuple[CloudFault, ...]:
        """The active faults, in the order in which they were set."""
        return self._faults

    def put(self, fault: CloudFault) -> None:
        """Add a fault to the active ones."""
        with self._changed:
            others = (old for old in self._faults if old.place != fault.place)
            self._faults = (*others, fault)
            self._changed.notify_all()

    def clear(self) -> None:
        """Remove every fault; requests that wait are served at once."""
        with self._changed:
            self._faults = ()
            self._changed.notify_all()

    def wait(self, kind: str, request: Request) -> None:
        """Wait as long as the faults of a kind say, or until they are removed."""
        for fault in self._faults:
            if fault.kind == kind and fault.concerns(request.source, request.action):
                with self._changed:
                    self._changed.wait_for(
                        self._lifted(fault), timeout=fault.milliseconds / 1000
                    )

    def _lifted(self, fault: CloudFault) -> Callable[[], bool]:
        return lambda: fault not in self._faults

    def answer(self, request: Request) -> Answer | None:
        """What the fault that was set last answers, if any answers."""
        for fault in reversed(self._faults):
            if fault.kind in ANSWERING and fault.concerns(
                request.source, request.action
            ):
                return _answer(fault.kind, request)
        return None

    def metadata_fails(self, source: str) -> bool:
        """Whether the metadata service fails for this source."""
        return self._metadata(METADATA_FAILS, source)

    def takes_back(self, source: str) -> bool:
        """Whether EC2 says that it takes this source back."""
        return self._metadata(SPOT_NOTICE, source)

    def _metadata(self, kind: str, source: str) -> bool:
        return any(f.kind == kind and f.concerns(source, "") for f in self._faults)


SKEW_SECONDS, S3_SKEW_SECONDS = 300, 900
"""By how much a clock may be wrong."""

_ERRORS = {
    ("skewed", "ec2"): ("400 Bad Request", "RequestExpired"),
    ("skewed", "query"): ("403 Forbidden", "SignatureDoesNotMatch"),
    ("skewed", "json"): ("400 Bad Request", "InvalidSignatureException"),
    ("skewed", "rest-xml"): ("403 Forbidden", "RequestTimeTooSkewed"),
    ("throttle", "ec2"): ("503 Service Unavailable", "RequestLimitExceeded"),
    ("throttle", "query"): ("400 Bad Request", "Throttling"),
    ("throttle", "json"): ("400 Bad Request", "ThrottlingException"),
    ("throttle", "rest-xml"): ("503 Slow Down", "SlowDown"),
    ("fail", "ec2"): ("500 Internal Server Error", "InternalError"),
    ("fail", "query"): ("500 Internal Server Error", "InternalFailure"),
    ("fail", "json"): ("500 Internal Server Error", "InternalServiceError"),
    ("fail", "rest-xml"): ("500 Internal Server Error", "InternalError"),
    ("deny", "ec2"): ("403 Forbidden", "UnauthorizedOperation"),
    ("deny", "query"): ("403 Forbidden", "AccessDenied"),
    ("deny", "json"): ("400 Bad Request", "AccessDeniedException"),
    ("deny", "rest-xml"): ("403 Forbidden", "AccessDenied"),
}
"""Status and code by kind and protocol, as AWS's references of common errors say."""


def is_skewed(request: Request, now: float) -> bool:
    """Whether AWS refuses a request because of the clock of who asks."""
    if request.signed_at is None:
        return False
    most = S3_SKEW_SECONDS if request.service == "s3" else SKEW_SECONDS
    return abs(now - request.signed_at) > most


def skewed(request: Request) -> Answer:
    """What AWS answers who has another time."""
    return _answer("skewed", request)


def refusal(request: Request) -> Answer:
    """What AWS answers who may not make a call."""
    return _answer("deny", request)


def _answer(kind: str, request: Request) -> Answer:
    status, code = _ERRORS[kind, request.protocol]
    message = {
        "throttle": "Request limit exceeded.",
        "fail": "An internal error has occurred",
        "deny": _denial(request),
        "skewed": "The request was signed at another time than this.",
    }[kind]
    if request.protocol == "json":
        content: dict[str, Any] = {"__type": code, "message": message}
        body = json.dumps(content).encode()
        return Answer(status, "application/x-amz-json-1.1", body)
    error = f"<Code>{code}</Code><Message>{escape(message)}</Message>"
    id_ = uuid4()
    if request.protocol == "rest-xml":
        text = f"<Error>{error}<RequestId>{id_}</RequestId></Error>"
        text = "" if request.action.startswith("Head") else text
    elif request.protocol == "ec2":
        text = (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f"<Response><Errors><Error>{error}</Error></Errors>"
            f"<RequestID>{id_}</RequestID></Response>"
        )
    else:
        who = "Receiver" if status.startswith("5") else "Sender"
        text = (
            f"<ErrorResponse><Error><Type>{who}</Type>{error}</Error>"
            f"<RequestId>{id_}</RequestId></ErrorResponse>"
        )
    return Answer(status, "text/xml;charset=UTF-8", text.encode())


def _denial(request: Request) -> str:
    action = f"{request.service}:{request.action}"
    words = (
        f"User: arn:aws:sts::{facts.ACCOUNT}:assumed-role/lab/{request.source} is not "
        f"authorized to perform: {action} because no identity-based policy allows "
        f"the {action} action"
    )
    if request.protocol != "ec2":
        return words
    return f"You are not authorized to perform this operation. {words}."
