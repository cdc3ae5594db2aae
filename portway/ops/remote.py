"""Commands and facts on any node of the run, from inside an operation.

pyinfra's own commands run for one host at a time; a rolling change also talks to the
load balancers. Whoever writes a script quotes its words, and secrets travel on standard
input.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import gevent
from pyinfra import inventory, state
from pyinfra.api import FactBase, StringCommand
from pyinfra.api.arguments import CONNECTOR_ARGUMENT_KEYS, pop_global_arguments
from pyinfra.api.exceptions import NoHostError
from pyinfra.api.host import Host

from portway.errors import PortwayError
from portway.model.stack import Node
from portway.ops.connector import is_own
from portway.ops.fence import fenced
from portway.ops.framing import NodeFact, framed, parts, unframed
from portway.ops.pyinfra_errors import as_portway_error
from portway.ops.way import INSTANCE, REGION

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class HiddenInput:
    """A secret line for ``_stdin`` of a fact: pyinfra logs arguments, also that one."""

    text: str = field(repr=False)

    def __iter__(self) -> Iterator[str]:
        """As pyinfra wants it."""
        return iter(self.readlines())

    def readlines(self) -> list[str]:
        """What pyinfra writes, as often as it tries."""
        return [self.text]


class NotReached(PortwayError):  # noqa: N818 - a state, not an error of the program
    """The node did not answer, or the connection to it broke."""


ANSWER_SECONDS = 120
"""What a fact may take. Packets that are lost would hold a run for 15 minutes."""
SHOWN = 20
"""How many lines of a failed command an error repeats."""


def node_of_run(name: str) -> Host:
    """A node of this run's inventory by name; PortwayError if it is not in it."""
    try:
        return inventory.get_host(name)
    except NoHostError:
        raise PortwayError(
            f"{name} is not in this inventory",
            do="use one with the load balancers and the "
            "application nodes, such as inventories/prod.py",
        ) from None


def node_beside(near: Host, name: str, data: dict[str, str], groups: list[str]) -> Host:
    """A node that is not in the inventory of a run, to ask it when that is needed.

    ``near`` is a node that is; ``data`` is where the other one is reached. NotReached
    on a node that deploys to itself: it connects to no other.
    """
    if is_own(near):
        raise NotReached(f"{name}: {near.name} deploys to itself and asks no other")
    found = Host(name, near.inventory, groups, near.connector_cls)
    near.inventory.host_data[name] = {REGION: near.data.get(REGION, "")} | data
    found.init(near.state)
    return found


def node_of_stack(near: Host, node: Node, group: str) -> Host:
    """A node of the stack, whether this run's inventory has it or not."""
    try:
        return node_of_run(node.name)
    except PortwayError:
        roles = ("app_nodes", "load_balancers")
        groups = [name for name in near.groups if name not in roles]
        data = {"ssh_hostname": node.address, INSTANCE: node.instance_id}
        return node_beside(near, node.name, data, [*groups, group])


def is_lost(name: str) -> bool:
    """Whether this run goes on without a node, which it could not connect to."""
    return any(_is_lost(node) for node in inventory if node.name == name)


def is_silent(name: str) -> bool:
    """Whether nothing answered when this run tried a node, at whatever time.

    ``--limit`` may leave it out of those that the run connects to at first.
    """
    return any(
        _is_lost(node)
        or (getattr(node.connector, "is_silent", False) and not node.connected)
        for node in inventory
        if node.name == name
    )


def _is_lost(node: Host) -> bool:
    return node in node.state.failed_hosts and not node.connected


def _refuse_lost(node: Host) -> None:
    """NotReached at once for a node that is lost: trying again would take its time."""
    if _is_lost(node):
        raise NotReached(f"{node.name}: it could not be connected to")


def ask(node: Host, fact: type[FactBase[T]], **arguments: Any) -> T:
    """A fact of a node; PortwayError if the node cannot be asked."""
    _refuse_lost(node)
    with as_portway_error(node.name), gevent.Timeout(ANSWER_SECONDS, _late(node)):
        answer: T = node.get_fact(fact, **arguments)
    return answer


def _late(node: Host) -> PortwayError:
    return NotReached(f"{node.name} does not answer within {ANSWER_SECONDS} s")


def run(node: Host, script: str, stdin: str | None = None) -> list[str]:
    """Run a script on a node and return what it printed.

    Raises PortwayError, with the last lines that the script printed, if it fails, and
    NotReached if the node does not answer. Fails if the run has lost its lease there.
    """
    return run_without_lease(node, fenced(node.name, script), stdin)


def run_without_lease(node: Host, script: str, stdin: str | None = None) -> list[str]:
    """The same, whoever has the lease: for scripts that change nothing of Portway's."""
    return unframed(_printed(node, framed(script), stdin))


Question = tuple[type[NodeFact[Any]], dict[str, Any]]
"""A fact, and the arguments of its command."""


def ask_together(node: Host, questions: Sequence[Question]) -> list[Any]:
    """Several facts of a node, in one command; NotReached if it does not answer.

    Their commands must be such that never fail.
    """
    facts = [(fact(), arguments) for fact, arguments in questions]
    scripts = (f"( {fact.command(**arguments)} )" for fact, arguments in facts)
    with gevent.Timeout(ANSWER_SECONDS, _late(node)):
        printed = parts(_printed(node, "\n".join(scripts)))
    if len(printed) != len(facts):
        raise NotReached(f"{node.name}: it broke off its answer")
    pairs = zip(facts, printed, strict=True)
    return [fact.process(lines) for (fact, _), lines in pairs]


def _printed(node: Host, command: str, stdin: str | None = None) -> list[str]:
    """All lines that a command prints, those of the node's login shell too."""
    _refuse_lost(node)
    with as_portway_error(f"{node.name}: the connection broke", NotReached):
        arguments, _ = pop_global_arguments(state, node, {})
        passed: dict[str, Any] = {
            key: value
            for key, value in arguments.items()
            if key in CONNECTOR_ARGUMENT_KEYS
        }
        if not node.connected:
            node.connect("to run a command", show_errors=False, raise_exceptions=True)
        done, output = node.run_shell_command(
            StringCommand(command),
            print_output=state.print_output,
            print_input=state.print_input,
            **passed | ({"_stdin": stdin} if stdin is not None else {}),
        )
    if not done:
        said = "; ".join(output.stderr_lines[-SHOWN:]) or "a command failed"
        raise PortwayError(f"{node.name}: {said}")
    lines: list[str] = output.stdout_lines
    return lines
