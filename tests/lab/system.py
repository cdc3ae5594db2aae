"""The lab as tests drive it: through its own command line, as people do.

Only what they ask many times goes to the same functions without it: every command would
start another Python.
"""

import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from lab.errors import LabError
from lab.failover.pair import MOVES
from lab.faults import interface as faults
from lab.ground import namespaces
from lab.lifecycle import status
from lab.machines import commands as commands_in_lab
from lab.plan import facts
from lab.plan.names import OPERATOR, Lab

PROJECT = Path(__file__).parents[2]
PYINFRA = str(Path(sys.executable).with_name("pyinfra"))

CONFIGS = (
    "/etc/haproxy/haproxy.cfg",
    "/etc/keepalived/keepalived.conf",
    "/etc/systemd/system/haproxy.service.d/portway.conf",
    "/etc/systemd/system/keepalived.service.d/portway.conf",
    "/etc/sysctl.d/60-portway.conf",
    "/etc/portway/check.json",
    "/usr/sbin/policy-rc.d",
    "/etc/needrestart/conf.d/zz-portway.conf",
)

RELOAD = """
answering() {
    echo "show info" | socat - UNIX-CONNECT:/run/haproxy/admin.sock | grep ^Pid:
}
before=$(answering)
systemctl reload haproxy
for _ in $(seq 150); do
    now=$(answering) && [ "$now" != "$before" ] && exit
    sleep 0.1
done
echo "no new process of HAProxy answers" >&2
exit 1
"""

Result = subprocess.CompletedProcess[str]

spoiled: set[str] = set()
"""Labs in which nodes were replaced, or that a failed test has left in any state: the
next module's tests get others."""


@dataclass(frozen=True)
class System:
    """One lab, by name."""

    name: str

    def command(self, *words: str) -> list[str]:
        return [
            sys.executable,
            "-m",
            "lab",
            *words[:1],
            "--name",
            self.name,
            *words[1:],
        ]

    def call(
        self, *words: str, check: bool = True, timeout: float = 300, stdin: str = ""
    ) -> Result:
        return completed(self.command(*words), check, timeout, stdin)

    def up(self, *options: str) -> None:
        self.__dict__.pop("address", None)
        self.call("up", *options, timeout=600)

    def down(self) -> None:
        self.call("down")

    def status(self) -> dict[str, Any]:
        return status.read(Lab(self.name))

    @cached_property
    def address(self) -> str:
        """What clients connect to; the same for as long as the lab is up."""
        return str(self.status()["address"]["address"])

    @property
    def holder(self) -> str:
        """The node that AWS says the address leads to; "" for none."""
        return self.status()["address"]["holder"] or ""

    @property
    def standby(self) -> str:
        """The load balancer that does not hold the address."""
        return {"lb-1": "lb-2", "lb-2": "lb-1"}[self.holder]

    def addresses(self, role: str) -> dict[str, str]:
        """Private address of each node of a role."""
        nodes = self.status()["nodes"]
        return {n["node"]: n["address"] for n in nodes if n["role"] == role}

    def masters(self) -> list[str]:
        """The load balancers that think themselves VRRP master."""
        address = self.address
        return [
            node
            for node in ("lb-1", "lb-2")
            if address in self.node(node, "ip -4 address show dev lo").stdout
        ]

    def nodes(self) -> dict[str, dict[str, Any]]:
        """The nodes of the status by name."""
        return {node["node"]: node for node in self.status()["nodes"]}

    @contextmanager
    def started(self, *words: str) -> Iterator[Result]:
        """A command of the lab that runs meanwhile; its result is there at the end."""
        process = subprocess.Popen(
            self.command(*words),
            cwd=PROJECT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        result: Result = Result(words, 0, "", "")
        try:
            yield result
            result.stdout, result.stderr = process.communicate(timeout=120)
            result.returncode = process.returncode
        finally:
            process.kill()
            process.communicate()

    def operator(self, *words: str, check: bool = True) -> Result:
        """Run a command as the operator, in the same way."""
        lab = Lab(self.name)
        environment = {**os.environ, **commands_in_lab.environment(lab)}
        line = [*namespaces.inside(lab, OPERATOR), *words]
        return completed(line, check, environment=environment)

    def deploy(
        self,
        *options: str,
        what: str = "lb",
        inventory: str = "inventories/lab.py",
        check: bool = True,
        project: Path = PROJECT,
    ) -> Result:
        """Run a deploy as the operator, from a copy of the project if asked."""
        words = (PYINFRA, inventory, f"deploys/{what}.py", *(options or ("-y",)))
        if project != PROJECT:
            words = ("env", "-C", str(project), *words)
        return self.operator(*words, check=check)

    def drift(self, *options: str, what: str = "site") -> Result:
        """What ``portway drift --json`` prints, whatever its status."""
        verb = (sys.executable, "-m", "portway.cli.main", "drift", "--json")
        inventory = "inventories/lab.py"
        words = (*verb, inventory, f"deploys/{what}.py", *options)
        return self.operator(*words, check=False)

    def customer(self, *words: str, source: str = "", check: bool = True) -> Result:
        """Run a command as a customer, without the start of another Python."""
        thing, own = commands_in_lab.customer(source)
        inside = namespaces.inside(Lab(self.name), thing)
        return completed([*inside, *words], check, environment=own)

    def node(self, name: str, script: str, check: bool = True) -> Result:
        """Run a shell script as root on a host, in the same way."""
        return self._on_host(name, ["sh", "-c", script], check)

    def reload_haproxy(self, name: str) -> None:
        """Reload HAProxy by hand; return when it is the new process that answers.

        Debian's unit only gives it a signal: what is asked or set at once would go to
        the old process.
        """
        self.node(name, RELOAD)

    def servers(self, name: str) -> list[list[str]]:
        """The columns of HAProxy's "show servers state" on a load balancer."""
        ask = (
            "echo show servers state | socat -t5 - UNIX-CONNECT:/run/haproxy/admin.sock"
        )
        rows = [line.split() for line in self.node(name, ask).stdout.splitlines()]
        return [row for row in rows if len(row) > 18 and row[0].isdigit()]

    def finds_nobody_healthy(self, name: str) -> bool:
        """Whether a load balancer sees every server as down."""
        return all(row[5] == "0" for row in self.servers(name))

    @contextmanager
    def without_servers(self, name: str) -> Iterator[None]:
        """A load balancer reaches no application node, and HAProxy has noticed."""
        addresses = self.addresses("application").values()
        routes = " ".join(f"ip route add unreachable {a}/32;" for a in addresses)
        self.node(name, routes)
        try:
            down = f"{name} finds nobody healthy"
            wait_until(lambda: self.finds_nobody_healthy(name), 30, down)
            yield
        finally:
            self.node(name, routes.replace("add", "del"), check=False)

    def _on_host(self, name: str, words: list[str], check: bool) -> Result:
        try:
            line = commands_in_lab.on_host(Lab(self.name), name, words)
        except LabError as error:  # it is off
            if check:
                raise
            return Result(words, 1, "", str(error))
        return completed(line, check)

    def run(self, *words: str, check: bool = True) -> str:
        """What a command of the operator's prints."""
        return self.operator(*words, check=check).stdout

    def python(self, program: str, *arguments: str) -> str:
        """What a Python program prints that may do everything in AWS."""
        owner = [f"{key}={value}" for key, value in facts.OWNER.items()]
        return self.run("env", *owner, "python", "-c", program, *arguments)

    def execute(self, name: str, *words: str, check: bool = True) -> str:
        """What a command of root's on a node prints."""
        return self._on_host(name, list(words), check).stdout

    def client(self, *words: str, source: str | None = None) -> str:
        """What a customer's command prints, whatever its status."""
        return self.customer(*words, source=source or "", check=False).stdout

    def ask(self, port: int, source: str = "", mode: str = "tcp") -> str:
        """The node and port that acknowledge a message; "" if nothing does."""
        words = (sys.executable, "-m", "lab.traffic.messages", "ask", "--mode", mode)
        result = self.customer(
            *words, self.address, str(port), source=source, check=False
        )
        return result.stdout.strip() if result.returncode == 0 else ""

    def answering_nodes(self, port: int, tries: int = 6) -> set[str]:
        """The nodes that answer when a client connects several times."""
        return {self.ask(port).split(" ")[0] for _ in range(tries)}

    def file_states(self) -> dict[str, str]:
        """Content, mode, time and inode of every managed file on both nodes."""
        script = (
            f"sha256sum {' '.join(CONFIGS)}; stat -c '%n %a %Y %i' {' '.join(CONFIGS)}"
        )
        return {n: self.node(n, script).stdout for n in ("lb-1", "lb-2")}

    def loaded(self, node: str) -> tuple[str, str]:
        """Hashes of the HAProxy configuration on disk and of the one in force."""
        script = f"sha256sum <{CONFIGS[0]}; cat /run/portway/loaded/haproxy"
        disk, loaded = self.node(node, script).stdout.split()[0::2]
        return disk, loaded


def completed(
    line: list[str],
    check: bool,
    timeout: float = 300,
    stdin: str = "",
    environment: dict[str, str] | None = None,
) -> Result:
    """Run a command to its end, which must be a good one if that is checked."""
    result = subprocess.run(
        line,
        cwd=PROJECT,
        env=environment,
        input=stdin,
        capture_output=True,
        text=True,
        errors="replace",  # journals and samples hold what programs make
        timeout=timeout,
        check=False,
    )
    if check:
        assert result.returncode == 0, shown(result)
    return result


def shown(result: Result) -> str:
    return f"{result.args}\nexit {result.returncode}\n{result.stdout}\n{result.stderr}"


def output(result: Result) -> str:
    """All that a run printed, without colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", result.stdout + result.stderr)


def has_changed(text: str, operation: str) -> bool:
    """Whether an operation of that name changed something on any node."""
    line = r" *\[.*\n"
    heading = rf"operation: (?:\S+ \| )?{re.escape(operation)} *\n"
    return bool(re.search(rf"{heading}(?:{line})*? *\[[^]]*\] +Success\n", text))


def changes(result: Result) -> int:
    """How many operations changed something, counted from what pyinfra printed."""
    return len(re.findall(r"\] +Success$", output(result), re.MULTILINE))


def commands(result: Result) -> dict[str, int]:
    """How many commands a run gave each node; it was asked to print with ``--debug``.

    A command is nearly three round trips, and what a run that finds nothing to do
    takes is these.
    """
    nodes = re.findall(r"Running command on (\S+): ", output(result))
    return dict(Counter(nodes))


def moves(system: System, since: float) -> list[str]:
    """Calls that moved the address."""
    kind = system.status()["address"]["kind"]
    return [
        call.action
        for call in faults.calls(Lab(system.name), since)
        if call.action in MOVES[kind] and call.parameters.get("DryRun") != "true"
    ]


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Look until a condition holds; fail with ``what`` when the time is up.

    A look that takes long is made less often, so that waiting keeps nobody from work.
    """
    began = time.monotonic()
    deadline = began + seconds
    while not condition():
        ended = time.monotonic()
        assert ended < deadline, f"not within {seconds} s: {what}"
        time.sleep(max(0.2, 2 * (ended - began)))
        began = time.monotonic()


@contextmanager
def stream(system: System, port: int) -> Iterator[Callable[[], int]]:
    """A connection held open on which every message is acknowledged.

    Yields a function that waits for the next acknowledgement and returns how many
    there were, and fails if the stream has ended.
    """
    program = (sys.executable, "-m", "lab.traffic.messages", "stream")
    words = (*program, system.address, str(port))
    process = subprocess.Popen(
        system.command("client", "--", *words),
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stderr

    def last() -> int:
        assert process.stdout
        assert process.stderr
        line = process.stdout.readline()
        assert line, f"the stream ended: {process.stderr.read()}"
        return int(line)

    try:
        last()
        yield last
    finally:
        process.terminate()
        process.communicate()
