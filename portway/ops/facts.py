"""What a node has: one fact per question, one round trip each.

Facts change nothing, take no secrets, and succeed on a node that has nothing yet.
Everything that goes into a command is quoted with ``shlex.quote``.
"""

import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from portway.contract.paths import LOADED_FOLDER, TRANSFER
from portway.ops.differences import FoundFile, FoundNode, FoundService
from portway.ops.framing import NodeFact


class NodeFacts(NodeFact[FoundNode]):
    """Packages, files, kernel settings, services and listeners of a node."""

    def command(
        self,
        packages: Iterable[str],
        files: Iterable[str],
        folders: Iterable[str],
        sysctls: Iterable[str],
        units: Iterable[str],
    ) -> str:
        """A script that prints one tab-separated line for each thing it finds."""
        return _NODE_SCRIPT.format(
            packages=_words(packages),
            files=_words(files),
            folders=_words(folders),
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

        sums = {path: sha256 for sha256, path in of("sha256")}
        units: dict[str, dict[str, str]] = {}
        for unit, name, value in of("unit"):
            units.setdefault(unit, {})[name] = value
        loaded, replaced = dict(of("loaded")), of("replaced")
        return FoundNode(
            packages=frozenset(name for (name,) in of("package")),
            held=frozenset(name for (name,) in of("held")),
            files={
                path: FoundFile(sums[path], mode, owner, group, int(changed))
                for path, mode, owner, group, changed in of("file")
                if path in sums
            },
            in_folders=frozenset("\t".join(path) for path in of("in_folder")),
            sysctls=dict(of("sysctl")),
            services={
                unit: FoundService(
                    active=shown["ActiveState"] in ("active", "reloading"),
                    enabled=shown["UnitFileState"] == "enabled",
                    needs_daemon_reload=shown["NeedDaemonReload"] == "yes",
                    overrides=(
                        shown["FragmentPath"],
                        *shown["DropInPaths"].split(),
                    ),
                    loaded_sha256=loaded.get(unit),
                    program_replaced=[unit] in replaced,
                    masked=shown["LoadState"] == "masked",
                    state=_state(shown),
                    since=_seconds(shown["StateChangeTimestamp"]),
                )
                for unit, shown in units.items()
            },
            listeners={int(port): program for port, program in of("listener")},
            listening=frozenset(int(port) for (port,) in of("listening")),
            interfaces={address: name for name, address in of("address")},
        )

    @staticmethod
    def default() -> FoundNode:
        """A node without anything."""
        return FoundNode()


class FileDifference(NodeFact[list[str]]):
    """How a file on the node differs from the content given as ``_stdin``.

    The node compares: its diff takes no time where Python takes a minute, with 10,000
    clients. Not for secret files: the lines are shown.
    """

    def command(self, path: str) -> str:
        """Print a unified diff; a file that does not exist counts as empty."""
        name = shlex.quote(path)
        return f"diff -u -N --label {name} --label wanted -- {name} - || :"

    def process(self, output: list[str]) -> list[str]:
        """The lines of the diff."""
        return output

    @staticmethod
    def default() -> list[str]:
        """No difference."""
        return []


def _state(shown: Mapping[str, str]) -> str:
    """What systemd says of a unit, and how it ended if that was not well."""
    result = shown["Result"]
    return shown["ActiveState"] + (f" ({result})" if result != "success" else "")


def _seconds(timestamp: str) -> int | None:
    """Seconds since 1970, of what ``--timestamp=unix`` prints; None for none."""
    text = timestamp.removeprefix("@")
    return int(text) if text.isdecimal() and text != "0" else None


def _words(values: Iterable[Any]) -> str:
    return " ".join(shlex.quote(str(value)) for value in values)


_NODE_SCRIPT = r"""
t=$(printf '\t')
dpkg-query -W -f='${{db:Status-Want}} ${{db:Status-Status}} ${{Package}}\n' \
    {packages} 2>/dev/null |
    sed -n "h; s/^[a-z]* installed /package$t/p; g; s/^hold [a-z-]* /held$t/p"
set --
for f in {files}; do [ ! -f "$f" ] || [ -L "$f" ] || set -- "$@" "$f"; done
if [ $# -gt 0 ]; then
    stat -c "file$t%n$t%a$t%U$t%G$t%Z" -- "$@"
    sha256sum -- "$@" | sed "s/^\([0-9a-f]*\)  /sha256$t\1$t/"
fi
set --
for f in {folders}; do [ ! -d "$f" ] || set -- "$@" "$f"; done
[ $# -eq 0 ] || find -H "$@" -mindepth 1 ! -type d -printf 'in_folder\t%p\n'
set -- {sysctls}
[ $# -eq 0 ] || sysctl "$@" | sed "s/^\([^ ]*\) = /sysctl$t\1$t/"
set -- {units}
[ $# -eq 0 ] || systemctl show --timestamp=unix -p ActiveState -p UnitFileState \
    -p NeedDaemonReload -p FragmentPath -p DropInPaths -p MainPID -p LoadState \
    -p Result -p StateChangeTimestamp -- "$@" |
    while IFS== read -r name value; do
        case $name in
            '') shift ;;  # the next unit begins
            MainPID)
                case $(readlink "/proc/$value/exe") in
                    *' (deleted)') printf 'replaced\t%s\n' "$1" ;;
                esac ;;
            *) printf 'unit\t%s\t%s\t%s\n' "$1" "$name" "$value" ;;
        esac
    done
# keepalived watches a file in this folder. If the folder was removed and created again,
# it watches the old one, so what it loaded before that does not count.
born=$(stat -c %W {watched} 2>/dev/null || echo 0)
set --
for u in {units}; do [ ! -f {loaded}/"$u" ] || set -- "$@" {loaded}/"$u"; done
[ $# -eq 0 ] || stat -c '%Y %n' -- "$@" | while read -r changed record; do
    [ "$changed" -ge "$born" ] && read -r digest _ <"$record" &&
        printf 'loaded\t%s\t%s\n' "${{record##*/}}" "$digest"
done
sockets=$(ss -Hltnp)
printf '%s\n' "$sockets" | grep -v '"haproxy"' |
    sed -nE 's/^LISTEN +[0-9]+ +[0-9]+ +[^ ]*:([0-9]+) .*users:..("[^"]*").*/\1 \2/p' |
    tr -d '"' | sort -u | sed "s/^/listener$t/; s/ /$t/"
printf '%s\n' "$sockets" |
    sed -nE "s/^LISTEN +[0-9]+ +[0-9]+ +[^ ]*:([0-9]+) .*/listening$t\1/p" | sort -u
ip -o -4 address show |
    sed -nE "s/^[0-9]+: +([^ ]+) +inet ([0-9.]+).*/address$t\1$t\2/p"
"""
