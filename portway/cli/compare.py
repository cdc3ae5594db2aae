"""``portway compare``: whether a new HAProxy file routes as an old one does."""

import ipaddress
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from portway.cli.options import json_option
from portway.cli.output import FAILED, FOUND, print_json
from portway.errors import PortwayError

if TYPE_CHECKING:
    from rich.console import Console

    from portway.haproxy_files.comparison import Comparison, Difference, PortReport

STYLES = {"same": "green", "differs": "red", "not judged": "yellow", "statistics": ""}


@click.command("compare")
@click.argument(
    "old", metavar="OLD", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@click.option(
    "--with",
    "new",
    required=True,
    multiple=True,
    type=click.Path(path_type=Path),
    help="The new file, such as /etc/haproxy/haproxy.cfg of a node.",
)
@click.option(
    "--address",
    metavar="ADDRESS",
    help="Compare what arrives at this address of the old file only, which moves.",
)
@click.option(
    "--routes-only",
    is_flag=True,
    help="Leave out what nobody notices while all is well: timeouts, balance, checks.",
)
@json_option
def command(
    old: tuple[Path, ...],
    new: tuple[Path, ...],
    address: str | None,
    routes_only: bool,
    as_json: bool,
) -> None:
    """Say port by port whether a new HAProxy file routes as OLD does.

    For example: portway compare old.cfg --with new.cfg --address 10.0.0.5

    Ends with 0 if every port is the same, 2 if something differs, and 1 if something
    could not be judged. With --json: {"ports": [{"port", "verdict", "old", "new",
    "differences": [{"what", "old", "new", "routes", "sources", "addresses"}],
    "unknown"}], "unread", "global": [differences of the sections global]}; a verdict
    is "same", "differs", "not judged" or "statistics", and "addresses" a list, which
    is ["all"] where it is so at all addresses.
    """
    from portway.haproxy_files.comparison import Verdict, compare
    from portway.haproxy_files.sections import read

    try:
        at = ipaddress.IPv4Address(address) if address else None
    except ValueError as error:
        raise PortwayError(
            f"--address {address} is not an IPv4 address",
            do="give one that the old file listens on",
        ) from error
    before, after = (_only(paths) for paths in (old, new))
    files = [read(_text(path), str(path)) for path in (before, after)]
    found = compare(*files, arriving_at=at, routes_only=routes_only)
    if not found.ports and not found.unread:
        raise PortwayError(
            f"there is nothing to compare: {before} and {after} listen on no port"
            + (f" of {at}" if at else ""),
            do="name whole files of HAProxy's, and an address that the old one has",
        )
    if as_json:
        print_json(_as_json(found))
    else:
        _show(found)
    if found.unread or found.count(Verdict.NOT_JUDGED):
        sys.exit(FAILED)
    sys.exit(FOUND if found.process or found.count(Verdict.DIFFERS) else 0)


def _only(paths: tuple[Path, ...]) -> Path:
    if len(paths) > 1:
        names = shlex.join(map(str, paths))
        raise PortwayError(
            f"{len(paths)} files are named where one is compared",
            why="HAProxy takes the files of several -f as one, in their order",
            do=f"put them into one, and compare that:\ncat {names} > one.cfg",
        )
    return paths[0]


def _text(path: Path) -> str:
    """What is in a file. Comments may be in Latin-1, or else in UTF-8."""
    try:
        content = path.read_bytes()
    except IsADirectoryError as error:
        raise PortwayError(
            f"{path} is a folder",
            why="HAProxy reads its files that end in .cfg as one, sorted by name",
            do="put them into one, and compare that:\n"
            f"cat {shlex.quote(str(path))}/*.cfg > one.cfg",
        ) from error
    except FileNotFoundError as error:
        raise PortwayError(
            f"there is no file {path}",
            do="copy it from the load balancer, where it usually is "
            "/etc/haproxy/haproxy.cfg",
        ) from error
    except OSError as error:
        raise PortwayError(
            f"{path} cannot be read: {error.strerror}",
            do="make a copy that you may read:\n"
            f"sudo cat {shlex.quote(str(path))} > copy.cfg",
        ) from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    if not text.strip():
        raise PortwayError(f"{path} is empty", do="name a file of HAProxy")
    return text


def _as_json(found: "Comparison") -> dict[str, Any]:
    ports = [
        {
            "port": report.port,
            "verdict": report.verdict.value,
            "old": report.old,
            "new": report.new,
            "differences": [_difference(one) for one in report.differences],
            "unknown": list(report.unknown),
        }
        for report in found.ports
    ]
    return {
        "ports": ports,
        "unread": list(found.unread),
        "global": [_difference(one) for one in found.process],
    }


def _difference(found: "Difference") -> dict[str, Any]:
    from portway.haproxy_files.comparison import networks_of

    return {
        "what": found.what,
        "old": found.old,
        "new": found.new,
        "routes": found.routes,
        "sources": networks_of(found.sources) or "all",
        "addresses": [str(one or "any other") for one in found.addresses] or ["all"],
    }


def _show(found: "Comparison") -> None:
    from rich.console import Console

    from portway.haproxy_files.comparison import Verdict

    console = Console(highlight=False, markup=False, soft_wrap=True)
    for report in found.ports:
        _show_port(console, report)
    for text in found.unread:
        console.print(f"not judged  {text}", style="yellow")
    if found.process:
        console.print("global ", end="")
        console.print("differs", style=STYLES["differs"])
    for one in found.process:
        _show_difference(console, one)
    counts = ", ".join(f"{found.count(v)} {v.value}" for v in Verdict if found.count(v))
    if found.unread:
        counts += f", {len(found.unread)} not read"
    console.print(f"ports: {counts or 'none'}")


def _show_port(console: "Console", report: "PortReport") -> None:
    console.print(f"port {report.port}  ", end="")
    console.print(f"{report.verdict.value:10}", style=STYLES[report.verdict], end="")
    if not report.differences:
        console.print(f"  {report.old}")
    else:
        console.print()
    for one in report.differences:
        _show_difference(console, one)
    for text in report.unknown:
        console.print(f"    not judged: {text}", style="yellow")


def _show_difference(console: "Console", one: "Difference") -> None:
    said = _difference(one)
    whom = "" if said["sources"] == "all" else f" from {said['sources']}"
    if one.addresses:
        whom += f" to {', '.join(said['addresses'])}"
    console.print(f"    {one.what}{whom}")
    console.print(f"        old: {one.old}")
    console.print(f"        new: {one.new}")
