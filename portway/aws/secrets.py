"""Secrets Manager: the fields of one secret."""

import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from portway.aws.client import Aws
from portway.aws.errors import AwsCallError
from portway.errors import PortwayError


def read_secret(region: str, secret_id: str) -> dict[str, str]:
    """The fields of a secret in Secrets Manager, such as username and password.

    The caller wraps the values so that they print as asterisks. Raises PortwayError,
    which names the secret and never quotes its content.
    """
    aws = Aws(region)
    about = f"secret {secret_id}"
    with _responses_unlogged():
        try:
            answer = aws.call(
                "secretsmanager", "get_secret_value", about, SecretId=secret_id
            )
        except AwsCallError as error:
            if error.code != "ResourceNotFoundException":
                raise
            raise PortwayError(
                f"{about}: there is no such secret in {region}",
                do="update the stack, or, if somebody deleted the secret, restore it:\n"
                f"  aws secretsmanager restore-secret --secret-id {secret_id}",
            ) from None
    try:
        fields = json.loads(answer.get("SecretString") or "")
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        raise PortwayError(
            f"{about}: its value is not a JSON object",
            do='give it one with the keys "username" and "password"',
        )
    return {key: value for key, value in fields.items() if isinstance(value, str)}


_one_at_a_time = threading.Lock()


@contextmanager
def _responses_unlogged() -> Iterator[None]:
    """Keep botocore from logging answers; at debug level it logs all of them.

    One reader at a time: the first to end would turn the log on again for the others.
    """
    logger = logging.getLogger("botocore")
    with _one_at_a_time:
        level = logger.level
        logger.setLevel(logging.INFO)
        try:
            yield
        finally:
            logger.setLevel(level)
