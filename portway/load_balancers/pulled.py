"""The order of a pair whose nodes deploy to themselves, and cannot ask each other.

The standby first, as in a run for both: each node tells in a tag of its own instance
what it has begun with and what it serves with, and the other one goes by that. A run
for both does none of this.
"""

import os
import re
import time
from collections.abc import Callable, Mapping

import gevent
from pyinfra import host, logger, state

from portway.aws.progress import progress_reader, tell
from portway.aws.reading import address_reader
from portway.contract.paths import UNPROVEN, WAITS
from portway.load_balancers.asking import status_at_first
from portway.load_balancers.loading import changes_servers_only
from portway.model.cluster import Cluster, LoadBalancer
from portway.model.progress import (
    RENEWED_SECONDS,
    Progress,
    Step,
    Told,
    Verdict,
    judge,
)
from portway.model.pulled import DID_NOT_SERVE, GOES_BACK, SERVED
from portway.ops.connector import is_own
from portway.ops.differences import (
    FoundNode,
    differs_only_in,
    is_settled,
    service_steps,
)
from portway.ops.operations import read_node
from portway.ops.pyinfra_errors import Commands, failure, operation
from portway.ops.reading import Key, readings
from portway.ops.remote import run
from portway.render.files import WantedNode
from portway.render.load_balancer import HAPROXY, KEEPALIVED, fingerprint
from portway.render.streams import STREAM_KEEPER

PAUSE_SECONDS = 2.0
AT_ONCE_SECONDS = 60.0
"""How long one run waits for the other. The next one goes by what AWS says then."""

ALL = "*"
"""Stands for all backends, on a node that served nobody before."""

AllTold = Mapping[str, Told | None]
"""What nodes tell, by name; one that does not run is missing."""
Read = Callable[[], AllTold]

_WHY = {
    Verdict.WAIT: (
        "{0}, its standby, does not serve with this configuration yet",
        "nothing: the next run looks again",
    ),
    Verdict.LOOK_AGAIN: (
        "{0}, its standby, is gone or goes by something newer",
        "nothing: the next run goes by what AWS says then",
    ),
    Verdict.STOP: (
        "{0}, its standby, has begun with this configuration and does not serve with "
        "it: nobody would know whether it works",
        "see what the runs on {0} say",
    ),
    Verdict.NOTHING: (
        "{0}, its standby, has said nothing of this configuration for {1} s: nobody "
        "would know whether it works",
        "see why nothing runs on {0}; or terminate it, if it is dead",
    ),
}


@operation
def begin(cluster: Cluster, lb: LoadBalancer, wanted: WantedNode) -> Commands:
    """Tell that this node begins; the holder of the address waits for its standby."""
    if not _takes_part() or is_settled(wanted, found := read_node(wanted.survey)):
        return
    configuration, read = fingerprint(cluster), progress_reader(cluster.stack)
    if _differs_in_what_both_must_have(wanted, found):
        yield failure(
            f"{lb.name} is not changed",
            [
                "virtual_router_id changes: until both have it, neither hears the "
                "other, and both take the address"
            ],
            do="deploy to both in one run: pyinfra inventories/prod.py deploys/lb.py",
        )
        return
    if (
        lb.holds_address
        and lb.peer is not None
        and not lb.peer.is_stopped
        and not _restores()
    ):
        verdict = _wait_for_standby(cluster, lb.peer.name, configuration, read)
        if verdict is Verdict.NOTHING and (
            _is_harmless(wanted, found) or _had(read().get(lb.name), configuration)
        ):
            logger.warning(
                f"{host.print_prefix}{lb.name} holds the address and is mended though "
                f"{lb.peer.name}, its standby, has said nothing of this configuration"
            )
        elif verdict is not Verdict.GO_ON:
            why, do = _WHY[verdict]
            words = lb.peer.name, cluster.settings.pair_timeout
            yield failure(
                f"{lb.name} holds the address and is not changed yet",
                [why.format(*words)],
                do=do.format(*words),
            )
            return
    if lb.peer is not None and _holds_address(cluster, lb) is not lb.holds_address:
        yield failure(
            f"{lb.name} is not changed",
            ["the address has moved since this run asked AWS who holds it"],
            do="nothing: the next run goes by that",
        )
        return
    _keep_what_it_served()
    _tell(cluster, lb, None, Progress(Step.BEGUN, configuration))


def unproven_backends(cluster: Cluster) -> frozenset[str]:
    """The backends that must have a healthy server before a change counts as good.

    Those that had one before it. None if nothing has changed since the current host
    served. The other node, which would tell a fault of the application from one of the
    change, cannot be asked.
    """
    kept = run(host, f"cat {UNPROVEN} 2>/dev/null || :")
    names = frozenset(b.name for b in cluster.backends if b.servers)
    return names if ALL in kept else names & frozenset(kept)


def _restores() -> bool:
    """Whether the current host goes back from what it has not served with.

    Nobody needs to try first what it did serve with, and its clients are waiting.
    """
    return bool(os.environ.get(GOES_BACK)) and bool(
        run(host, f"ls {UNPROVEN} 2>/dev/null || :")
    )


def note_that_it_does_not_serve() -> None:
    """Leave a mark for whoever started this run of the current host's own."""
    run(host, f"mkdir -p {DID_NOT_SERVE.parent} && touch {DID_NOT_SERVE}")


def _keep_what_it_served() -> None:
    """Keep what has a healthy server, until the current host serves again."""
    status = status_at_first(host.name)
    serves = status is not None and status.frontends
    names = sorted(status.backends) if status is not None and serves else [ALL]
    script = f"[ -e {UNPROVEN} ] || {{ umask 022; mkdir -p {UNPROVEN.parent} && "
    script += f"cat >{UNPROVEN}.new && mv {UNPROVEN}.new {UNPROVEN}; }}"
    run(host, script, stdin="\n".join(names))


@operation
def tell_that_it_serves(cluster: Cluster, lb: LoadBalancer) -> Commands:
    """Tell that this node serves with the configuration; HAProxy was asked just now."""
    if _takes_part():
        # What was told just now may not be what AWS shows yet.
        has_begun = readings().get(_begun())
        told = None if has_begun else progress_reader(cluster.stack)().get(lb.name)
        _tell(cluster, lb, told, Progress(Step.SERVES, fingerprint(cluster)))
        mark = f"mkdir -p {SERVED.parent} && touch {SERVED}"
        run(host, f"rm -f {UNPROVEN} && {mark}")
    yield from ()


@operation
def wait_for_holder(cluster: Cluster, lb: LoadBalancer, wanted: WantedNode) -> Commands:
    """Let the standby's keepalived start or change only once the holder knows it.

    A standby that hears no adverts would take the address.
    """
    if not _takes_part() or lb.holds_address or lb.peer is None:
        return
    if lb.peer.is_stopped or KEEPALIVED not in wanted.services:
        return
    config = wanted.file(KEEPALIVED.config)
    steps = service_steps(KEEPALIVED, config, read_node(wanted.survey))
    if not {"start", "reload"} & set(steps):
        return
    peer, read = lb.peer.name, progress_reader(cluster.stack)
    if _wait(cluster, peer, fingerprint(cluster), read) is not Verdict.GO_ON:
        yield failure(
            f"keepalived on {lb.name} stays as it is",
            [
                f"{peer}, which goes first here, has not said that it serves with this "
                "configuration: it may not know this node, which would hear nothing "
                "and take the address"
            ],
            do=f"nothing: the next run looks again; if it stays so, see what stops "
            f"{peer}",
        )


def _takes_part() -> bool:
    """Whether this is the execution of a run that a node makes of itself."""
    return state.is_executing and is_own(host)


def _is_harmless(wanted: WantedNode, found: FoundNode) -> bool:
    """Whether nobody needs to try a change first.

    Servers come and go, or the node serves nobody as it is.
    """
    unit = found.services.get(HAPROXY.unit)
    if unit is None or not unit.active:
        return True
    only_servers = differs_only_in((HAPROXY, STREAM_KEEPER), wanted, found)
    return only_servers and changes_servers_only(wanted)


def _differs_in_what_both_must_have(wanted: WantedNode, found: FoundNode) -> bool:
    """Whether the nodes would not hear each other while only one is changed."""
    config = wanted.file(KEEPALIVED.config) if KEEPALIVED in wanted.services else None
    there = found.files.get(KEEPALIVED.config)
    if config is None or there is None or there.sha256 == config.sha256:
        return False
    has = "\n".join(run(host, f"cat {KEEPALIVED.config}"))
    return router_ids(has) != router_ids(config.content)


def router_ids(config: str) -> list[str]:
    """The virtual router ids in a configuration of keepalived's."""
    return re.findall(r"^\s*virtual_router_id\s+(\d+)\s*$", config, re.MULTILINE)


def _had(told: Told | None, configuration: str) -> bool:
    """Whether a node has lately told that it had this configuration."""
    return told is not None and told.progress.configuration == configuration


def _holds_address(cluster: Cluster, lb: LoadBalancer) -> bool:
    """Whether a node holds the address now; whatever it was, if nobody does."""
    holders = {found.holder for found in address_reader(cluster.stack)()}
    if len(holders) != 1 or None in holders:
        return lb.holds_address
    return lb.node.interface_id in holders


def _wait_for_standby(
    cluster: Cluster, standby: str, configuration: str, read: Read
) -> Verdict:
    """The same, and how long the runs before this one waited counts, too."""
    waited = int(run(host, _SINCE, stdin=configuration)[0])
    is_late = waited >= cluster.settings.pair_timeout
    verdict = _wait(cluster, standby, configuration, read, is_late=is_late)
    if verdict is Verdict.GO_ON:
        run(host, f"rm -f {WAITS}")
    return verdict


def _wait(
    cluster: Cluster,
    name: str,
    configuration: str,
    read: Read,
    *,
    is_late: bool = False,
) -> Verdict:
    """Wait for what another node tells; ``is_late`` counts at the end of that."""
    until = time.monotonic() + min(AT_ONCE_SECONDS, cluster.settings.pair_timeout)
    told = first = read()
    while True:
        if name not in told:
            return Verdict.LOOK_AGAIN
        is_over = time.monotonic() > until
        verdict = judge(
            configuration,
            _progress(first.get(name)),
            _progress(told[name]),
            is_late=is_late and is_over,
        )
        if verdict is not Verdict.WAIT or is_over:
            return verdict
        logger.info(f"{host.print_prefix}waiting until {name} serves with the same")
        gevent.sleep(PAUSE_SECONDS)
        told = read()


def _progress(told: Told | None) -> Progress | None:
    return told.progress if told is not None else None


def _tell(
    cluster: Cluster, lb: LoadBalancer, told: Told | None, progress: Progress
) -> None:
    """Tell something, unless it was told as well lately."""
    is_known = told is not None and time.time() - told.at <= RENEWED_SECONDS
    if not is_known or _progress(told) != progress:
        tell(cluster.stack, lb.node, progress)
    if progress.step is Step.BEGUN:
        readings().keep(_begun(), True)


def _begun() -> Key:
    """Where a run remembers that it has told so."""
    return None, ("begun", host.name)


_SINCE = f"""
now=$(cut -d. -f1 /proc/uptime); since=$now; what=
read -r wanted
[ ! -s {WAITS} ] || read -r since what <{WAITS}
if [ "$what" != "$wanted" ]; then
    since=$now
    mkdir -p {WAITS.parent} && echo "$since $wanted" >{WAITS} || exit
fi
echo $((now - since))
"""
