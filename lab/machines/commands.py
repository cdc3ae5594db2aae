"""Running a command as the operator, as a customer or on a host of the lab.

Each of these replaces this process by the command, so that its status, its signals
and its terminal are the command's own.
"""

import os
import shutil
import sys
from pathlib import Path
from typing import NoReturn

from lab.errors import LabError
from lab.ground import namespaces
from lab.machines import hosts
from lab.plan import facts, records
from lab.plan.names import OPERATOR, Lab


def environment(lab: Lab) -> dict[str, str]:
    """The operator's environment: what differs from the caller's own."""
    own = Path(sys.executable).parent
    path = os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
    return {
        **facts.operator_environment(lab),
        "PATH": f"{own}:{lab.home / 'bin'}:{path}",
    }


def run_as_operator(lab: Lab, command: list[str]) -> NoReturn:
    """Become a command of the operator's, in the current directory."""
    namespaces.enter(lab, OPERATOR)
    _become(command, {**os.environ, **environment(lab)})


def run_as_customer(lab: Lab, source: str | None, command: list[str]) -> NoReturn:
    """Become a command of a customer's."""
    thing, own = customer(source)
    namespaces.enter(lab, thing)
    _become(command, own)


def customer(source: str | None) -> tuple[str, dict[str, str]]:
    """Whose namespace a customer is in, and an environment without credentials."""
    by_address = {customer.address: customer.thing for customer in facts.CUSTOMERS}
    source = source or facts.CUSTOMERS[0].address
    if source not in by_address:
        raise LabError(
            f"no customer has the address {source}; they have {', '.join(by_address)}"
        )
    hidden = ("AWS_", "PORTWAY_")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(hidden)}
    own = Path(sys.executable).parent
    kept["PATH"] = f"{own}:{kept.get('PATH', '/usr/bin:/bin')}"
    return by_address[source], kept


def run_on_host(lab: Lab, node: str, command: list[str]) -> NoReturn:
    """Become a command that root runs on a host."""
    _become(on_host(lab, node, command), dict(os.environ))


def on_host(lab: Lab, node: str, command: list[str]) -> list[str]:
    """The command line that runs a command as root on a host."""
    known = {host.node: host for host in records.hosts(lab)}
    if node not in known:
        raise LabError(
            f"lab {lab.name} has no host {node!r}; "
            f"it has {', '.join(known) or 'none: bring it up'}"
        )
    return hosts.inside(lab, known[node], command)


def _become(command: list[str], environment: dict[str, str]) -> NoReturn:
    if not command:
        raise LabError("there is no command to run: give one after --")
    program = shutil.which(command[0], path=environment["PATH"])
    if program is None:
        raise LabError(f"there is no command {command[0]!r}")
    os.execve(program, command, environment)  # noqa: S606 - the user's own command
