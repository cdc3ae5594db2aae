"""One run that a node makes of itself: the same deploys, against this machine."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from portway.errors import PortwayError
from portway.model.pulled import ON_ITSELF
from portway.model.stack import Role

DEPLOYS = {Role.LOAD_BALANCER: "deploys/lb.py", Role.APPLICATION: "deploys/app.py"}
INSTALL = "deploys/agent.py"


def run(inventory: str, data: Sequence[str], deploy: str) -> int:
    """Deploy to this machine, as a node of an inventory's stack; pyinfra's exit status.

    ``data`` are settings as pyinfra's ``--data`` gives them. What pyinfra prints goes
    to standard error. It is told of SIGTERM and ends its run as it does on Ctrl-C,
    which a terminal tells it itself.
    """
    words = [word for setting in data for word in ("--data", setting)]
    process = subprocess.Popen(  # noqa: S603 - the words are ours, and pyinfra's own
        [str(_pyinfra()), "-y", inventory, deploy, *words],
        env=os.environ | {ON_ITSELF: "yes"},
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
    )
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    signal.signal(signal.SIGINT, lambda *_: None)
    return process.wait()


def _pyinfra() -> Path:
    """The pyinfra of this release, or of this virtual environment."""
    program = Path(sys.argv[0]).resolve().with_name("pyinfra")
    if not program.is_file():
        raise PortwayError(
            f"there is no {program}",
            do="call the portway of a release, or of a virtual environment",
        )
    return program
