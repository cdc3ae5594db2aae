"""What passes: the network is away, AWS is busy, a session has ended.

A computer sleeps, a Wi-Fi drops, an account is throttled. None of that may leave
anything in the account that costs money.
"""

import os
from collections.abc import Callable
from typing import TypeVar

from acceptance.account.calls import Caller
from acceptance.terminal.waiting import say, wait_for
from portway.aws.errors import EXPIRED, NO_CREDENTIALS, UNREACHABLE, AwsCallError
from portway.contract.address import THROTTLED
from portway.errors import PortwayError

REACH_SECONDS = 1800
BUSY = (
    "500",
    "502",
    "504",
    "InternalError",
    "InternalFailure",
    "InternalServerError",
    "RequestTimeout",
    "RequestTimeoutException",
    "ServiceUnavailable",
    "ServiceUnavailableException",
    "Unavailable",
)
"""What AWS's services answer when something is wrong with them."""

T = TypeVar("T")


def cannot_be_renewed() -> bool:
    """Whether the credentials are temporary ones that nobody can renew from outside."""
    return bool(os.environ.get("AWS_SESSION_TOKEN"))


def passes(error: Exception) -> bool:
    """Whether the same call may be answered later."""
    if isinstance(error, AwsCallError):
        if error.code in EXPIRED:
            return not cannot_be_renewed()
        return error.code in THROTTLED or error.code in BUSY
    if isinstance(error.__cause__, NO_CREDENTIALS):  # as a rule a login that ended
        return not cannot_be_renewed()
    return isinstance(error.__cause__, UNREACHABLE)


def patiently(ask: Callable[[], T]) -> T | None:
    """An answer; None if there is none now, and may be one later."""
    try:
        return ask()
    except PortwayError as error:
        if not passes(error):
            raise
        say(f"  {error.what}")
    return None


def wait_for_aws(caller: Caller, seconds: float = REACH_SECONDS) -> None:
    """Wait until AWS answers this caller; not for ever, and not if it says no."""
    last = ""

    def look() -> bool | None:
        nonlocal last
        try:
            caller.call("sts", "get_caller_identity", "these credentials")
        except PortwayError as error:
            last = error.what
            if not passes(error):
                return True  # each call says it for itself
            caller.forget()  # the user may have logged in again
            return None
        return True

    try:
        wait_for("AWS to answer", look, seconds, now=lambda: last)
    except PortwayError as error:
        say(f"  {error.what}: {last}")
