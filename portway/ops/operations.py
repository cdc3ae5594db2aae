"""Brings a node to its wanted state.

The security contract: content travels on standard input, never in a command line; a
file is created with mode 0600 beside its target and checked by the program that will
read it before it takes the target's place; every word that goes into a command is
quoted, and none begins with a dash.
"""

import shlex
from collections.abc import Iterable
from dataclasses import asdict

from pyinfra import host, logger, state

from portway.contract.paths import UNIT_FOLDER
from portway.ops.describing import (
    described,
    differing_files,
    file_difference,
    service_difference,
    stray_differences,
    sysctl_differences,
)
from portway.ops.differences import (
    Difference,
    FoundNode,
    file_differs,
    service_steps,
    strangers,
    with_file,
)
from portway.ops.facts import FileDifference, NodeFacts
from portway.ops.fence import change
from portway.ops.findings import is_look
from portway.ops.lease import READ_REST
from portway.ops.pyinfra_errors import Commands, operation
from portway.ops.reading import is_confirmed, keep_of_host, once_per_host
from portway.ops.service_scripts import service_script
from portway.render.files import ManagedFile, Service, Survey, WantedNode


def read_node(survey: Survey) -> FoundNode:
    """What the current host has, read once until it is changed."""
    return once_per_host(survey, lambda: host.get_fact(NodeFacts, **asdict(survey)))


@operation
def write_file(file: ManagedFile, wanted: WantedNode) -> Commands:
    """Put a file in place, complete and checked, or leave the old one as it is."""
    found = read_node(wanted.survey)
    if not file_differs(file, found):
        host.noop(f"{file.path} is up to date")
        return
    yield from change(
        file_differences([file], found), write_script(file), stdin=file.content
    )
    if not file.path.startswith((f"{UNIT_FOLDER}/", *wanted.folders)):
        keep_of_host(wanted.survey, with_file(file, found))  # no need to read it all


@operation
def write_files(files: tuple[ManagedFile, ...], wanted: WantedNode) -> Commands:
    """Put those of several files in place that differ."""
    found = read_node(wanted.survey)
    differing = differing_files(files, found)
    if not differing:
        host.noop("all files are up to date")
        return
    yield from change(
        file_differences(differing, found),
        write_script(*differing),
        stdin=contents(differing),
    )


@operation
def remove_stray_files(wanted: WantedNode) -> Commands:
    """Remove what is in Portway's own folders and not wanted there."""
    stray = stray_differences(wanted, read_node(wanted.survey))
    if not stray:
        host.noop("there is nothing to remove")
        return
    paths = (difference.thing for difference in stray)
    yield from change(stray, removal_script(paths, wanted.folders))


def removal_script(files: Iterable[str], folders: Iterable[str]) -> str:
    """A script that removes files, and then the empty folders below ``folders``."""
    return (
        f"rm -f -- {shlex.join(files)} && "
        f"find -H {shlex.join(folders)} -mindepth 1 -type d -empty -delete"
    )


def write_script(*files: ManagedFile) -> str:
    """A script that reads contents and renames each into place if it is good.

    The contents follow one another on standard input, as ``contents`` joins them. Each
    is checked by its hash because a connection that breaks looks like the end of the
    content, and half a file can be valid.
    """
    lines = [
        shlex.join(
            (
                "put",
                file.path,
                str(len(file.content.encode())),
                file.sha256,
                f"{file.owner}:{file.group}",
                file.mode,
                *(file.validate or (":",)),
            )
        )
        for file in files
    ]
    return "\n".join((_PUT.strip(), *lines))


def contents(files: Iterable[ManagedFile]) -> str:
    """What the script for these files reads."""
    return "".join(file.content for file in files)


_PUT = r"""
umask 077; new= last=
trap 'rm -f "$new"' EXIT
command -v still_ours >/dev/null || still_ours() { :; }  # see portway.ops.lease
refuse() { echo "$target: $1" >&2; READ_REST; exit 1; }
put() {
    target=$1 bytes=$2 sha256=$3 owner=$4 mode=$5
    shift 5
    folder=${target%/*} kept="the old file is unchanged"
    if [ "$folder" != "$last" ]; then
        install -d -m 755 "$folder" || refuse "its folder could not be made"
        # Left behind by killed runs: no write takes an hour.
        find "$folder/" -maxdepth 1 -name '.*.portway-*' -mmin +60 -delete
        last=$folder
    fi
    [ ! -d "$target" ] || [ -L "$target" ] ||
        refuse "is a directory; look at it, remove it and run again"
    new=$(mktemp "$folder/.${target##*/}.portway-XXXXXX") ||
        refuse "could not be written; $kept"
    head -c "$bytes" >"$new" || refuse "could not be written; $kept"
    echo "$sha256  $new" | sha256sum --check --status ||
        refuse "arrived incomplete; $kept; run again"
    chown "$owner" "$new" && chmod "$mode" "$new" ||
        refuse "owner or mode could not be set; $kept"
    "$@" "$new" </dev/null >&2 || refuse "the program that reads it rejects it; $kept"
    still_ours
    sync "$new" && mv -fT "$new" "$target" ||
        refuse "could not be put in place; $kept"
}
""".replace("READ_REST", READ_REST)


def file_differences(
    files: Iterable[ManagedFile], found: FoundNode
) -> list[Difference]:
    """How files differ that do; with ``--diff``, it is printed when first found."""
    told = []
    for file in files:
        lines: list[str] = []
        shows = state.config.DIFF and not is_confirmed()
        if (shows or is_look()) and not file.secret:
            lines = host.get_fact(FileDifference, path=file.path, _stdin=file.content)
        told.append(file_difference(file, found, lines))
        if file.secret:
            lines = [f"{file.path}: content differs (not shown, it is secret)"]
        for line in lines if shows else ():
            logger.info(f"{host.print_prefix}{line}")
    return told


@operation
def apply_sysctls(wanted: WantedNode) -> Commands:
    """Apply kernel settings; a file keeps them over a reboot."""
    differences = sysctl_differences(wanted, read_node(wanted.survey))
    if not differences:
        host.noop("kernel settings are up to date")
        return
    words = shlex.join(f"{name}={value}" for name, value in wanted.sysctls.items())
    yield from change(differences, f"sysctl -q -w {words}")


@operation
def read_units(services: tuple[Service, ...], wanted: WantedNode) -> Commands:
    """Have systemd read the units that were written, whether or not they start now."""
    found = read_node(wanted.survey)
    unread = [
        service
        for service in services
        if service.unit in found.services
        and found.services[service.unit].needs_daemon_reload
    ]
    if not unread:
        host.noop("systemd has read them")
        return
    differences = filter(None, (service_difference(s, wanted, found) for s in unread))
    yield from change(differences, "systemctl daemon-reload")


@operation
def run_service(service: Service, wanted: WantedNode) -> Commands:
    """Enable, start or reload a unit, as needed."""
    found = read_node(wanted.survey)
    config = wanted.file(service.config)
    steps = service_steps(service, config, found)
    if not steps:
        host.noop(f"{service.unit} runs with its current configuration")
        return
    yield from change(
        [described(service, config.sha256, steps, found)],
        service_script(service, steps, strange=strange_files(service, found)),
    )


def strange_files(service: Service, found: FoundNode) -> tuple[str, ...]:
    """The overrides of a unit that Portway did not write."""
    unit = found.services.get(service.unit)
    return strangers(service, unit) if unit else ()
