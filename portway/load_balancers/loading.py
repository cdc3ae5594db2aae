"""How HAProxy comes to run its configuration: with other servers, or by a reload.

A reload leaves one more worker behind, with all streams of that moment, so there is
none when only servers changed, and each says why it is made.
"""

import base64
import gzip
import shlex
import time
from contextlib import suppress

from pyinfra import host, logger

from portway.contract.paths import LEAVING_SERVERS, LOADED_FOLDER, RELOAD_REASON
from portway.contract.reloads import Kind, Reason
from portway.errors import PortwayError
from portway.load_balancers.configuration import parse
from portway.load_balancers.console import STATES_SCRIPT, Console, running_servers
from portway.load_balancers.ports import refuse_taken_ports
from portway.load_balancers.runtime import (
    RunningHaproxy,
    change_servers,
    drain_strangers,
    give_traffic,
)
from portway.load_balancers.server_changes import (
    ServerChange,
    how_to_load,
    staying,
    waiting,
)
from portway.load_balancers.workers import refuse_reload_without_memory
from portway.model.cluster import Cluster
from portway.ops.describing import described
from portway.ops.differences import service_steps, with_loaded
from portway.ops.fence import change, work
from portway.ops.framing import NodeFact
from portway.ops.operations import (
    read_node,
    strange_files,
)
from portway.ops.pyinfra_errors import Commands, operation
from portway.ops.reading import (
    forget_host,
    is_confirmed,
    keep_of_host,
    once_per_host,
)
from portway.ops.remote import NotReached, ask, run
from portway.ops.service_scripts import (
    digest_script,
    record_script,
    reload_script,
    service_script,
)
from portway.render.files import WantedNode
from portway.render.load_balancer import HAPROXY

FRESH = 2.0
"""Seconds for which the state of servers counts as known: others may change it."""


class RunningFacts(NodeFact[RunningHaproxy]):
    """What HAProxy runs. Its configuration is asked for only when it must change."""

    def command(self) -> str:
        """A script that never fails."""
        return _RUNNING_SCRIPT

    def process(self, output: list[str]) -> RunningHaproxy:
        """The configuration, which comes compressed, and the servers."""
        packed = [line[7:] for line in output if line.startswith("loaded ")]
        loaded = [gzip.decompress(base64.b64decode(line)).decode() for line in packed]
        return RunningHaproxy(
            loaded[0] if loaded else None,
            running_servers(output),
            frozenset(line[8:] for line in output if line.startswith("leaving ")),
            "whole" not in output,
        )

    @staticmethod
    def default() -> RunningHaproxy:
        """A node on which no HAProxy runs."""
        return RunningHaproxy()


_RUNNING_SCRIPT = f"""
copy={HAPROXY.copy} record={LOADED_FOLDER}/{HAPROXY.unit}
# Without its hash the copy holds but for servers, which a run was changing.
if [ -f $copy ] && {{ [ ! -f $record ] || sha256sum <$copy | cmp -s - $record; }}; then
    echo "loaded $(gzip -c <$copy | base64 -w 0)"
    [ ! -f $record ] || echo whole
fi
[ ! -f {LEAVING_SERVERS} ] || sed 's/^/leaving /' {LEAVING_SERVERS}{STATES_SCRIPT}
:"""


@operation
def run_haproxy(cluster: Cluster, wanted: WantedNode) -> Commands:
    """Enable or start HAProxy, or bring it to its configuration, as needed."""
    config = wanted.file(HAPROXY.config)
    found = read_node(wanted.survey)
    steps = service_steps(HAPROXY, config, found)
    if not steps:
        host.noop("haproxy runs with its current configuration")
        return
    differences = [described(HAPROXY, config.sha256, steps, found)]
    if others := [step for step in steps if step != "reload"]:
        strange = strange_files(HAPROXY, found)
        yield from change(differences, service_script(HAPROXY, others, strange))
    if "reload" in steps:
        running = running_haproxy()
        plan = how_to_load(
            running.loaded, config.content, running.servers, running.leaving
        )
        reloads: list[Reason] = []
        if not is_confirmed():
            _tell(_words(plan))
        console = Console(
            _shell,
            _tell,
            cluster.settings.drain_timeout,
            cluster.stack.leaving,
            refuse_reload_without_memory,
        )
        yield work(
            differences,
            lambda: reloads.extend(load(console, plan, config.content, running)),
        )
        if others or reloads:
            forget_host()
        else:
            keep_of_host(wanted.survey, with_loaded(HAPROXY, config, found))


def running_haproxy() -> RunningHaproxy:
    """What the current host's HAProxy runs, as it was a moment ago.

    The holder of the address may have to wait for the standby's streams to end.
    """

    def read() -> tuple[float, RunningHaproxy]:
        return time.monotonic(), ask(host, RunningFacts)

    key = ("running", HAPROXY.unit)
    when, found = once_per_host(key, read)
    if time.monotonic() - when > FRESH:
        when, found = read()
        keep_of_host(key, (when, found))
    return found


def changes_servers_only(wanted: WantedNode) -> bool:
    """Whether the HAProxy of the current host gets other servers, and no reload."""
    running = running_haproxy()
    content = wanted.file(HAPROXY.config).content
    plan = how_to_load(running.loaded, content, running.servers, running.leaving)
    return isinstance(plan, ServerChange)


def _words(plan: ServerChange | Reason) -> str:
    """What is about to happen."""
    if isinstance(plan, Reason):
        return f"reload: {plan.text}"
    return f"no reload: {', '.join(plan.steps) or 'nothing changed that it runs'}"


def load(
    console: Console, plan: ServerChange | Reason, text: str, running: RunningHaproxy
) -> tuple[Reason, ...]:
    """Change the servers, or reload; reload, too, if the servers cannot be changed.

    Returns why it reloaded; nothing if it did not.
    """
    wanted = parse(text)
    if isinstance(plan, ServerChange):
        try:
            change_servers(console, wanted, plan, running)
            console.shell(_END_SCRIPT, "")
        except NotReached:
            raise
        except PortwayError as error:
            with suppress(PortwayError):
                give_traffic(console, plan.admit + plan.move)
            plan = Reason(Kind.SERVERS, f"server change failed: {error}")
            console.tell(_words(plan))
        else:
            return ()
    console.may_reload()
    refuse_taken_ports(console, running.loaded, wanted)
    with suppress(PortwayError):
        give_traffic(console, waiting(running.loaded, wanted, running.servers))
    with suppress(PortwayError):
        lines = staying(wanted, running.servers, running.leaving)
        give_traffic(console, lines)
    console.shell(reload_script(HAPROXY, _note(plan)), "")
    console.shell(f"rm -f {LEAVING_SERVERS}", "")
    had = {server.address for server in running.servers}
    if had - {line.address for line in wanted.servers}:
        drain_strangers(console, wanted, running.servers)
    return (plan,)


_END_SCRIPT = (
    f"{digest_script(HAPROXY)}\n{record_script(HAPROXY)} && rm -f {LEAVING_SERVERS}"
)


def _note(reason: Reason) -> str:
    """Leave the reason for the program that the unit runs before the reload."""
    return f"printf %s {shlex.quote(reason.to_json())} >{RELOAD_REASON}"


def _shell(script: str, stdin: str) -> list[str]:
    return run(host, script, stdin)


def _tell(text: str) -> None:
    logger.info(f"{host.print_prefix}{text}")
