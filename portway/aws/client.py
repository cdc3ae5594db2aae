"""Calls to AWS by name: one session per region, all pages, translated errors."""

from collections.abc import Callable
from functools import cache
from threading import Lock, Thread
from typing import Any, TypeVar

from botocore.config import Config
from botocore.loaders import Loader
from botocore.session import Session

from portway.aws.errors import Call, translate_aws_errors
from portway.aws.instances import Answer
from portway.errors import PortwayError

CONFIG = Config(
    connect_timeout=5,
    read_timeout=20,
    retries={"mode": "standard", "total_max_attempts": 4},
)


T = TypeVar("T")


@cache
def _descriptions() -> Loader:
    """The descriptions of AWS's services: reading EC2's takes 0.2 s of a processor."""
    return Loader()


class Aws:
    """AWS in one region: calls by name, every failure translated."""

    def __init__(self, region: str) -> None:
        if not region:
            raise PortwayError(
                "no AWS region is set",
                do="set AWS_REGION, or the region at the top of the inventory",
            )
        self.region = region
        self._session: Any = None
        self._clients: dict[str, Any] = {}
        self._making = Lock()

    def call(self, service: str, operation: str, about: str, **arguments: Any) -> Any:
        """Make one call and return its answer."""
        with translate_aws_errors(self._describe(service, operation, about)):
            return getattr(self._client(service), operation)(**arguments)

    def read(
        self, service: str, operation: str, key: str, about: str, **arguments: Any
    ) -> list[Answer]:
        """Read what is under ``key`` in the answer, over all its pages."""
        with translate_aws_errors(self._describe(service, operation, about)):
            client = self._client(service)
            if not client.can_paginate(operation):
                return list(getattr(client, operation)(**arguments)[key])
            pages = client.get_paginator(operation).paginate(**arguments)
            return [item for page in pages for item in page[key]]

    def _describe(self, service: str, operation: str, about: str) -> Call:
        name = "".join(word.capitalize() for word in operation.split("_"))
        name = name.replace("Db", "DB")
        return Call(f"{service}:{name}", about, self.region)

    def at_once(self, *asks: Callable[[], T]) -> list[T]:
        """The answers to several questions, asked side by side; or the first error.

        Whoever is interrupted meanwhile, or has no more time, does not wait for them.
        """
        answers: dict[int, T] = {}
        errors: dict[int, BaseException] = {}

        def answer(number: int, ask: Callable[[], T]) -> None:
            try:
                answers[number] = ask()
            except BaseException as error:
                errors[number] = error

        threads = [
            Thread(target=answer, args=one, daemon=True) for one in enumerate(asks)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[min(errors)]
        return [answers[number] for number in range(len(asks))]

    def endpoint(self, service: str) -> str:
        """The URL that calls to a service go to."""
        return str(self._client(service).meta.endpoint_url)

    def _client(self, service: str) -> Any:
        with self._making:  # sessions are for one thread; clients are for all
            return self._made(service)

    def _made(self, service: str) -> Any:
        if service not in self._clients:
            if self._session is None:
                self._session = Session()
                self._session.register_component("data_loader", _descriptions())
            self._clients[service] = self._session.create_client(
                service, region_name=self.region, config=CONFIG
            )
        return self._clients[service]
