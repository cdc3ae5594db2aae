"""What a node has and how it is doing: one fact per question, one round trip each.

Facts change nothing, take no secrets, and succeed on a node that has nothing yet.
Everything that goes into a command is quoted with ``shlex.quote``.
"""

import json
import shlex
from collections.abc import Iterable
from typing import Any

from pyinfra.api import FactBase

from portway.changes import LOADED_FOLDER, FoundFile, FoundNode, FoundService
from portway.node.address.config import OVERDUE, STATUS, TRANSFER, gives_away
from portway.render import ADMIN_SOCKET
from portway.render_address import COMMAND as ADDRESS_COMMAND
from portway.verify import LoadBalancerStatus


class NodeFacts(FactBase[FoundNode]):
    """Packages, files, kernel settings, services and listeners of a node."""

    def command(
        self,
        packages: Iterable[str],
        files: Iterable[str],
        sysctls: Iterable[str],
        units: Iterable[str],
    ) -> str:
        """A script that prints one tab-separated line for each thing it finds."""
        return _NODE_SCRIPT.format(
            packages=_words(packages),
            files=_words(files),
            sysctls=_words(sysctls),
            units=_words(units),
            loaded=LOADED_FOLDER,
            watched=TRANSFER.parent,
        )

    def process(self, output: list[str]) -> FoundNode:
        """The node that those lines describe."""
        rows = [line.split("\t") for line in output]

        def of(kind: str) -> list[list[str]]:
            return [row[1:] for row in rows if row[0] == kind]

        loaded = dict(of("loaded"))
        return FoundNode(
            packages=frozenset(name for (name,) in of("package")),
            files={path: FoundFile(*rest) for path, *rest in of("file")},
            sysctls=dict(of("sysctl")),
            services={
                unit: FoundService(
                    active=active in ("active", "reloading"),
                    enabled=enabled == "enabled",
                    needs_daemon_reload=reload == "yes",
                    overrides=tuple(overrides.split()),
                    loaded_sha256=loaded.get(unit),
                )
                for unit, active, enabled, reload, overrides in of("service")
            },
            listeners={int(port): program for port, program in of("listener")},
            interfaces={address: name for name, address in of("address")},
        )

    @staticmethod
    def default() -> FoundNode:
        """A node without anything."""
        return FoundNode()


class LoadBalancerFacts(FactBase[LoadBalancerStatus]):
    """What HAProxy, keepalived and the address mover say of themselves."""

    def command(self, vrrp_address: str) -> str:
        """A script that never fails; silence means that nothing answers."""
        return _STATUS_SCRIPT.format(
            socket=ADMIN_SOCKET,
            address=shlex.quote(f"{vrrp_address}/32"),
            status=STATUS,
            transfer=TRANSFER,
        )

    def process(self, output: list[str]) -> LoadBalancerStatus:
        """The status that those lines describe."""
        rows = [line.split(" ") for line in output]
        return LoadBalancerStatus(
            frontends=frozenset(row[1] for row in rows if row[0] == "frontend"),
            backends=frozenset(row[1] for row in rows if row[0] == "backend"),
            keepalived_active=["keepalived", "active"] in rows,
            holds_vrrp_address=["vrrp", "master"] in rows,
            mover_active=["mover", "active"] in rows and _is_recent(rows),
            mover_failure=_failure(output),
            handed_over=any(
                row[0] == "transfer" and gives_away(" ".join(row[1:])) for row in rows
            ),
        )

    @staticmethod
    def default() -> LoadBalancerStatus:
        """A node on which nothing runs."""
        return LoadBalancerStatus()


class FileDifference(FactBase[list[str]]):
    """How a file on the node differs from the content given as ``_stdin``.

    The node compares, because its diff does at once what takes Python a minute with
    10,000 clients. Not for secret files: the lines are shown.
    """

    def command(self, path: str) -> str:
        """Prints a unified diff; a file that does not exist counts as empty."""
        name = shlex.quote(path)
        return f"diff -u -N --label {name} --label wanted -- {name} - || :"

    def process(self, output: list[str]) -> list[str]:
        """The lines of the diff."""
        return output

    @staticmethod
    def default() -> list[str]:
        """No difference."""
        return []


def _is_recent(rows: list[list[str]]) -> bool:
    """Whether the mover has written its status lately; a hanging one does not."""
    ages = [row[1] for row in rows if row[0] == "age" and len(row) == 2]
    return any(age.lstrip("-").isdecimal() and int(age) <= OVERDUE for age in ages)


def _failure(output: list[str]) -> str:
    """Why the address mover cannot do its work, if it cannot."""
    for line in output:
        kind, _, told = line.partition(" ")
        if kind == "status":
            try:
                status = json.loads(told)
                failed = status["last_failure"] if status["failures"] else ""
                return str(status["refused"] or failed)
            except (KeyError, TypeError, ValueError):
                return ""
    return ""


def _words(values: Iterable[Any]) -> str:
    return " ".join(shlex.quote(str(value)) for value in values)


_NODE_SCRIPT = r"""
t=$(printf '\t')
dpkg-query -W -f='${{db:Status-Status}} ${{Package}}\n' {packages} 2>/dev/null |
    sed -n "s/^installed /package$t/p"
for f in {files}; do
    if [ -f "$f" ] && [ ! -L "$f" ]; then
        printf 'file\t%s\t%s\t%s\n' "$f" "$(sha256sum <"$f" | cut -d' ' -f1)" \
            "$(stat -c "%a$t%U$t%G" "$f")"
    fi
done
for s in {sysctls}; do printf 'sysctl\t%s\t%s\n' "$s" "$(sysctl -n "$s")"; done
# A folder that was removed and made anew is not the one that keepalived watches: what
# was loaded before that does not count.
born=$(stat -c %W {watched} 2>/dev/null || echo 0)
for u in {units}; do
    printf 'service\t%s\t%s\t%s\t%s\t%s %s\n' "$u" \
        "$(systemctl show -p ActiveState --value "$u")" \
        "$(systemctl show -p UnitFileState --value "$u")" \
        "$(systemctl show -p NeedDaemonReload --value "$u")" \
        "$(systemctl show -p FragmentPath --value "$u")" \
        "$(systemctl show -p DropInPaths --value "$u")"
    [ ! -f {loaded}/"$u" ] || [ "$(stat -c %Y {loaded}/"$u")" -lt "$born" ] ||
        printf 'loaded\t%s\t%s\n' "$u" "$(cut -d' ' -f1 <{loaded}/"$u")"
done
ss -Hltnp | grep -v '"haproxy"' |
    sed -nE 's/^LISTEN +[0-9]+ +[0-9]+ +[^ ]*:([0-9]+) .*users:..("[^"]*").*/\1 \2/p' |
    tr -d '"' | sort -u | sed "s/^/listener$t/; s/ /$t/"
ip -o -4 address show |
    sed -nE "s/^[0-9]+: +([^ ]+) +inet ([0-9.]+).*/address$t\1$t\2/p"
"""

_STATUS_SCRIPT = r"""
echo "show stat" | timeout 4 socat -t4 - UNIX-CONNECT:{socket} 2>/dev/null | awk -F, '
    $2 == "FRONTEND" && ($18 == "OPEN" || $18 == "FULL") {{ print "frontend", $1 }}
    $2 == "FRONTEND" || $2 == "BACKEND" {{ next }}
    $18 ~ /^UP/ && $37 ~ /OK/ && !seen[$1]++ {{ print "backend", $1 }}'
echo keepalived "$(systemctl is-active keepalived)"
if ip -o -4 address show | grep -qF " {address} "; then echo vrrp master; fi
echo mover "$(systemctl is-active portway-address)"
if [ -f {status} ]; then
    echo status "$(tr -d '\n' <{status})"
    echo age $(($(date +%s) - $(stat -c %Y {status})))
fi
[ ! -f {transfer} ] || echo transfer "$(head -c 8 {transfer})"
"""


class AddressPermissions(FactBase[list[str]]):
    """The calls that a node may not make to move the address, one line for each.

    The node tries every call without making it (DryRun), with its own credentials.
    """

    def command(self) -> str:
        """Prints what is refused, and something in any case, and never fails."""
        return f"{ADDRESS_COMMAND} permissions 2>&1 || echo refused"

    def process(self, output: list[str]) -> list[str]:
        """The lines, without the word that says that there are some."""
        if "refused" not in output:
            return []  # whatever else was printed, it did not fail
        found = [line for line in output if line.strip() and line != "refused"]
        return found or ["portway-address permissions failed"]

    @staticmethod
    def default() -> list[str]:
        """Nothing is refused."""
        return []
