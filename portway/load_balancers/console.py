"""Talking to the running HAProxy of one load balancer, in as few commands as possible.

Everything is done by scripts that run on the load balancer.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from portway.contract.paths import ADMIN_SOCKET
from portway.contract.streams import HELD
from portway.errors import PortwayError
from portway.load_balancers.haproxy import TAKEN_OUT, UP_STATES
from portway.load_balancers.server_changes import RunningServer
from portway.load_balancers.sockets import ASKING

LEAVE = round(0.8 * HELD, 2)
"""Seconds that ``ordered`` clients get to leave a server; HAProxy holds new ones for
longer. Commands wait for so long at an empty line."""
LONGEST_LINE = 8_000
"""Characters of commands in one line, which must fit HAProxy's buffer of 16 KiB."""
CLOSE = "close-streams"
"""Begins a line that is not HAProxy's: the servers follow whose streams are closed."""
END = "."
"""The line that ends a part of the standard input, and HAProxy's answers."""
CHECKED = 0x02 | 0x04
"""CHK_ST_CONFIGURED and CHK_ST_ENABLED of srv_check_state."""
SUCCESS = ("New server registered.", "Server deleted.", "IP changed from", "port ")
"""How answers begin that are no refusals; most commands answer nothing."""

STATES_SCRIPT = f"""
echo "show servers state" | timeout 10 socat -t10 - UNIX-CONNECT:{ADMIN_SOCKET}
"""
_SKIP = "read -r line\n"
_COMMANDS_SCRIPT = f"""{ASKING}
while read -r line && [ "$line" != {END} ]; do
    case $line in
        "") sleep {LEAVE}; continue ;;
        "{CLOSE} "*) close_streams "${{line#{CLOSE} }}" || exit 1; continue ;;
    esac
    echo "$line" | timeout 10 socat -t10 - UNIX-CONNECT:{ADMIN_SOCKET} || exit 1
done
echo {END}
"""


@dataclass(frozen=True, slots=True)
class Console:
    """How to work on one load balancer."""

    shell: Callable[[str, str], list[str]]
    """Runs a script with a standard input there; returns the lines it printed."""
    tell: Callable[[str], None]
    drain_timeout: float
    """Seconds that the streams of nodes which go have to end."""
    leaving: Collection[str] = ()
    """The addresses of nodes that let their streams end themselves, and look down."""
    may_reload: Callable[[], None] = lambda: None
    """PortwayError if a reload would do harm."""

    def servers(self) -> tuple[RunningServer, ...]:
        """What HAProxy's newest worker has now."""
        return running_servers(self.shell(STATES_SCRIPT, ""))

    def say(
        self,
        commands: Sequence[str],
        then: str = "",
        rest: str = "",
        *,
        first: str = "",
        given: Sequence[str] = (),
    ) -> "Answer":
        """Give HAProxy lines of commands, and run the script ``then``.

        It finds ``rest`` on its standard input. The script ``first`` runs before the
        commands, and must read the lines ``given``, which ``END`` ends.
        """
        if not (commands or then or first):
            return Answer()
        lines = (*given, END, *commands, END, rest)
        script = f"{first or _SKIP}{_COMMANDS_SCRIPT}{then}"
        said = self.shell(script, "\n".join(lines) + "\n")
        place = said.index(END)
        answers = (answer.strip() for answer in said[:place])
        refused = (a for a in answers if a and not a.startswith(SUCCESS))
        return Answer(tuple(refused), tuple(said[place + 1 :]))


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of commands."""

    refused: tuple[str, ...] = ()
    """What HAProxy says of those that it does not obey."""
    printed: tuple[str, ...] = ()
    """By the script."""

    def obeyed(self) -> tuple[str, ...]:
        """What was printed; PortwayError if HAProxy has refused a command."""
        if self.refused:
            raise PortwayError(self.refused[0])
        return self.printed


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


def in_lines(commands: Iterable[str]) -> Iterator[str]:
    """Commands in as few lines as HAProxy's buffer allows."""
    line = ""
    for command in commands:
        if line and len(line) + len(command) > LONGEST_LINE:
            yield line
            line = ""
        line = f"{line}; {command}" if line else command
    if line:
        yield line
