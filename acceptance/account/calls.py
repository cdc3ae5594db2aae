"""Calls to AWS as one caller, with what was answered kept for the observations."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.session import Session

from acceptance.terminal.masking import Mask
from portway.aws.errors import Call, translate_aws_errors
from portway.errors import PortwayError

CONFIG = Config(
    connect_timeout=5,
    read_timeout=120,
    retries={"mode": "standard", "total_max_attempts": 4},
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What AWS answered to one call, without account numbers and secrets."""

    caller: str
    call: str
    """As IAM names it, such as ``ec2:DescribeInstances``."""
    seconds: float
    status: int
    code: str
    """The error's name; empty if it is none."""
    message: str
    body: Any


@dataclass(frozen=True, slots=True)
class Refused:
    """An answer that is an error, by AWS's name for it."""

    code: str
    message: str

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class Caller:
    """AWS in one region as one caller: by default whoever runs this."""

    def __init__(
        self,
        name: str,
        region: str,
        mask: Mask,
        credentials: Callable[[], Mapping[str, str]] | None = None,
    ) -> None:
        """``credentials`` are asked for when calls begin, and may change then."""
        self.name = name
        self.region = region
        self._mask = mask
        self._credentials = credentials
        self._clients: dict[str, Any] = {}
        self._made_with: Mapping[str, str] | None = None
        self._session: Any = None
        self._heard: list[Answer] | None = None

    def call(self, service: str, operation: str, about: str, **given: Any) -> Any:
        """Make one call and return its answer; PortwayError if there is none."""
        with translate_aws_errors(self._described(service, operation, about)):
            return getattr(self.client(service), operation)(**given)

    def read(
        self, service: str, operation: str, key: str, about: str, **given: Any
    ) -> list[Any]:
        """What is under ``key``, over all pages."""
        with translate_aws_errors(self._described(service, operation, about)):
            client = self.client(service)
            if not client.can_paginate(operation):
                return list(getattr(client, operation)(**given)[key])
            pages = client.get_paginator(operation).paginate(**given)
            return [item for page in pages for item in page[key]]

    def probe(self, service: str, operation: str, **given: Any) -> Any:
        """Make one call; its answer, or what AWS refused it with."""
        call = self._described(service, operation, "a probe")
        with translate_aws_errors(call):
            try:
                return getattr(self.client(service), operation)(**given)
            except ClientError as error:
                details = error.response.get("Error", {})
                return Refused(details.get("Code", "?"), details.get("Message", ""))

    def client(self, service: str) -> Any:
        """boto3's client of a service."""
        credentials = self._credentials() if self._credentials else None
        if self._session is None or credentials is not self._made_with:
            self._session, self._clients = self._new_session(credentials), {}
            self._made_with = credentials
        if service not in self._clients:
            self._clients[service] = self._session.create_client(
                service, region_name=self.region, config=CONFIG
            )
        return self._clients[service]

    def forget(self) -> None:
        """Look for credentials anew at the next call."""
        self._session = None

    @contextmanager
    def heard(self) -> Iterator[list[Answer]]:
        """Keep what is answered meanwhile."""
        before, self._heard = self._heard, []
        try:
            yield self._heard
        finally:
            self._heard = before

    def _described(self, service: str, operation: str, about: str) -> Call:
        words = "".join(word.capitalize() for word in operation.split("_"))
        return Call(f"{service}:{words.replace('Db', 'DB')}", about, self.region)

    def _new_session(self, credentials: Mapping[str, str] | None) -> Any:
        session = Session()
        if credentials:
            session.set_credentials(
                credentials["AWS_ACCESS_KEY_ID"],
                credentials["AWS_SECRET_ACCESS_KEY"],
                credentials["AWS_SESSION_TOKEN"],
            )
        session.register("before-call", self._before)
        session.register("after-call", self._after)
        return session

    def _before(self, context: Mapping[str, Any], **_: Any) -> None:
        if isinstance(context, dict):
            context["acceptance"] = time.monotonic()

    def _after(
        self,
        http_response: Any,
        parsed: Mapping[str, Any],
        model: Any,
        context: Mapping[str, Any],
        **_: Any,
    ) -> None:
        if self._heard is None:
            return
        error = parsed.get("Error", {})
        began = context.get("acceptance", time.monotonic())
        self._heard.append(
            Answer(
                self.name,
                f"{model.service_model.endpoint_prefix}:{model.name}",
                round(time.monotonic() - began, 3),
                http_response.status_code,
                str(error.get("Code", "")),
                self._mask.text(str(error.get("Message", ""))),
                self._mask.value(parsed),
            )
        )


def unless_absent(answer: Any, absent: str, about: str) -> Any | None:
    """An answer; None if AWS says that there is no such thing."""
    if not isinstance(answer, Refused):
        return answer
    if answer.code == absent:
        return None
    raise PortwayError(f"{about}: it cannot be looked at", why=str(answer))
