"""A run that an application node makes of itself: it asks no other node.

It changes a process that serves only when it has its turn, which it takes in S3 and
gives back once it serves. Ports that the load balancers may still use stay open until
both tell that they serve with the configuration that goes with this one.
"""

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import gevent
from pyinfra import host, logger, state

from portway.application.facts import ApplicationHealth
from portway.application.own_service import doors_of
from portway.aws.progress import progress_reader
from portway.aws.releases import published_release
from portway.aws.turns import TurnRefused, Turns
from portway.contract.paths import DOORS
from portway.errors import PortwayError
from portway.load_balancers.pulled import SERVED, WAITED
from portway.load_balancers.routes import FoundRoutes
from portway.model.cluster import Cluster
from portway.model.progress import Progress, Step
from portway.model.turn import EXPIRES_SECONDS, RENEWED_SECONDS
from portway.ops.connector import is_own
from portway.ops.pyinfra_errors import Commands, failure, operation
from portway.ops.remote import ask, run
from portway.render.application import Application
from portway.render.load_balancer import fingerprint

PATIENCE_SECONDS = 600.0
"""How long a run waits for its turn. Others are drained meanwhile."""
PAUSE_SECONDS = 5.0
TELL_EVERY = 30.0


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


@contextmanager
def its_turn(cluster: Cluster, wanted: Application) -> Iterator[Callable[[], None]]:
    """Have the current host's turn; what it gives must be called before the change.

    That raises PortwayError if the turn was lost, and has a failure from then on count
    as one of what the node is given.
    """
    stack, node = cluster.stack, wanted.instance
    published = published_release(stack.region, stack.name)
    if published is None:
        raise PortwayError(
            f"{node.name} cannot have its turn: no release is published",
            do="publish one: portway release publish",
        )
    turns = Turns(
        stack.region,
        published.bucket,
        cluster.settings.app_batch,
        instance=node.instance_id,
        node=node.name,
    )
    _wait_for(turns, node.name, _stands_for(cluster, wanted))
    confirmed, changes = time.monotonic(), False

    def keep() -> None:
        nonlocal confirmed
        while True:
            gevent.sleep(RENEWED_SECONDS)
            began = time.monotonic()
            try:
                if not turns.renew():
                    return
            except PortwayError as error:  # AWS may answer the next time
                logger.warning(f"{host.print_prefix}its turn: {error.message}")
            else:
                confirmed = began

    def must_be_ours() -> None:
        nonlocal changes
        if time.monotonic() - confirmed >= EXPIRES_SECONDS - RENEWED_SECONDS:
            raise PortwayError(
                f"{node.name} has lost its turn: it could not renew it in time",
                do="nothing: the next run takes another one",
            )
        changes = True

    keeping = gevent.spawn(keep)
    try:
        yield must_be_ours
    except PortwayError:
        keeping.kill()
        with suppress(PortwayError):  # it expires
            if changes:
                turns.fail()
            else:
                turns.end(served=False)
        raise
    else:
        keeping.kill()
        turns.end(served=True)
    finally:
        keeping.kill()


def _wait_for(turns: Turns, node: str, wanted: str) -> None:
    """Take a turn. PortwayError after a while, or if it makes no sense to wait."""
    began, told = time.monotonic(), float("-inf")
    while True:
        try:
            why = turns.take(wanted)
        except TurnRefused as refused:
            run(host, f"mkdir -p {WAITED.parent} && touch {WAITED}")
            raise PortwayError(
                f"{node} stays as it is: {refused.what}",
                do="see what the runs there say; publish another release, or have it "
                "tried there again: portway agent resume",
            ) from refused
        if not why:
            return
        now = time.monotonic()
        if now - began >= PATIENCE_SECONDS:
            run(host, f"mkdir -p {WAITED.parent} && touch {WAITED}")
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
    words = wanted.release.version, settings.sha256, clients
    return hashlib.sha256(" ".join(words).encode()).hexdigest()[:16]


@operation
def note_that_it_serves(cluster: Cluster, wanted: Application) -> Commands:
    """Leave a mark if the current host serves; fail a run of its own if it does not.

    And what it takes to let its streams end when the machine stops.
    """
    if not (state.is_executing and is_own(host)):
        return
    wrong = ask(
        host,
        ApplicationHealth,
        unit=wanted.unit,
        address=wanted.instance.address,
        check=cluster.health,
        ports=tuple(listener.port for listener in wanted.listeners),
    )
    if wrong:
        yield failure(f"{wanted.instance.name} does not serve", list(wrong))
        return
    doors = doors_of(cluster, (listener.port for listener in wanted.listeners))
    run(host, _KEEP, doors.to_json())
