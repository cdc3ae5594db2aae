"""What a scenario acts on: the lab, its pair, and time that passes until something is.

Nothing here waits blindly, but where a fault shall last for so many seconds.
"""

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.errors import LabError
from lab.failover.pair import Pair
from lab.faults import interface as faults
from lab.ground import processes
from lab.plan import records
from lab.plan.names import Lab
from lab.plan.project import PROJECT
from lab.plan.records import Host

PYINFRA = str(Path(sys.executable).with_name("pyinfra"))

LOOK_SECONDS = 0.25
"""Between two looks at a condition."""

MOVE_SECONDS = 15.0
"""The longest that anyone waits for the address to move."""


@dataclass(slots=True)
class World:
    """The lab while one scenario lasts."""

    lab: Lab
    pair: Pair
    master: str
    """The master of record when the scenario began."""
    backup: str
    notes: dict[str, Any] = field(default_factory=dict)
    """What a scenario's parts tell each other."""

    @property
    def kind(self) -> str:
        """The kind of the address."""
        return self.pair.address.kind

    @property
    def applications(self) -> list[Host]:
        """The application's hosts."""
        return [h for h in records.hosts(self.lab) if h.role == "application"]

    def until(self, condition: Callable[[], bool], seconds: float, what: str) -> None:
        """Wait for a condition; LabError if it takes too long."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise LabError(f"not within {seconds:.0f} s: {what}")
            time.sleep(LOOK_SECONDS)

    def until_held_by(self, node: str, seconds: float = MOVE_SECONDS) -> None:
        """Wait until AWS gives the address to a node."""
        what = f"in AWS the address points to {node}"
        self.until(lambda: self.pair.holder() == node, seconds, what)

    def until_settled(self, seconds: float) -> None:
        """Wait until nothing is wrong; LabError with what is when the time is up."""
        deadline = time.monotonic() + seconds
        while trouble := self.pair.unsettled():
            if time.monotonic() > deadline:
                raise LabError(f"not settled within {seconds:.0f} s: {trouble}")
            time.sleep(LOOK_SECONDS)

    def hold(self, seconds: float) -> None:
        """Let a fault last."""
        time.sleep(seconds)

    def boots(self, *nodes: str) -> dict[str, int | None]:
        """The init processes of hosts, which tell one boot from the next."""
        return {n: processes.init_of(processes.cgroup(self.lab, n)) for n in nodes}

    def reboot(self, *nodes: str) -> None:
        """Have hosts reboot; ``until_rebooted`` waits for the end of it."""
        self.notes["boots"] = self.boots(*nodes)
        for node in nodes:
            faults.reboot(self.lab, node)

    def until_rebooted(self) -> None:
        """Wait until every host that was rebooted has a new init process."""
        before = self.notes["boots"]

        def rebooted() -> bool:
            now = self.boots(*before)
            return all(now[n] not in (None, before[n]) for n in before)

        self.until(rebooted, 60, f"{' and '.join(before)} have rebooted")


def deploy(
    lab: Lab, name: str, *options: str, project: Path = PROJECT
) -> subprocess.CompletedProcess[str]:
    """Run a deploy as the operator; whatever its status."""
    words = [PYINFRA, "inventories/lab.py", f"deploys/{name}.py", "-y", *options]
    return command(lab, "run", "--", "env", "-C", str(project), *words)


def command(lab: Lab, name: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run one of the lab's own commands, as anyone would."""
    return subprocess.run(  # noqa: S603 - the lab's own command line
        [sys.executable, "-m", "lab", name, "--name", lab.name, *words],
        cwd=PROJECT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def must(done: subprocess.CompletedProcess[str], what: str) -> None:
    """Raise LabError with the end of a command's output if it failed."""
    if done.returncode != 0:
        words = " / ".join(done.stdout.strip().splitlines()[-3:])
        raise LabError(f"{what} ended with status {done.returncode}: {words}")
