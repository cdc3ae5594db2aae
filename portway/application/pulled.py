"""A run that an application node makes of itself: it asks no other node.

It changes a process that serves only when it has its turn, which it takes in S3 and
gives back once it serves. Ports that the load balancers may still use stay open until
both tell that they serve with the configuration that goes with this one.
"""

import hashlib
import os
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import gevent
from pyinfra import host, logger, state

from portway.application.facts import ApplicationHealth
from portway.application.own_service import doors_of, waits_for_others
from portway.aws.progress import progress_reader
from portway.aws.releases import published_release
from portway.aws.turns import TurnRefused, Turns
from portway.contract.paths import DOORS, FAILED
from portway.errors import PortwayError
from portway.load_balancers.routes import FoundRoutes
from portway.model.cluster import Cluster
from portway.model.progress import Progress, Step
from portway.model.pulled import GOES_BACK, SERVED
from portway.model.stack import Node, Role
from portway.model.turn import EXPIRES_SECONDS, RENEWED_SECONDS
from portway.ops.connector import is_own
from portway.ops.pyinfra_errors import Commands, failure, operation
from portway.ops.remote import ask, run
from portway.render.application import Application
from portway.render.load_balancer import fingerprint

PATIENCE_SECONDS = 45.0
"""How long a run waits for its turn; the next one goes by what AWS says then."""
PAUSE_SECONDS = 5.0
TELL_EVERY = 15.0


_KEEP = f"""
umask 022
mkdir -p {DOORS.parent} {SERVED.parent} && cat >{DOORS}.new &&
    {{ cmp -s {DOORS}.new {DOORS} || mv {DOORS}.new {DOORS}; }} &&
    rm -f {DOORS}.new && touch {SERVED}
"""


def own_routes(cluster: Cluster) -> dict[str, FoundRoutes]:
    """Where each load balancer sends its clients, as far as it tells.

    One that serves with the configuration of this release sends them where that says,
    and nothing is known of another one.
    """
    told = progress_reader(cluster.stack)()
    serves = Progress(Step.SERVES, fingerprint(cluster))
    has_switched = {
        name for name, one in told.items() if one is not None and one.progress == serves
    }
    return {
        lb.name: FoundRoutes(
            is_in_force=lb.name in has_switched, is_left_out=lb.name not in has_switched
        )
        for lb in cluster.load_balancers
        if lb.name in told
    }


class OnesTurn:
    """The current host's turn, which others respect while it is renewed."""

    def __init__(self, turns: Turns, node: str) -> None:
        self._turns, self._node = turns, node
        self._prefix = host.print_prefix  # there is no host in another greenlet
        self._confirmed = time.monotonic()
        self.has_failed = False
        """Whether the node did not serve with what it was given."""

    def keep(self) -> None:
        """Renew it, for ever."""
        while True:
            gevent.sleep(RENEWED_SECONDS)
            began = time.monotonic()
            try:
                is_ours = self._turns.renew()
            except PortwayError as error:  # AWS may answer the next time
                logger.warning(f"{self._prefix}its turn: {error.message}")
            else:
                self._confirmed = began if is_ours else float("-inf")

    def must_be_ours(self) -> None:
        """PortwayError if others may have it by now."""
        late = EXPIRES_SECONDS - RENEWED_SECONDS
        if time.monotonic() - self._confirmed >= late:
            raise PortwayError(
                f"{self._node} has lost its turn: it could not renew it in time",
                do="nothing: the next run takes another one",
            )

    def note_failure(self) -> None:
        """Have the others not try what this node was given."""
        self.has_failed = True


@contextmanager
def its_turn(cluster: Cluster, wanted: Application) -> Iterator[OnesTurn]:
    """Have the current host's turn. PortwayError if that cannot be now."""
    node, given = wanted.instance, _stands_for(cluster, wanted)
    with waits_for_others():
        turns = _turns(cluster, node)
        others = {n.instance_id for n in cluster.stack.with_role(Role.APPLICATION)}
        _wait_for(turns, node.name, given, others)
    turn = OnesTurn(turns, node.name)
    keeping = gevent.spawn(turn.keep)
    try:
        yield turn
    finally:
        keeping.kill()
        try:
            if not turn.has_failed:
                turns.end()
            elif not os.environ.get(GOES_BACK):  # what it served with says nothing
                turns.fail()
                run(host, f"mkdir -p {FAILED.parent} && cat >{FAILED}", given)
        except PortwayError as error:  # it expires
            logger.warning(f"{host.print_prefix}its turn: {error.message}")


def _turns(cluster: Cluster, node: Node) -> Turns:
    """The turns of a node's stack. PortwayError while nothing says where they are."""
    stack = cluster.stack
    nodes = stack.with_role(Role.APPLICATION)
    published = published_release(stack.region, stack.name)
    if published is None:
        raise PortwayError(
            f"{node.name} cannot have its turn: no release is published",
            do="publish one: portway release publish",
        )
    return Turns(
        stack.region,
        published.bucket,
        min(cluster.settings.app_batch, max(1, len(nodes) - 1)),
        instance=node.instance_id,
        node=node.name,
    )


def _wait_for(turns: Turns, node: str, given: str, others: Collection[str]) -> None:
    """Take a turn. PortwayError after a while, or if it makes no sense to wait."""
    began, told = time.monotonic(), float("-inf")
    while True:
        try:
            why = turns.take(given, others)
        except TurnRefused as refused:
            raise PortwayError(
                f"{node} stays as it is: {refused.what}",
                do="see what the runs there say; publish another release, or have it "
                "tried there again: portway agent resume",
            ) from refused
        if not why:
            return
        now = time.monotonic()
        if now - began >= PATIENCE_SECONDS:
            raise PortwayError(
                f"{node} stays as it is until it has its turn: {why}",
                do="nothing: the next run waits again",
            )
        if now - told >= TELL_EVERY:
            told = now
            logger.info(f"{host.print_prefix}waiting for its turn: {why}")
        gevent.sleep(PAUSE_SECONDS)


def _stands_for(cluster: Cluster, wanted: Application) -> str:
    """Stands for what all nodes are given."""
    settings = cluster.settings
    clients = hashlib.sha256(settings.clients_path.read_bytes()).hexdigest()
    release = Path(__file__).resolve().parents[3].name  # of Portway and its settings
    words = release, wanted.release.version, settings.sha256, clients
    return hashlib.sha256(" ".join(words).encode()).hexdigest()[:16]


@operation
def note_that_it_serves(cluster: Cluster, wanted: Application) -> Commands:
    """Leave a mark if the current host serves; fail a run of its own if it does not.

    And what it takes to let its streams end when the machine stops.
    """
    if not (state.is_executing and is_own(host)):
        return
    node = wanted.instance
    wrong = ask(
        host,
        ApplicationHealth,
        unit=wanted.unit,
        address=node.address,
        check=cluster.health,
        ports=tuple(listener.port for listener in wanted.listeners),
    )
    if wrong:
        yield failure(f"{node.name} does not serve", list(wrong))
        return
    doors = doors_of(cluster, node, (i.port for i in wanted.listeners))
    failed = run(host, f"{_KEEP}cat {FAILED} 2>/dev/null || :", doors.to_json())
    if failed == [_stands_for(cluster, wanted)]:
        _turns(cluster, node).forgive(failed[0])
        run(host, f"rm -f {FAILED}")
