"""``portway compare``: whether a new HAProxy file routes as an old one does."""

import ipaddress
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from portway.cli.output import FAILED, FOUND, json_option, print_json
from portway.errors import PortwayError

if TYPE_CHECKING:
    from rich.console import Console

    from portway.haproxy_files.comparison import Comparison, Difference, PortReport

STYLES = {"same": "green", "differs": "red", "not judged": "yellow", "statistics": ""}


@click.command("compare")
@click.argument("old", type=click.Path(path_type=Path))
@click.option(
    "--with",
    "new",
    required=True,
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
    old: Path, new: Path, address: str | None, routes_only: bool, as_json: bool
) -> None:
    """Say port by port whether a new HAProxy file routes as OLD does.

    For example: portway compare old.cfg --with new.cfg --address 10.0.0.5

    Ends with 0 if every port is the same, 2 if one differs, and 1 if something could
    not be judged. With --json: {"ports": [{"port", "verdict", "old", "new",
    "differences": [{"what", "old", "new", "routes", "sources", "addresses"}],
    "unknown"}], "unread"}; a verdict is "same", "differs", "not judged" or
    "statistics".
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
    files = [read(_text(path), str(path)) for path in (old, new)]
    found = compare(*files, arriving_at=at, routes_only=routes_only)
    if not found.ports and not found.unread:
        raise PortwayError(
            f"there is nothing to compare: {old} and {new} listen on no port"
            + (f" of {at}" if at else ""),
            do="name whole files of HAProxy's, and an address that the old one has",
        )
    if as_json:
        print_json(_as_json(found))
    else:
        _show(found)
    if found.unread or found.count(Verdict.NOT_JUDGED):
        sys.exit(FAILED)
    sys.exit(FOUND if found.count(Verdict.DIFFERS) else 0)


def _text(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PortwayError(f"{path} cannot be read: {error}") from error
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
    return {"ports": ports, "unread": list(found.unread)}


def _difference(found: "Difference") -> dict[str, Any]:
    from portway.haproxy_files.comparison import networks_of

    return {
        "what": found.what,
        "old": found.old,
        "new": found.new,
        "routes": found.routes,
        "sources": networks_of(found.sources) or "all",
        "addresses": [str(one or "any other") for one in found.addresses] or "all",
    }


def _show(found: "Comparison") -> None:
    from rich.console import Console

    from portway.haproxy_files.comparison import Verdict

    console = Console(highlight=False, markup=False, soft_wrap=True)
    for report in found.ports:
        _show_port(console, report)
    for text in found.unread:
        console.print(f"not judged  {text}", style="yellow")
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
        said = _difference(one)
        whom = "" if said["sources"] == "all" else f" from {said['sources']}"
        if said["addresses"] != "all":
            whom += f" to {', '.join(said['addresses'])}"
        console.print(f"    {one.what}{whom}")
        console.print(f"        old: {one.old}")
        console.print(f"        new: {one.new}")
    for text in report.unknown:
        console.print(f"    not judged: {text}", style="yellow")
