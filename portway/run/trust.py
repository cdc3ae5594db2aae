"""Records the SSH host keys that EC2's console shows, and refuses hosts without one.

The console is asked over AWS's API, so nobody between here and a node can forge what it
says. A key that is on record for an instance is never replaced.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pyinfra.api.host import Host

from portway.aws.console import read_host_keys
from portway.errors import PortwayError
from portway.model.host_keys import (
    Entry,
    HostKey,
    Owner,
    hindrance,
    read_entries,
    revoked_keys,
    usable,
    with_keys,
    written,
)
from portway.model.stack import Node, Stack
from portway.ops.known_hosts import (
    KnownHosts,
    known_hosts,
    read_all,
    read_file,
)
from portway.ops.way import INSTANCE
from portway.run.local_files import replace_file

Say = Callable[[str], None]
MOST_SHOWN = 3
"""How many lines that do not count an error names."""


@dataclass(frozen=True, slots=True)
class Reached:
    """A node, and where its key is looked for."""

    host: Host
    node: Node
    known: KnownHosts

    def __str__(self) -> str:
        return f"{self.node.name} ({self.node.instance_id}, {self.known.name})"

    @property
    def file(self) -> Path:
        """Where its keys are written."""
        return self.known.files[0]

    def entries(self) -> tuple[Entry, ...]:
        """All lines of its files that count."""
        return usable(read_all(self.known.files))

    def is_known(self) -> bool:
        """Whether there is a key that may be its: not that of an earlier instance."""
        return any(
            e.covers(self.known.name)
            and (e.owner is None or e.owner.instance_id == self.node.instance_id)
            for e in self.entries()
        )

    def is_trusted(self) -> bool:
        """Whether a run may connect to it: its key is known, or need not be."""
        return not self.known.is_strict or self.is_known()


def reached(stack: Stack, hosts: Iterable[Host]) -> list[Reached]:
    """The nodes of a stack among a run's hosts."""
    nodes = {node.instance_id: node for node in stack.nodes}
    return [
        Reached(host, nodes[host.data.get(INSTANCE)], known_hosts(host))
        for host in hosts
        if host.data.get(INSTANCE) in nodes
    ]


def refuse_unknown(hosts: Iterable[Reached]) -> None:
    """Raise PortwayError that names every host whose key is not on record."""
    unknown = [h for h in hosts if not h.is_trusted()]
    if not unknown:
        return
    raise PortwayError(
        f"no SSH host key is known for {', '.join(map(str, unknown))}",
        why="; ".join(_in_the_way(unknown)),
        do="record what EC2's console shows: portway trust INVENTORY; or have runs do "
        "so by themselves: trust_console_output = True in group_data",
    )


def _in_the_way(hosts: Iterable[Reached]) -> Iterable[str]:
    """What the files of these hosts have about them and does not count."""
    found: dict[str, None] = {}
    for host in hosts:
        revoked = revoked_keys(read_all(host.known.files))
        for file in host.known.files:
            for number, entry in enumerate(read_entries(read_file(file)), start=1):
                if reason := hindrance(entry, host.known.name, revoked):
                    found[f"line {number} of {file} {reason}"] = None
    return list(found)[:MOST_SHOWN]


def trust(
    stack: Stack, hosts: Sequence[Reached], say: Say, *, dry: bool = False
) -> bool:
    """Record the keys that the consoles of these hosts show; whether all is well.

    Each host gets a line: its keys, and what they replace; or why it gets none.
    """
    shown = read_host_keys(stack.region, [host.node for host in hosts], say)
    by_file = defaultdict(list)
    for host in hosts:
        by_file[host.file].append(host)
    is_well = True
    for file, of_file in by_file.items():
        before = entries = read_entries(read_file(file))
        for host in of_file:
            try:
                keys = shown[host.node.instance_id]
                owner = Owner(stack.name, host.node.instance_id)
                entries, lines = _with(host, entries, owner, keys)
                for line in lines:
                    say(line)
            except PortwayError as error:
                say(error.message)
                is_well = False
        if entries != before:
            say(f"{'would be' if dry else ''} recorded in {file}".lstrip())
            if not dry:
                replace_file(file, written(entries))
    return is_well


def _with(
    host: Reached,
    entries: tuple[Entry, ...],
    owner: Owner,
    keys: tuple[HostKey, ...],
) -> tuple[tuple[Entry, ...], list[str]]:
    """The lines with a host's keys, and what to say about it.

    PortwayError if the keys cannot be trusted.
    """
    mine = [e for e in entries if e.owner == owner]
    others = [e for e in usable(entries) if e.is_for(host.known.name) and e not in mine]
    _refuse_another_stack(host, others, owner)
    _refuse_changed_key(host, mine, keys)
    if not keys:
        if host.is_known():
            return entries, [f"{host}: known; its console shows no host keys any more"]
        raise _no_keys(host)
    changed = with_keys(entries, host.known.name, owner, keys)
    if changed == entries:
        return entries, [f"{host}: known"]
    replaced = [
        f"  in place of {entry.key}, which was "
        + (entry.owner.instance_id if entry.owner else "recorded without an instance")
        for entry in others
        if entry.key not in keys
    ]
    return changed, [f"{host}: {', '.join(map(str, keys))}", *replaced]


def _refuse_another_stack(host: Reached, others: Iterable[Entry], owner: Owner) -> None:
    for entry in others:
        if entry.owner and entry.owner.stack != owner.stack:
            raise PortwayError(
                f"{host}: {host.file} has that address for {entry.owner.instance_id} "
                f"of stack {entry.owner.stack}",
                do="give each stack a file of its own with ssh_known_hosts_file in "
                f"group_data; or delete the line if {entry.owner.stack} is gone",
            )


def _refuse_changed_key(
    host: Reached, mine: Iterable[Entry], keys: Iterable[HostKey]
) -> None:
    by_kind = {key.kind: key for key in keys}
    for entry in mine:
        key = by_kind.get(entry.key.kind) if entry.key else None
        if key is not None and key != entry.key:
            raise PortwayError(
                f"{host}: its console shows another key than {host.file} has for this "
                "instance; nothing was changed",
                why=f"console: {key}\n  on record: {entry.key}",
                do="find out who changed it; if that is right, delete the lines that "
                f"end in {entry.owner} and do it again",
            )


def _no_keys(host: Reached) -> PortwayError:
    return PortwayError(
        f"{host}: its console shows no host keys",
        why="Its image prints none, or what it printed is gone: EC2 keeps the last "
        "64 KB since its last start, and cloud-init prints them at the first start",
        do="read /etc/ssh/ssh_host_ed25519_key.pub there in a way that you trust "
        "(Session Manager, EC2's serial console), and add "
        f'"{host.known.name} ssh-ed25519 AAAA…" to {host.file}',
    )
