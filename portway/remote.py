"""Commands on any node of the run, from inside an operation that is being executed.

What pyinfra's own commands do is run for one host at a time; a rolling change also
tells the load balancers. Every word of a script is quoted by whoever wrote it, and
secrets travel on standard input.
"""

from typing import Any

from paramiko import SSHException
from pyinfra import inventory, state
from pyinfra.api import StringCommand
from pyinfra.api.arguments import CONNECTOR_ARGUMENT_KEYS, pop_global_arguments
from pyinfra.api.exceptions import NoHostError
from pyinfra.api.host import Host

from portway.errors import PortwayError

SHOWN = 20
"""How many lines of a failed command an error repeats."""


def node_of_run(name: str) -> Host:
    """A node of this run's inventory by name; PortwayError if it is not in there."""
    try:
        return inventory.get_host(name)
    except NoHostError:
        raise PortwayError(
            f"this inventory does not hold {name}; use one with the load balancers and "
            "the application nodes, such as inventories/prod.py"
        ) from None


def run(node: Host, script: str, stdin: str | None = None) -> list[str]:
    """Run a script on a node and return what it printed.

    Raises PortwayError, with the last lines that the script wrote, if it fails.
    """
    arguments, _ = pop_global_arguments(state, node, {})
    passed: dict[str, Any] = {
        key: value for key, value in arguments.items() if key in CONNECTOR_ARGUMENT_KEYS
    }
    if not node.connected:
        node.connect(reason="to run a command", raise_exceptions=True)
    try:
        done, output = node.run_shell_command(
            StringCommand(script),
            print_output=state.print_output,
            print_input=state.print_input,
            **passed | ({"_stdin": stdin} if stdin is not None else {}),
        )
    except (OSError, SSHException) as error:
        raise PortwayError(f"{node.name}: the connection broke: {error}") from error
    if not done:
        told = "; ".join(output.stderr_lines[-SHOWN:]) or "a command failed"
        raise PortwayError(f"{node.name}: {told}")
    return list(output.stdout_lines)
