"""The role that runs are made with, and its sessions."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from acceptance.account.calls import Caller, Refused
from acceptance.account.identity import Run
from acceptance.terminal.masking import Mask
from acceptance.terminal.waiting import wait_for
from portway.aws.errors import DENIED
from portway.errors import PortwayError

GRANT_SECONDS = 180
SESSION_SECONDS = 3600
"""The longest that a role may be assumed for by another role."""
RENEW_SECONDS = 1200
"""A session is renewed when it is so old: a deploy may take the rest."""


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
