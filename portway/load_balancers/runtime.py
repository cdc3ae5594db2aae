"""Gives a running HAProxy other servers through its runtime API, without a reload.

A new node gets traffic after its first good check. One that goes gets no new
connections, and its streams, those of every worker, get time to end.

Everything is done by scripts that run on the load balancer.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import gevent

from portway.contract.paths import ADMIN_SOCKET
from portway.contract.streams import HELD, STICK_TABLE_KEY
from portway.errors import PortwayError
from portway.load_balancers.configuration import Configuration, ServerLine
from portway.load_balancers.haproxy import TAKEN_OUT, UP_STATES
from portway.load_balancers.server_changes import (
    RunningServer,
    ServerChange,
    server_problems,
)
from portway.load_balancers.sockets import ASKING

FIRST_CHECK = 4.0
"""Seconds for the first check of a new node, which HAProxy makes after ``downinter``;
it may take as long as ``timeout check`` says."""
FIRST_PAUSE = 0.05
"""HAProxy makes the first check at some moment within this time: max-spread-checks."""
PAUSE = 0.2
TRIES = 50
"""To delete a server, with a pause between two."""
TELL_EVERY = 5.0
LONGEST_LINE = 8_000
"""Characters of commands in one line, which must fit HAProxy's buffer of 16 KiB."""
LEAVE = round(0.8 * HELD, 2)
"""Seconds that ``ordered`` clients get to leave a server; HAProxy holds new ones for
longer. Commands wait for so long at an empty line."""
PROBE = ".portway-probe"
DOWN = "set server {} health down"
CHECKED = 0x02 | 0x04
"""CHK_ST_CONFIGURED and CHK_ST_ENABLED of srv_check_state."""
SUCCESS = ("New server registered.", "Server deleted.", "IP changed from", "port ")
"""How answers begin that are no refusals; most commands answer nothing."""

STATES_SCRIPT = f"""
echo "show servers state" | timeout 10 socat -t10 - UNIX-CONNECT:{ADMIN_SOCKET}
"""
_COMMANDS_SCRIPT = f"""
while read -r line; do
    [ -n "$line" ] || {{ sleep {LEAVE}; continue; }}
    echo "$line" | timeout 10 socat -t10 - UNIX-CONNECT:{ADMIN_SOCKET} || exit 1
done
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
        $1 ~ /^server=/ && sub("^addr=", "", $NF) {{
            sub(":[0-9]+$", "", $NF)
            if (!($NF in is_kept)) print pid, stream, $NF
        }}'
done
"""
_CLOSE_SCRIPT = f"""{ASKING}
while read -r line; do
    tell_master "$line" || exit 1
done
"""


@dataclass(frozen=True, slots=True)
class Console:
    """How to work on one load balancer."""

    shell: Callable[[str, str], list[str]]
    """Runs a script with a standard input there; returns the lines it printed."""
    tell: Callable[[str], None]
    drain_timeout: float
    """Seconds that the streams of nodes which go have to end."""
    may_reload: Callable[[], None] = lambda: None
    """PortwayError if a reload would do harm."""

    def servers(self) -> tuple[RunningServer, ...]:
        """What HAProxy's newest worker has now."""
        return running_servers(self.shell(STATES_SCRIPT, ""))


def running_servers(lines: Iterable[str]) -> tuple[RunningServer, ...]:
    """The servers in an answer to "show servers state"."""
    rows = (line.split(" ") for line in lines)
    return tuple(
        RunningServer(
            backend=row[1],
            name=row[3],
            address=row[4],
            port=int(row[18]),
            weight=int(row[8]),
            is_up=int(row[5]) in UP_STATES,
            is_drained=bool(int(row[6]) & TAKEN_OUT),
            passed=int(row[12]),
            is_checked=int(row[13]) & CHECKED == CHECKED,
        )
        for row in rows
        if len(row) > 18 and row[0].isdigit()
    )


def change_servers(
    console: Console,
    wanted: Configuration,
    change: ServerChange,
    before: Sequence[RunningServer],
) -> None:
    """Make a change in the running process, and look whether it was made.

    ``before`` are the servers that it has. Raises PortwayError if HAProxy refuses a
    step, or has other servers than wanted in the end.
    """
    left_over = [server for server in before if server.name.endswith(PROBE)]
    _command(console, (f"set server {s.path} state maint" for s in left_over))
    _command(console, (f"del server {server.path}" for server in left_over))

    _command(console, map(_ready, change.stay))
    probes = {line.path: _probe(line) for line in change.move}
    new = (*change.admit, *probes.values())
    _command(
        console,
        chain(map(_addition, (*change.add, *probes.values())), _only_checked(new)),
    )
    passed = _first_checks(console, new)
    ordered = [line for line in change.move if wanted.is_ordered(line.backend)]
    others = [line for line in change.move if line not in ordered]
    sick = [line for line in change.move if probes[line.path].path not in passed]
    _command(
        console,
        chain(
            (_healthy(line) for line in change.admit if line.path in passed),
            map(_ready, change.admit),
            (f"set server {line.path} state drain" for line in others if line in sick),
            map(_address, others),
            (_healthy(line) for line in others if line not in sick),
        ),
    )
    _move_ordered(console, ordered, sick)
    _remove(console, wanted, before)
    # Not before: it closes the streams that the server has to its old address.
    _command(console, (DOWN.format(line.path) for line in others if line in sick))
    _command(console, map(_ready, others))
    if problems := server_problems(wanted, console.servers(), change):
        raise PortwayError(f"HAProxy has other servers than it should: {problems[0]}")


def give_traffic(console: Console, lines: Iterable[ServerLine]) -> None:
    """Undo what keeps new servers from traffic, so that a reload does not take it over.

    HAProxy may not have got as far as to know them all.
    """
    _answers(console, map(_ready, lines))


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

    That one stays as it is until then, with its streams: marking it down closes them.
    """
    return replace(line, name=f"{line.name}{PROBE}", options=line.part)


def _move_ordered(
    console: Console, lines: Sequence[ServerLine], sick: Sequence[ServerLine]
) -> None:
    """Give servers of ``ordered`` clients other addresses, without streams to the old.

    Drained, a server is left by its clients as long as there is another. Afterwards all
    are held until portway-streams has found no stream of theirs elsewhere, in older
    workers neither. One script does all: no interruption leaves a server drained.
    """
    if lines:
        drains = _lines(f"set server {line.path} state drain" for line in lines)
        moves = _lines(_ordered_move(line, line in sick) for line in lines)
        _obey(console, (*drains, "", *moves))


def _ordered_move(line: ServerLine, is_sick: bool) -> str:
    path = line.path
    return "; ".join(
        (
            *_out(line.backend, path, is_ordered=True),
            _address(line),
            _ready(line),
            DOWN.format(path) if is_sick else _healthy(line),
        )
    )


def _out(backend: str, path: str, *, is_ordered: bool) -> tuple[str, ...]:
    """Commands that end all use of a server, and hold ``ordered`` clients."""
    maint = f"set server {path} state maint"
    if not is_ordered:
        return (maint,)
    hold = f"set table {backend} key {STICK_TABLE_KEY} data.gpt0 0"
    return hold, maint, f"shutdown sessions server {path}"


def _only_checked(new: Sequence[ServerLine]) -> Iterator[str]:
    """Commands that have new servers checked, without traffic."""
    words = ("enable health {}", "set server {} state drain", DOWN)
    awaited = sorted({line.path for line in new if line.is_checked})
    return (word.format(path) for path in awaited for word in words)


def _first_checks(console: Console, new: Sequence[ServerLine]) -> set[str]:
    """Which new servers pass their first check."""
    awaited = {line.path for line in new if line.is_checked}
    passed: set[str] = set()
    deadline = time.monotonic() + FIRST_CHECK
    pause = FIRST_PAUSE
    while awaited - passed and time.monotonic() < deadline:
        gevent.sleep(pause)
        pause = min(2 * pause, PAUSE)
        passed = {s.path for s in console.servers() if s.path in awaited and s.passed}
    return passed | {line.path for line in new if not line.is_checked}


def drain_strangers(
    console: Console, wanted: Configuration, before: Iterable[RunningServer]
) -> None:
    """Let the streams end that go to nodes which are no longer wanted; close the rest.

    ``before`` are the servers that the newest worker had when all were wanted. Streams
    to a node that is down are closed at once: nobody answers on them.
    """
    kept = "\n".join({line.address for line in wanted.servers})
    dead = {s.address for s in before} - {s.address for s in before if s.is_up}
    started = time.monotonic()
    told = started
    while True:
        found = [
            line.split(" ") for line in console.shell(_STREAMS_SCRIPT, f"{kept}\n")
        ]
        now = time.monotonic()
        over = now - started >= console.drain_timeout
        ending = [row for row in found if over or row[2] in dead]
        if ending:
            console.tell(f"closes {len(ending)} streams of nodes that are gone")
            ids = (f"@!{pid} shutdown session {stream}" for pid, stream, _ in ending)
            console.shell(_CLOSE_SCRIPT, "\n".join(_lines(ids)) + "\n")
        if len(ending) == len(found):
            return
        if now - told >= TELL_EVERY:
            told = now
            console.tell(
                f"{len(found)} streams left on nodes being removed, "
                f"{now - started:.0f} s of {console.drain_timeout:g}"
            )
        gevent.sleep(1)


def _remove(
    console: Console, wanted: Configuration, before: Iterable[RunningServer]
) -> None:
    """Drain nodes that go and delete their servers.

    HAProxy deletes no server with a connection: one that was just being made becomes a
    stream, which gets its time, too, and idle ones to HTTP servers take a moment.
    """
    kept = {line.path for line in wanted.servers}
    refused = [""]
    for _ in range(TRIES):
        left = [s for s in console.servers() if s.path not in kept]
        _command(console, [f"set server {s.path} state drain" for s in left])
        drain_strangers(console, wanted, before)
        outs = (
            _out(s.backend, s.path, is_ordered=wanted.is_ordered(s.backend))
            for s in left
        )
        _command(console, chain.from_iterable(outs))
        refused = _answers(console, [f"del server {s.path}" for s in left])
        if not refused:
            return
        gevent.sleep(PAUSE)
    raise PortwayError(f"HAProxy removes no server: {refused[0]}")


def _command(console: Console, commands: Iterable[str]) -> None:
    """Give HAProxy commands; PortwayError with its answer if it refuses one."""
    _obey(console, tuple(_lines(commands)))


def _obey(console: Console, lines: Sequence[str]) -> None:
    if refused := _refusals(console, lines):
        raise PortwayError(refused[0])


def _answers(console: Console, commands: Iterable[str]) -> list[str]:
    """What HAProxy answers to commands, apart from what it says of those it obeys."""
    return _refusals(console, tuple(_lines(commands)))


def _refusals(console: Console, lines: Sequence[str]) -> list[str]:
    answers = console.shell(_COMMANDS_SCRIPT, "\n".join(lines) + "\n") if lines else []
    said = (answer.strip() for answer in answers)
    return [answer for answer in said if answer and not answer.startswith(SUCCESS)]


def _lines(commands: Iterable[str]) -> Iterator[str]:
    """Commands in as few lines as HAProxy's buffer allows."""
    line = ""
    for command in commands:
        if line and len(line) + len(command) > LONGEST_LINE:
            yield line
            line = ""
        line = f"{line}; {command}" if line else command
    if line:
        yield line
