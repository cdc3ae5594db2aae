"""An application node that takes itself out of service in a run of its own.

It asks no load balancer: see ``portway.application.doors``. Before it goes, it asks the
other nodes whether they are well.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import gevent
from pyinfra import host, logger

from portway.application.doors import CHANGING, FORGET, Doorkeeper, Doors
from portway.application.facts import PeersHealth
from portway.contract.paths import OUT_OF_SERVICE
from portway.errors import PortwayError
from portway.model.cluster import Cluster
from portway.model.pulled import DID_NOT_SERVE, WAITED
from portway.model.stack import Node, Role
from portway.ops.remote import ask, run


def doors_of(cluster: Cluster, node: Node, ports: Iterable[int]) -> Doors:
    """The doors of an application node with these ports for clients."""
    settings, pair = cluster.settings, cluster.load_balancers
    # Each backend of HAProxy makes health checks of its own.
    backends = sum(
        any(server.address == node.address for server in backend.servers)
        for backend in cluster.backends
    )
    return Doors(
        {lb.name: lb.node.address for lb in pair if not lb.node.is_stopped},
        cluster.health.port,
        tuple(sorted(set(ports))),
        settings.health_fall,
        settings.health_rise,
        max(1, backends),
        settings.health_interval,
        settings.drain_timeout,
    )


@dataclass(frozen=True, slots=True)
class ByItself:
    """Takes the current host out of service, and puts it back."""

    cluster: Cluster
    node: Node
    ports: frozenset[int]
    """Those that its process has open, or is to have."""
    runs: bool
    """Whether it runs the application."""
    is_well: bool
    """Whether it is healthy now, as it is."""
    may_begin: Callable[[], None] = lambda: None
    """Called before it is changed; PortwayError if that must not be any more."""
    failed: Callable[[], None] = lambda: None
    """Called if it does not serve with what it was given."""

    def drain(self) -> None:
        """Take it out of service, and let its streams end.

        Those that have not ended within ``drain_timeout`` are left, to end with the
        process. PortwayError, and the node goes on, if it is the only one that is well.
        """
        if not self.runs:
            return
        if self.is_well:
            with waits_for_others():
                _refuse_if_alone(self.cluster, self.node)
        try:
            self._doorkeeper.close()
        except PortwayError:
            let_everybody_in()
            raise

    def begin(self) -> None:
        """Note that the node is about to be changed. PortwayError if it must not be."""
        self.may_begin()
        run(host, CHANGING)

    def note_failure(self) -> None:
        """Leave a mark for whoever started this run."""
        self.failed()
        run(host, f"mkdir -p {DID_NOT_SERVE.parent} && touch {DID_NOT_SERVE}")

    def put_back(self) -> None:
        """Let the load balancers use it, and wait for them; nothing if it is not out.

        It must be healthy.
        """
        if run(host, f"ls {OUT_OF_SERVICE} 2>/dev/null || :"):
            self._doorkeeper.open()

    @property
    def _doorkeeper(self) -> Doorkeeper:
        doors = doors_of(self.cluster, self.node, self.ports)
        return Doorkeeper(doors, partial(run, host), _tell, gevent.sleep)


@contextmanager
def waits_for_others() -> Iterator[None]:
    """Leave a mark for whoever started this run, if this fails.

    It says nothing of what the node is given.
    """
    try:
        yield
    except PortwayError:
        run(host, f"mkdir -p {WAITED.parent} && touch {WAITED}")
        raise


def _tell(line: str) -> None:
    logger.info(f"{host.print_prefix}{line}")


def let_everybody_in() -> None:
    """Have the packet filter refuse nobody on the current host."""
    run(host, FORGET)


def _refuse_if_alone(cluster: Cluster, node: Node) -> None:
    """Leave the only node alone that is well, if there should be others."""
    others = [
        other
        for other in cluster.stack.with_role(Role.APPLICATION)
        if other.name != node.name
    ]
    if not others:
        logger.warning(
            f"{host.print_prefix}there is no other application node: clients are "
            "refused until this one is back"
        )
        return
    asked = {other.address: other for other in others}
    well = ask(host, PeersHealth, addresses=tuple(asked), check=cluster.health)
    if not well:
        names = ", ".join(other.name for other in others)
        raise PortwayError(
            f"{node.name} stays as it is: {names} cannot be seen to be well",
            why="nobody would serve while it is changed, or longer if it fails",
            do=f"bring {names} back; or deploy with pyinfra, which asks the load "
            "balancers",
        )
