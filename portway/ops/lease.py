"""The lease on a node: the scripts that take, renew and release it. One run at a time.

A lease belongs to a run by its id and ends when it expires, unless the run renews it.
The node's own clock since boot decides: nothing steps it, and a reboot, which resets
it, removes the lease too. Each script that changes a node begins with ``fenced``, so
that a run which lost its lease changes nothing more, however late it notices.
"""

import re
import shlex
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import uuid4

from portway.contract.paths import DEPLOYED, LEASE, RUNS, WISHED
from portway.model.suspension import SUSPENDED, Suspension
from portway.ops.framing import NodeFact

_HELD = re.compile(r"(\S+) (\d+) (\d+)")
KEPT = 100
"""How many runs a node remembers."""
LOST = "another run has taken its lease, or the node was rebooted"


@dataclass(frozen=True, slots=True)
class Lease:
    """What a run writes on the nodes that it works on."""

    who: str
    """For people: the user, the machine and the process."""
    what: str
    """For people: the deploys and the options that choose nodes."""
    seconds: int
    """How long it lasts when nobody renews it."""
    record: str = ""
    """What to keep on the node as deployed if this run dies; empty for nothing."""
    id: str = field(default_factory=lambda: uuid4().hex)


@dataclass(frozen=True, slots=True)
class Holder:
    """The run that has the lease on a node."""

    id: str
    expires: int
    """Seconds since the node booted; a run that lives moves it."""
    left: int
    """Seconds until then."""
    since: int
    """Seconds since 1970, by the node's clock."""
    who: str
    what: str

    def __str__(self) -> str:
        try:
            began = datetime.fromtimestamp(self.since, UTC)
        except (OverflowError, OSError, ValueError):
            began = datetime.fromtimestamp(0, UTC)
        return f"{self.who} runs {self.what} since {began:%Y-%m-%d %H:%M:%S} UTC"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a node said when it was asked for its lease."""

    taken: bool
    """Whether it is ours now."""
    holder: Holder | None
    """Another run that has it."""
    deployed: str
    """What the last run recorded on the node; empty if none did."""
    suspended: Suspension | None = None
    """Why the node does not deploy to itself."""


def look_script() -> str:
    """A script that says who holds the lease, and what was deployed."""
    return _ASK.format(**_paths(), lock=":", ours="''", free=":")


def take_script(lease: Lease) -> str:
    """A script that takes the lease if it is free or expired, and says the same."""
    lines = shlex.join(
        (f"who {lease.who}", f"what {lease.what}", f"deployed {lease.record}".strip())
    )
    take = _TAKE.format(**_paths(), id=lease.id, seconds=lease.seconds, lines=lines)
    lock = f"umask 022; mkdir -p {LEASE.parent} && {_LOCK.format(**_paths())}"
    return _ASK.format(**_paths(), lock=lock, ours=lease.id, free=take)


def renew_script(lease: Lease) -> str:
    """A script that prints ``renewed``, or ``lost`` if the lease is not ours."""
    lock = _LOCK.format(**_paths())
    return _RENEW.format(**_paths(), lock=lock, id=lease.id, seconds=lease.seconds)


def release_script(lease: Lease, *, records: bool) -> str:
    """A script that ends the lease; before that, it can keep its input as a record.

    The first line is the record, empty if nothing was deployed; the second the report
    of the run, empty if it is not worth one; each of the others a part and what was
    wanted of it.
    """
    record = _RECORD.format(**_paths()) if records else ":"
    lock = _LOCK.format(**_paths())
    return _RELEASE.format(**_paths(), lock=lock, id=lease.id, record=record)


READ_REST = "timeout 30 cat >/dev/null"


def fenced(lease: Lease, name: str, script: str) -> str:
    """The script, which does nothing and fails once the node is not ours any more.

    A script that takes long can call ``still_ours`` again before each change. What is
    left of its input is read, or the connection would break before the reason is told.
    """
    lost = shlex.quote(f"this run may not change {name} any more: {LOST}")
    return (
        f"still_ours() {{ grep -qsxF 'id {lease.id}' {LEASE} || "
        f"{{ echo {lost} >&2; sed -n '4,5p' {LEASE} >&2; {READ_REST}; exit 1; }}; }}\n"
        f"still_ours\n{script}"
    )


def parse(output: list[str]) -> Answer:
    """What the lines of ``look_script`` and ``take_script`` say."""
    found: dict[str, str] = {}
    for line in output:
        key, _, value = line.partition(" ")
        found.setdefault(key, value)
    holder = None
    if held := _HELD.fullmatch(found.get("held", "")):
        holder = Holder(
            id=held[1],
            expires=int(held[2]),
            left=int(held[3]),
            since=int(since) if (since := found.get("since", "")).isdecimal() else 0,
            who=found.get("who", "somebody"),
            what=found.get("what", "something"),
        )
    suspended = None
    if (text := found.get("suspended")) is not None:
        suspended = Suspension.from_json(text)
    return Answer("taken" in found, holder, found.get("deployed", ""), suspended)


class LeaseFacts(NodeFact[Answer]):
    """Who holds the lease on a node, and what was deployed to it."""

    def command(self) -> str:
        """Only looks."""
        return look_script()

    def process(self, output: list[str]) -> Answer:
        """What the lines say."""
        return parse(output)

    @staticmethod
    def default() -> Answer:
        """A node that no run has worked on."""
        return Answer(taken=False, holder=None, deployed="")


def _paths() -> dict[str, str]:
    return {
        "lease": str(LEASE),
        "deployed": str(DEPLOYED),
        "state_folder": str(DEPLOYED.parent),
        "wished": str(WISHED),
        "runs": str(RUNS),
        "suspended": str(SUSPENDED),
        "older": str(KEPT - 1),
    }


_LOCK = "exec 9>{lease}.lock && flock -w 10 9 || exit 1"

_ASK = r"""
{lock}
now=$(cut -d. -f1 /proc/uptime); id=; expires=0
[ ! -f {lease} ] || {{ read -r _ id; read -r _ expires; }} <{lease}
case $expires in ''|*[!0-9]*) expires=0 ;; esac
if [ -n "$id" ] && [ "$id" != {ours} ] && [ "$expires" -gt "$now" ]; then
    echo "held $id $expires $((expires - now))"
    sed -n '3,5p' {lease}
else
    {free}
fi
[ ! -f {deployed} ] || printf 'deployed %s\n' "$(tr -d '\n' <{deployed})"
[ ! -f {suspended} ] || printf 'suspended %s\n' "$(tr -d '\n' <{suspended})"
"""

# A run that died recorded nothing; its lease says what it began to deploy.
_TAKE = r"""if [ "$id" != {id} ] && [ -s {lease} ]; then
        mkdir -p {state_folder}
        {{ tail -n {older} {runs} 2>/dev/null
            printf 'died\t%s\n' "$(tail -n +3 {lease} | tr -d '\0' | paste -s)"
        }} >{runs}.new && mv -f {runs}.new {runs}
        if grep -qs '^deployed {{' {lease}; then
            sed -n 's/^deployed //p' {lease} >{deployed}.new &&
                mv -f {deployed}.new {deployed}
        fi
    fi
    printf '%s\n' 'id {id}' "expires $((now + {seconds}))" \
        "since $(date +%s)" {lines} >{lease}.new &&
        mv -f {lease}.new {lease} && echo taken"""

_RENEW = r"""
umask 022
{lock}
grep -qsxF 'id {id}' {lease} || {{ echo lost; exit 0; }}
now=$(cut -d. -f1 /proc/uptime)
sed "2s/.*/expires $((now + {seconds}))/" {lease} >{lease}.new &&
    mv -f {lease}.new {lease} && echo renewed
"""

_RELEASE = r"""
umask 022
{lock}
grep -qsxF 'id {id}' {lease} || exit 0
{record}
rm -f {lease}
"""

_RECORD = r"""mkdir -p {state_folder} && IFS= read -r record && IFS= read -r report
[ -z "$record" ] || {{ printf '%s\n' "$record" >{deployed}.new &&
    sync {deployed}.new && mv -f {deployed}.new {deployed}; }}
[ -z "$report" ] || {{
    {{ tail -n {older} {runs} 2>/dev/null; printf '%s\n' "$report"; }} >{runs}.new &&
        mv -f {runs}.new {runs}
}}
while read -r part wishes; do
    ( umask 077; mkdir -p {wished} && printf '%s\n' "$wishes" >{wished}/.new &&
        sync {wished}/.new && mv -f {wished}/.new {wished}/"$part" )
done"""
