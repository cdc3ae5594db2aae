"""A look at the nodes of an inventory: connects to them and changes nothing.

No lease is needed for that, and a run may be going on meanwhile. Where AWS does not
answer, the nodes are those that it named last.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

import gevent
from pyinfra.api.config import Config
from pyinfra.api.host import Host
from pyinfra.api.inventory import Inventory
from pyinfra.api.state import State
from pyinfra.context import ctx_inventory, ctx_state

from portway.aws.discovery import Need
from portway.aws.reading import read_stack
from portway.errors import PortwayError
from portway.model.build import build_cluster
from portway.model.clients import read_clients
from portway.model.cluster import Cluster
from portway.model.settings import Settings, settings_from
from portway.model.stack import Node, Stack
from portway.ops.connector import connect_as_nodes
from portway.ops.pyinfra_errors import as_portway_error
from portway.ops.reading import readings
from portway.ops.remote import NotReached, Question, ask_together
from portway.run.inventory import READER, current_run
from portway.run.last_stack import recall, remember
from portway.run.trust import reached

AWS_SECONDS = 6.0
"""What AWS may take to describe a stack."""
NODE_SECONDS = 10.0
"""What a node may take to be connected to and to answer: one whose HAProxy hangs needs
most of it to say so."""


@dataclass
class Nodes:
    """The nodes of one inventory, as they are looked at."""

    stack: Stack
    aws_problem: str
    """Why the stack is not as AWS describes it now; empty if it is."""
    stack_read_at: datetime
    cluster: Cluster
    hosts: dict[str, Host]
    """By the names of the nodes."""
    reread: Callable[[], None] = field(repr=False)
    """Read the stack and the clients file again. Nodes that are new are not asked."""

    def ask(self, questions: Callable[[Node], Sequence[Question]]) -> dict[str, Any]:
        """The answers of every node to its questions, or why there are none, by name.

        All are asked side by side; one that is dead holds the others for a few seconds
        at most.
        """

        def ask(node: Node) -> list[Any] | PortwayError:
            try:
                return self._ask(node, questions(node))
            except PortwayError as error:
                return error

        started = {node.name: gevent.spawn(ask, node) for node in self.stack.nodes}
        gevent.joinall(started.values())
        return {name: greenlet.get() for name, greenlet in started.items()}

    def _ask(self, node: Node, questions: Sequence[Question]) -> list[Any]:
        if node.is_stopped:
            raise NotReached(f"{node.name}: its instance is stopped")
        host = self.hosts.get(node.name)
        if host is None:
            raise NotReached(f"{node.name}: it is new; look again")
        try:
            with (
                as_portway_error(node.name, NotReached),
                _within(NODE_SECONDS, f"{node.name}: it does not answer"),
            ):
                return ask_together(host, questions)
        except NotReached:
            _disconnect(host)  # the next look connects again
            raise


@contextmanager
def nodes_of_inventory(
    inventory: Callable[[], Inventory], config: Config
) -> Iterator[Nodes]:
    """The nodes of the inventory that a function reads.

    ``config`` is pyinfra's, which says how to become root on them.
    """
    state = State()
    with ctx_state.use(state):
        reader = _Reader()
        readings().keep(READER, reader.read)
        hosts = inventory()
        state.init(hosts, config)
        with ctx_inventory.use(hosts):
            run = current_run()
            found = reached(run.stack, hosts)
            connect_as_nodes(state, [node.host for node in found])
            for node in found:
                vars(node.host.connector)["waits"] = False
            data = found[0].host.data.dict()  # type: ignore[no-untyped-call]
            settings = settings_from(data)
            nodes = Nodes(
                stack=run.stack,
                aws_problem=reader.problem,
                stack_read_at=reader.read_at,
                cluster=run.cluster(settings),
                hosts={node.node.name: node.host for node in found},
                reread=lambda: None,
            )
            nodes.reread = partial(_reread, nodes, reader, run.asked, settings)
            try:
                yield nodes
            finally:
                for node in found:
                    _disconnect(node.host)


def _disconnect(host: Host) -> None:
    """End the connection, if there is one; a dead one may not be waited for."""
    with suppress(Exception), gevent.Timeout(1, False):
        if host.connected:
            host.connected = False
            host.disconnect()


@contextmanager
def _within(seconds: float, what: str) -> Iterator[None]:
    """Raise NotReached when the time is up.

    Not where it is up: boto3 and paramiko take any error for one of the network, and
    try again.
    """
    with gevent.Timeout(seconds) as timeout:
        try:
            yield
        except gevent.Timeout as error:
            if error is not timeout:
                raise
            raise NotReached(f"{what} within {seconds:.0f} s") from None


def _reread(
    nodes: Nodes, reader: "_Reader", asked: tuple[str, str], settings: Settings
) -> None:
    nodes.stack = reader.read(*asked)
    nodes.aws_problem, nodes.stack_read_at = reader.problem, reader.read_at
    clients = read_clients(settings.clients_path)
    nodes.cluster = build_cluster(nodes.stack, settings, clients)


class _Reader:
    """Reads a stack as it is now, without waiting for anything."""

    def __init__(self) -> None:
        self.problem = ""
        self.read_at = datetime.now(UTC)

    def read(self, name: str, region: str) -> Stack:
        """The stack; the one that was read last if AWS does not say."""
        asked = name, region
        try:
            stack = self._read(name, region)
        except PortwayError as error:
            known = recall(asked)
            if known is None:
                raise
            stack, self.read_at = known
            self.problem = error.message
        else:
            self.problem, self.read_at = "", datetime.now(UTC)
            remember(stack, asked)
        return stack

    @staticmethod
    def _read(name: str, region: str) -> Stack:
        progress: list[str] = []
        with _within(AWS_SECONDS, "AWS does not answer"):
            return read_stack(
                name,
                region,
                need=Need.NOTHING,
                wait_seconds=0,
                progress=progress.append,
            )
