"""What is wrong with a system, in words, each with the command that mends it. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from portway.application.status import ApplicationStatus
from portway.load_balancers.status import LoadBalancerStatus
from portway.load_balancers.verify import (
    SHOWN,
    down_servers,
    keeper_problems,
    node_problems,
    pair_problems,
    waiting,
    without_nodes,
    without_peer,
)
from portway.model.stack import Node, Role
from portway.run.status.serving import serving, without_anybody
from portway.run.status.values import SeenNode, System


class Kind(StrEnum):
    """How much a finding weighs."""

    WRONG = "wrong"
    """It must be mended."""
    UNKNOWN = "unknown"
    """It could not be found out."""
    NOTE = "note"
    """As somebody wants it, or soon over by itself."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to know about a system."""

    kind: Kind
    text: str
    do: str = ""
    """The command that mends it; empty if nothing need be done."""


def findings(system: System, inventory: str) -> tuple[Finding, ...]:
    """Everything to know, the worst first."""
    found = _in_one_run([*_Judge(system, inventory).all()], f"pyinfra {inventory} ")
    order = [Kind.WRONG, Kind.UNKNOWN, Kind.NOTE]
    return tuple(sorted(found, key=lambda f: order.index(f.kind)))


def _in_one_run(found: list[Finding], run: str) -> list[Finding]:
    """One deploy in place of two: it mends the application first.

    What is wrong with that fails a deploy of the load balancers.
    """
    both = [f"{run}deploys/app.py", f"{run}deploys/lb.py"]
    if not set(both) <= {finding.do for finding in found}:
        return found
    whole = f"{run}deploys/site.py"
    return [replace(f, do=whole) if f.do in both else f for f in found]


class _Judge:
    def __init__(self, system: System, inventory: str) -> None:
        self._system, self._cluster = system, system.cluster
        self._run = f"pyinfra {inventory} deploys/"
        self._statuses: dict[str, LoadBalancerStatus | None] = {
            lb.name: _deployed_status(system.node(lb.name))
            for lb in system.cluster.load_balancers
        }

    def all(self) -> Iterator[Finding]:
        yield from self._nothing_deployed()
        yield from self._silent()
        yield from self._load_balancers()
        yield from self._address()
        yield from self._clients()
        yield from self._servers()
        yield from self._runs()
        yield from self._older()

    def _nothing_deployed(self) -> Iterator[Finding]:
        new = [s.node for s in self._system.nodes if s.answers and s.deployed is None]
        if not new:
            return
        names = ", ".join(node.name for node in new)
        roles = {node.role for node in new}
        what = "site.py"
        if roles == {Role.LOAD_BALANCER}:
            what = "lb.py"
        yield Finding(
            Kind.WRONG, f"nothing has been deployed to {names} yet", self._run + what
        )

    def _silent(self) -> Iterator[Finding]:
        system = self._system
        if system.aws_problem:
            read_at = system.aws_read_at
            when = f"{read_at:%Y-%m-%d %H:%M:%S} UTC" if read_at else "an unknown time"
            first = system.aws_problem.splitlines()[0]
            yield Finding(
                Kind.UNKNOWN,
                f"AWS could not be asked, so the nodes shown are those of {when}, and "
                f"where the address points is what they say: {first}",
                "aws sts get-caller-identity",
            )
        for seen in system.nodes:
            if seen.answers:
                continue
            node = seen.node
            ids = f"--instance-ids {node.instance_id}"
            if node.is_stopped:
                yield Finding(
                    Kind.WRONG,
                    f"{node.name}: its instance is stopped",
                    f"aws ec2 start-instances {ids}",
                )
            else:
                yield Finding(
                    Kind.UNKNOWN,
                    f"{node.name} could not be asked: {seen.problem.splitlines()[0]}",
                    f"aws ec2 describe-instance-status {ids}",
                )

    def _load_balancers(self) -> Iterator[Finding]:
        for lb in self._cluster.load_balancers:
            status, seen = self._statuses[lb.name], self._system.node(lb.name)
            if status is None or seen is None:
                continue
            if not seen.traffic.runs:
                yield Finding(
                    Kind.WRONG,
                    f"{lb.name}: HAProxy is not running",
                    f"{self._run}lb.py",
                )
                continue
            peer = self._statuses.get(lb.peer.name) if lb.peer else None
            for text in node_problems(self._cluster, status, peer):
                hangs = not status.frontends
                restart = f"ssh {lb.node.address} sudo systemctl restart haproxy"
                do = restart if hangs else f"{self._run}lb.py"
                what = text.partition(";")[0] if hangs else text
                yield Finding(Kind.WRONG, f"{lb.name}: {what}", do)
        for text in without_peer(self._cluster):
            yield Finding(Kind.WRONG, text.partition(";")[0], f"{self._run}lb.py")

    def _address(self) -> Iterator[Finding]:
        objects = self._cluster.stack.virtual_address.objects
        known = () if self._system.aws_problem else objects
        if any(status is not None for status in self._statuses.values()):
            for text in pair_problems(self._cluster, self._statuses, known):
                yield Finding(Kind.WRONG, text, self._mends_address(text))
        for text in waiting(self._cluster, self._statuses):
            yield Finding(Kind.NOTE, text, self._transfer())
        for lb in self._cluster.load_balancers:
            status = self._statuses[lb.name]
            if status is not None and status.handed_over and lb.peer:
                yield Finding(
                    Kind.NOTE,
                    f"{lb.name} has handed the address over on purpose: "
                    f"{lb.peer.name} is preferred while it is healthy",
                    self._transfer(),
                )

    def _mends_address(self, text: str) -> str:
        if "have handed the address over" in text:
            return self._transfer()
        return f"{self._run}lb.py"

    def _transfer(self) -> str:
        record = next(lb.name for lb in self._cluster.load_balancers if lb.is_master)
        return f"{self._run}transfer.py --data transfer_to={record}"

    def _clients(self) -> Iterator[Finding]:
        served = serving(self._system)
        absent = {text.split(":")[0] for text in without_nodes(self._cluster)}
        for text in without_nodes(self._cluster):
            what, _, do = text.partition("; ")
            yield Finding(Kind.WRONG, f"nobody serves a client: {what}", do)
        if not any(self._statuses.values()):
            return  # there is nothing yet, or nobody to ask
        alone = [
            frontend
            for frontend in without_anybody(self._cluster, served)
            if f"no node for {frontend.name}" not in absent
        ]
        reasons: dict[str, list[str]] = {}
        for frontend in alone:
            found = served[frontend.name]
            key = f"{found.state}: {found.problem}"
            reasons.setdefault(key, []).append(f"{frontend.name} ({frontend.port})")
        for reason, names in reasons.items():
            more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            who = ", ".join(names[:SHOWN]) + more
            does = reason.startswith("nobody")
            deploy = "app.py" if does else "lb.py"
            what = "nobody serves" if does else "no connection is taken for"
            why = reason.partition(": ")[2]
            yield Finding(Kind.WRONG, f"{what} {who}: {why}", self._run + deploy)

    def _servers(self) -> Iterator[Finding]:
        for text in down_servers(self._statuses):
            yield Finding(Kind.WRONG, text, f"{self._run}app.py")
        for seen in self._system.nodes:
            if seen.application is not None and seen.deployed is not None:
                yield from self._application(seen.node, seen.application)

    def _application(self, node: Node, found: ApplicationStatus) -> Iterator[Finding]:
        if found.state != "active":
            app = self._cluster.settings.app_name
            state = found.state or "not there"
            yield Finding(
                Kind.WRONG,
                f"{node.name}: the unit {app} is {state}",
                f"{self._run}app.py",
            )

    def _runs(self) -> Iterator[Finding]:
        for text in sorted({s.going_on for s in self._system.nodes if s.going_on}):
            yield Finding(Kind.NOTE, f"a run is going on: {text}")
        for seen in self._system.nodes:
            if seen.suspended:
                yield Finding(Kind.NOTE, f"{seen.node.name} is {seen.suspended}")
        failed: dict[str, list[str]] = {}
        for seen in self._system.nodes:
            record = seen.deployed
            if record is not None and not record.succeeded and not seen.going_on:
                failed.setdefault(str(record), []).append(seen.node.name)
        for text, names in failed.items():
            yield Finding(
                Kind.WRONG,
                f"the last run on {', '.join(names)} did not succeed: {text}",
                f"{self._run}site.py",
            )

    def _older(self) -> Iterator[Finding]:
        for name, problem in keeper_problems(self._statuses).items():
            text = f"{name}: portway-streams: {problem}"
            yield Finding(Kind.WRONG, text, f"{self._run}lb.py")
        for seen in self._system.balancers:
            older = seen.traffic.older
            streams = sum(old.connections for old in older)
            if any(not old.answers for old in older):
                silent = ", ".join(str(old.pid) for old in older if not old.answers)
                yield Finding(
                    Kind.UNKNOWN,
                    f"{seen.node.name}: HAProxy's older process {silent} does not "
                    "answer, and may have streams",
                    f"ssh {seen.node.address} sudo journalctl -u haproxy -n 50",
                )
            if not streams:
                continue
            first = older[-1]
            yield Finding(
                Kind.NOTE,
                f"{seen.node.name}: {_count(streams, 'stream')} in "
                f"{_count(len(older), 'older HAProxy process')}, the oldest of which "
                f"was started {first.uptime} ago; it ends with its streams; to cut "
                "those of the oldest:",
                f"ssh {seen.node.address} sudo kill {first.pid}",
            )


def _deployed_status(seen: SeenNode | None) -> LoadBalancerStatus | None:
    """The status of a load balancer that was deployed to; None for any other."""
    return seen.balancer if seen is not None and seen.deployed is not None else None


def _count(number: int, what: str) -> str:
    """A number and what it counts, such as ``2 streams``."""
    if number == 1:
        return f"1 {what}"
    return f"{number:,} {what}{'es' if what.endswith('s') else 's'}"
