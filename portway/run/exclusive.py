"""One run at a time, and none from an older checkout unless somebody insists."""

import getpass
import hashlib
import os
import socket
import time
from dataclasses import replace
from functools import partial

import click
from pyinfra import logger
from pyinfra.context import ctx_state

from portway.errors import PortwayError
from portway.model.cluster import Cluster
from portway.model.deployed import Deployed, lacks_uncommitted, why_back
from portway.model.runs import FAILED, SUCCEEDED, RunReport, kept_changes
from portway.ops.findings import is_look, is_state
from portway.ops.holding import Holding, Records
from portway.ops.lease import Lease
from portway.ops.pyinfra_errors import for_pyinfra
from portway.ops.reading import once_per_run
from portway.run.checkout import contains
from portway.run.command_line import Invocation, one_line
from portway.run.inventory import current_run
from portway.run.pulled import is_pulled


@for_pyinfra
def one_run_at_a_time(cluster: Cluster, *, configures: bool = True) -> None:
    """Have no other run change the nodes of this one, until this one is over.

    A deploy calls it first, for every host. With ``--dry`` it only says what is going
    on. A deploy that ``configures`` nothing cannot take a node back, and leaves its
    record as it is.
    """
    once_per_run("holding", lambda: _holding(cluster, configures)).begin(
        deploys=configures
    )


def _holding(cluster: Cluster, configures: bool) -> Holding:
    settings, run = cluster.settings, current_run()
    record = Deployed(
        checkout=run.checkout,
        clients_sha256=hashlib.sha256(settings.clients_path.read_bytes()).hexdigest(),
        settings_sha256=settings.sha256,
        deploys=run.invocation.deploys,
        who=_who(),
        when=int(time.time()),
        succeeded=False,
    )
    return Holding(
        ctx_state.get(),  # type: ignore[no-untyped-call]
        Lease(
            who=f"{record.who} (process {os.getpid()})",
            what=record.deploys,
            seconds=settings.lease_expiry,
            record=record.to_json() if configures else "",
        ),
        patience=settings.lease_wait,
        judge=GoingBack(record, run.invocation, insists=settings.go_back).judge,
        leaves=partial(_leaves, record),
    )


def _leaves(begun: Deployed, succeeded: bool, changes: list[str]) -> tuple[str, str]:
    """What was deployed, and the report of the run, at its end.

    A node runs by itself all day: only what has changed it, or failed, is reported.
    """
    deployed = replace(begun, when=int(time.time()), succeeded=succeeded)
    if is_pulled() and succeeded and not changes:
        return deployed.to_json(), ""
    kept, more = kept_changes([one_line(name) for name in changes])
    report = RunReport(
        who=begun.who,
        what=begun.deploys,
        began=begun.when,
        ended=int(time.time()),
        result=SUCCEEDED if succeeded else FAILED,
        checkout=begun.checkout,
        changes=kept,
        more=more,
    )
    return deployed.to_json(), report.to_json()


def _who() -> str:
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # an account without a name
        user = str(os.getuid())
    return one_line(f"{user}@{socket.gethostname()}")


class GoingBack:
    """What somebody has agreed to take back."""

    def __init__(
        self, ours: Deployed, invocation: Invocation, *, insists: bool
    ) -> None:
        self.ours = ours
        self._invocation, self._insists = invocation, insists
        self._agreed: set[str] = set()

    def judge(self, records: Records) -> None:
        """Ask before nodes are taken back; PortwayError if nobody can be asked."""
        found: dict[str, list[str]] = {}
        for name, text in sorted(records.items()):
            deployed = Deployed.from_json(text)
            if deployed and (why := self._why(deployed)):
                found.setdefault(f"{why}\n{deployed}", []).append(name)
        lines = [
            f"{', '.join(names)} would go back: {why}\n  there: {deployed}"
            for key, names in found.items()
            for why, _, deployed in [key.partition("\n")]
        ]
        if not lines or set(lines) <= self._agreed:
            return
        text = "\n".join([*lines, f"  here: {self.ours.checkout}"])
        if is_look():
            is_state("", text)
        if self._insists or self._invocation.is_dry:
            logger.warning(text)
        elif not self._invocation.can_ask or not self._agrees(text):
            raise PortwayError(
                text,
                do="bring this checkout up to date (git pull), or add "
                "--data go_back=true to go back",
            )
        self._agreed |= set(lines)

    def _why(self, found: Deployed) -> str:
        if lacks_uncommitted(self.ours, found):
            return "this checkout lacks what was deployed without being committed"
        return why_back(self.ours.checkout, found.checkout, contains)

    @staticmethod
    def _agrees(text: str) -> bool:
        logger.warning(text)
        click.echo("    Go back? yes or no [no]: ", nl=False, err=True)
        try:
            return input().strip().lower() == "yes"
        except EOFError:
            return False
