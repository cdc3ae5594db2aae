"""What a node has: one fact per question, one round trip each.

Facts change nothing, take no secrets, and succeed on a node that has nothing yet.
Everything that goes into a command is quoted with ``shlex.quote``.
"""

import shlex
from collections.abc import Iterable
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

        loaded, replaced = dict(of("loaded")), of("replaced")
        return FoundNode(
            packages=frozenset(name for (name,) in of("package")),
            files={path: FoundFile(*rest) for path, *rest in of("file")},
            in_folders=frozenset("\t".join(path) for path in of("in_folder")),
            sysctls=dict(of("sysctl")),
            services={
                unit: FoundService(
                    active=active in ("active", "reloading"),
                    enabled=enabled == "enabled",
                    needs_daemon_reload=reload == "yes",
                    overrides=tuple(overrides.split()),
                    loaded_sha256=loaded.get(unit),
                    program_replaced=[unit] in replaced,
                )
                for unit, active, enabled, reload, overrides in of("service")
            },
            listeners={int(port): program for port, program in of("listener")},
            listening=frozenset(
                int(port) for row in of("listening") for port in " ".join(row).split()
            ),
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
for f in {folders}; do
    [ ! -d "$f" ] || find -H "$f" -mindepth 1 ! -type d -printf 'in_folder\t%p\n'
done
for s in {sysctls}; do printf 'sysctl\t%s\t%s\n' "$s" "$(sysctl -n "$s")"; done
# keepalived watches a file in this folder. If the folder was removed and created again,
# it watches the old one, so what it loaded before that does not count.
born=$(stat -c %W {watched} 2>/dev/null || echo 0)
for u in {units}; do
    printf 'service\t%s\t%s\t%s\t%s\t%s %s\n' "$u" \
        "$(systemctl show -p ActiveState --value "$u")" \
        "$(systemctl show -p UnitFileState --value "$u")" \
        "$(systemctl show -p NeedDaemonReload --value "$u")" \
        "$(systemctl show -p FragmentPath --value "$u")" \
        "$(systemctl show -p DropInPaths --value "$u")"
    [ ! -f {loaded}/"$u" ] || [ "$(stat -c %Y {loaded}/"$u")" -lt "$born" ] ||
        printf 'loaded\t%s\t%s\n' "$u" "$(head -n1 {loaded}/"$u" | cut -d' ' -f1)"
    case $(readlink "/proc/$(systemctl show -p MainPID --value "$u")/exe") in
        *' (deleted)') printf 'replaced\t%s\n' "$u" ;;
    esac
done
ss -Hltnp | grep -v '"haproxy"' |
    sed -nE 's/^LISTEN +[0-9]+ +[0-9]+ +[^ ]*:([0-9]+) .*users:..("[^"]*").*/\1 \2/p' |
    tr -d '"' | sort -u | sed "s/^/listener$t/; s/ /$t/"
listening=$(ss -Hltn | sed -nE 's/^LISTEN +[0-9]+ +[0-9]+ +[^ ]*:([0-9]+) .*/\1/p')
printf 'listening\t%s\n' "$(echo "$listening" | sort -u | tr '\n' ' ')"
ip -o -4 address show |
    sed -nE "s/^[0-9]+: +([^ ]+) +inet ([0-9.]+).*/address$t\1$t\2/p"
"""
