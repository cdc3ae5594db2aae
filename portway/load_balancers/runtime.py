"""Gives a running HAProxy other servers through its runtime API, without a reload.

A new node gets traffic after its first good check. One that goes gets no new
connections, and its streams, those of every worker, get time to end.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import gevent

from portway.contract.paths import LEAVING_SERVERS, LOADED_FOLDER
from portway.contract.streams import STICK_TABLE_KEY
from portway.errors import PortwayError
from portway.load_balancers.configuration import Configuration, ServerLine
from portway.load_balancers.console import (
    CLOSE,
    END,
    STATES_SCRIPT,
    Console,
    in_lines,
    running_servers,
)
from portway.load_balancers.server_changes import (
    RunningServer,
    ServerChange,
    server_problems,
)
from portway.load_balancers.sockets import ASKING
from portway.render.load_balancer import HAPROXY

FIRST_CHECK = 4.0
"""Seconds for the first check of a new node, which HAProxy makes after ``downinter``;
it may take as long as ``timeout check`` says."""
FIRST_PAUSE = 0.05
"""HAProxy makes the first check at some moment within this time: max-spread-checks."""
PAUSE = 0.2
TRIES = 50
"""To delete a server, with a pause between two."""
TELL_EVERY = 5.0
PROBE = ".portway-probe"
DOWN = "set server {} health down"
CONNECTING = 10.0
"""Seconds that streams get beyond their time to be connected, and closed then."""
ESTABLISHED = ("RDY", "EST")
"""States in which a stream has its server."""

_BEGIN_SCRIPT = f"""
rm -f {LOADED_FOLDER}/{HAPROXY.unit}
while read -r line && [ "$line" != {END} ]; do echo "$line"; done >{LEAVING_SERVERS}
"""
_STREAMS_SCRIPT = f"""{ASKING}
kept=$(tr '\\n' ' ')
found=$(workers) || exit 1
# A server may have had another address when a stream began, so its name says nothing.
for pid in $(echo "$found" | cut -d' ' -f2); do
    streams=$(worker "$pid" "@!$pid show sess all") || exit 1
    printf '%s\\n' "$streams" | awk -v pid="$pid" -v kept="$kept" '
        BEGIN {{ split(kept, words); for (i in words) is_kept[words[i]] }}
        /^0x/ {{ stream = $1; sub(":", "", stream) }}
        $1 ~ /^server=/ {{ address = sub("^addr=", "", $NF) ? $NF : "" }}
        $1 ~ /^scb=/ && address {{
            state = $0
            sub(".* state=", "", state)
            sub(" .*", "", state)
            sub(":[0-9]+$", "", address)
            if (!(address in is_kept) && state != "CLO")
                print pid, stream, address, state
            address = ""
        }}'
done
"""
_CLOSE_SCRIPT = f"""{ASKING}
while read -r line; do
    tell_master "$line" || exit 1
done
"""


@dataclass(frozen=True, slots=True)
class RunningHaproxy:
    """What a running HAProxy has loaded, as far as that is known, and its servers."""

    loaded: str | None = None
    """The configuration, but for servers that are being changed; None if unknown."""
    servers: tuple[RunningServer, ...] = ()
    leaving: frozenset[str] = frozenset()
    """Paths of the servers that an interrupted run was removing."""
    is_interrupted: bool = True
    """Whether a run was changing servers, and has not come to its end."""


def change_servers(
    console: Console,
    wanted: Configuration,
    change: ServerChange,
    running: RunningHaproxy,
) -> None:
    """Make a change in the running process, and look whether it was made.

    From here on the node has no record of what is loaded. Raises PortwayError if
    HAProxy refuses a step, or has other servers than wanted in the end.
    """
    before = running.servers
    left_over = [server for server in before if server.name.endswith(PROBE)]
    probes = {line.path: _probe(line) for line in change.move}
    new = (*change.admit, *probes.values())
    steps = chain(
        (f"set server {server.path} state maint" for server in left_over),
        (f"del server {server.path}" for server in left_over),
        map(_ready, change.stay),
        map(_addition, (*change.add, *probes.values())),
        _only_checked(new),
    )
    passed = _first_checks(
        console,
        new,
        console.say(
            tuple(in_lines(steps)),
            f"sleep {FIRST_PAUSE}{STATES_SCRIPT}" if new else "",
            first=_BEGIN_SCRIPT,
            given=sorted({s.path for s in change.remove} | running.leaving),
        ).obeyed(),
    )
    ordered = [line for line in change.move if wanted.is_ordered(line.backend)]
    others = [line for line in change.move if line not in ordered]
    sick = [line for line in change.move if probes[line.path].path not in passed]
    admissions = chain(
        (_healthy(line) for line in change.admit if line.path in passed),
        map(_ready, change.admit),
        (f"set server {line.path} state drain" for line in others if line in sick),
        map(_address, others),
        (_healthy(line) for line in others if line not in sick),
    )
    lines = (*in_lines(admissions), *_ordered_moves(ordered, sick))
    goes = [server for server in change.remove if server not in left_over]
    left = {server.path: server.backend for server in goes}
    left |= {line.path: line.backend for line in probes.values()}
    if left or running.is_interrupted:
        servers = _remove(console, wanted, before, left, lines)
    else:
        servers = running_servers(console.say(lines, STATES_SCRIPT).obeyed())
    # Not before: portway-streams closes what the server has to its old address then.
    downs = in_lines(DOWN.format(line.path) for line in others if line in sick)
    if last := (*downs, *in_lines(map(_ready, others))):
        servers = running_servers(console.say(last, STATES_SCRIPT).obeyed())
    if problems := server_problems(wanted, servers, change):
        raise PortwayError(f"HAProxy has other servers than it should: {problems[0]}")


def give_traffic(console: Console, lines: Iterable[ServerLine]) -> None:
    """Undo what keeps new servers from traffic, so that a reload does not take it over.

    HAProxy may not have got as far as to know them all.
    """
    console.say(tuple(in_lines(map(_ready, lines))))


def _addition(line: ServerLine) -> str:
    return f"add server {line.path} {line.place} {line.options}"


def _healthy(line: ServerLine) -> str:
    return f"set server {line.path} health up"


def _ready(line: ServerLine) -> str:
    return f"set server {line.path} state ready"


def _address(line: ServerLine) -> str:
    port = f" port {line.port}" if line.port else ""
    return f"set server {line.path} addr {line.address}{port}"


def _probe(line: ServerLine) -> ServerLine:
    """A server that is checked beside the one that is to get its address.

    That one stays as it is until then, with its streams: portway-streams closes those
    of a server that is down.
    """
    return replace(line, name=f"{line.name}{PROBE}", options=line.part)


def _ordered_moves(
    lines: Sequence[ServerLine], sick: Sequence[ServerLine]
) -> tuple[str, ...]:
    """Give servers of ``ordered`` clients other addresses, without streams to the old.

    Drained, a server is left by its clients as long as there is another. Afterwards all
    are held until portway-streams has found no stream of theirs elsewhere, in older
    workers neither. One script does all: no interruption leaves a server drained.
    """
    if not lines:
        return ()
    drains = in_lines(f"set server {line.path} state drain" for line in lines)
    outs = tuple(_out({line.path: line.backend for line in lines}, lambda _: True))
    moves = in_lines(
        command
        for line in lines
        for command in (
            _address(line),
            _ready(line),
            DOWN.format(line.path) if line in sick else _healthy(line),
        )
    )
    # Whoever was being connected at the first time has a stream at the second.
    return (*drains, "", *outs, outs[-1], *moves)


def _out(
    servers: Mapping[str, str], is_ordered: Callable[[str], bool]
) -> Iterator[str]:
    """Lines that end all use of servers, and hold ``ordered`` clients.

    ``servers`` are paths, each with its backend.
    """
    ordered = {path: b for path, b in servers.items() if is_ordered(b)}
    yield from in_lines(
        command
        for path, backend in servers.items()
        for command in (
            *([_hold(backend)] if path in ordered else []),
            f"set server {path} state maint",
        )
    )
    if ordered:
        yield f"{CLOSE} {' '.join(ordered)}"


def _hold(backend: str) -> str:
    return f"set table {backend} key {STICK_TABLE_KEY} data.gpt0 0"


def _only_checked(new: Sequence[ServerLine]) -> Iterator[str]:
    """Commands that have new servers checked, without traffic."""
    words = ("enable health {}", "set server {} state drain", DOWN)
    awaited = sorted({line.path for line in new if line.is_checked})
    return (word.format(path) for path in awaited for word in words)


def _first_checks(
    console: Console, new: Sequence[ServerLine], states: Iterable[str]
) -> set[str]:
    """Which new servers pass their first check; ``states`` is what is found first."""
    awaited = {line.path for line in new if line.is_checked}
    passed = _passed(running_servers(states), awaited)
    deadline = time.monotonic() + FIRST_CHECK
    pause = FIRST_PAUSE
    while awaited - passed and time.monotonic() < deadline:
        gevent.sleep(pause)
        pause = min(2 * pause, PAUSE)
        passed = _passed(console.servers(), awaited)
    return passed | {line.path for line in new if not line.is_checked}


def _passed(servers: Iterable[RunningServer], awaited: set[str]) -> set[str]:
    return {s.path for s in servers if s.path in awaited and s.passed}


def drain_strangers(
    console: Console,
    wanted: Configuration,
    before: Iterable[RunningServer],
    listed: Sequence[str] | None = None,
) -> None:
    """Let the streams end that go to nodes which are no longer wanted; close the rest.

    ``before`` are the servers that the newest worker had when all were wanted. Streams
    to a node that is down are closed at once: nobody answers on them. ``listed`` is
    what the script said that lists streams, if it has run already.
    """
    dead = {s.address for s in before} - {s.address for s in before if s.is_up}
    dead -= set(console.leaving)  # such a node only says that it is ill
    started = time.monotonic()
    told = started
    longest = console.drain_timeout + CONNECTING
    while True:
        if listed is None:
            listed = console.shell(_STREAMS_SCRIPT, _kept(wanted))
        found = [line.split(" ") for line in listed]
        listed = None
        now = time.monotonic()
        over = now - started >= console.drain_timeout
        # See sockets.ASKING: what is being connected may not be closed yet.
        ending = [
            row for row in found if (over or row[2] in dead) and row[3] in ESTABLISHED
        ]
        if ending:
            console.tell(f"closes {len(ending)} streams of nodes that are gone")
            ids = (f"@!{row[0]} shutdown session {row[1]}" for row in ending)
            console.shell(_CLOSE_SCRIPT, "\n".join(in_lines(ids)) + "\n")
        if len(ending) == len(found) or now - started >= longest:
            return
        if now - told >= TELL_EVERY:
            told = now
            console.tell(
                f"{len(found)} streams left on nodes being removed, "
                f"{now - started:.0f} s of {console.drain_timeout:g}"
            )
        gevent.sleep(1)


def _kept(wanted: Configuration) -> str:
    """The addresses whose streams go on, as the script reads them that lists others."""
    return "\n".join({line.address for line in wanted.servers}) + "\n"


def _remove(
    console: Console,
    wanted: Configuration,
    before: Sequence[RunningServer],
    left: Mapping[str, str],
    lines: Sequence[str],
) -> tuple[RunningServer, ...]:
    """Drain nodes that go and delete their servers; returns those that there are then.

    ``left`` are the servers to delete by their paths, each with its backend. ``lines``
    are commands that come before. HAProxy deletes no server with a connection: one that
    was just being made becomes a stream, which gets its time, too, and idle ones to
    HTTP servers take a moment.
    """
    kept = {line.path for line in wanted.servers}
    for _ in range(TRIES):
        drains = in_lines(f"set server {path} state drain" for path in left)
        found = console.say((*lines, *drains), _STREAMS_SCRIPT, _kept(wanted))
        drain_strangers(console, wanted, before, found.obeyed())
        ends = (
            *_out(left, wanted.is_ordered),
            *in_lines(f"del server {path}" for path in left),
        )
        answer = console.say(ends, STATES_SCRIPT)
        servers = running_servers(answer.printed)
        lines, left = (), {s.path: s.backend for s in servers if s.path not in kept}
        if not left and not answer.refused:
            return servers
        gevent.sleep(PAUSE)
    raise PortwayError(f"HAProxy removes no server: {(*answer.refused, *left)[0]}")
