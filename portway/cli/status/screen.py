"""A system in one screen of 100 columns. Pure but for printing it."""

from collections.abc import Iterator, Sequence

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from portway.run.status.findings import Kind
from portway.run.status.report import ClientRow, NodeRow, Report

WIDTH = 100
FEW = 12
"""How many clients are listed one by one although nothing is wrong with them."""
MOST = 20
"""How many clients with a problem are listed."""

GOOD, BAD, ODD, DIM = "green", "bold red", "yellow", "dim"
STATES = {
    **dict.fromkeys(("serves", "served"), GOOD),
    **dict.fromkeys(("new", "silent", "full", "not known"), ODD),
    **dict.fromkeys(("down", "stopped", "refused", "nobody serves it"), BAD),
}
MARKS = {Kind.WRONG: ("✗", BAD), Kind.UNKNOWN: ("?", ODD), Kind.NOTE: ("·", DIM)}


def console() -> Console:
    """Where the screen is shown: 100 columns, or fewer if the terminal has fewer."""
    plain = Console()
    return Console(width=min(WIDTH, plain.width) if plain.is_terminal else WIDTH)


def show(found: Report) -> None:
    """Print the screen."""
    console().print(screen(found))


def screen(found: Report) -> RenderableType:
    """The whole screen."""
    return Group(
        *_head(found),
        "",
        _nodes(found.nodes),
        "",
        *_clients(found.clients),
        *_servers(found),
        *_workers(found),
        "",
        *_findings(found),
    )


def _head(found: Report) -> Iterator[RenderableType]:
    when = found.seen_at.replace("T", " ").replace("Z", " UTC")
    yield Text.assemble(
        (found.stack, "bold"), f" in {found.region}, seen at ", (when, "bold")
    )
    yield Text(f"{found.address} ({found.address_kind}) {found.agreement}")
    yield Text(f"last run: {found.last_run or 'none'}")
    if found.going_on:
        yield Text(f"going on: {found.going_on}", style=ODD)


def plain_table(*columns: str, right: Sequence[str] = ()) -> Table:
    """A table without lines."""
    table = Table(box=None, pad_edge=False, header_style=DIM, padding=(0, 2, 0, 0))
    for name in columns:
        table.add_column(
            name,
            justify="right" if name in right else "left",
            overflow="fold",
            no_wrap=name in ("node", "client", "state", "role"),
        )
    return table


def _nodes(rows: Sequence[NodeRow]) -> Table:
    table = plain_table(
        *("node", "role", "zone", "state", "vrrp", "version", "streams", "note"),
        right=("streams",),
    )
    for row in rows:
        vrrp = row.vrrp + (" + address" if row.holds_address else "")
        is_balancer = row.role == "load-balancer"
        table.add_row(
            row.name,
            row.role,
            row.zone,
            _state(row.state),
            vrrp,
            row.version,
            f"{row.connections:,}" if is_balancer and row.state != "silent" else "",
            row.note,
        )
    return table


def _state(state: str) -> Text:
    return Text(state, style=STATES.get(state, ""))


def _clients(rows: Sequence[ClientRow]) -> Iterator[RenderableType]:
    odd = [row for row in rows if row.state != "served"]
    shown = rows if len(rows) <= FEW else odd[:MOST]
    if shown:
        table = plain_table(
            *("client", "port", "state", "streams", "older", "nodes"),
            right=("port", "streams", "older"),
        )
        for row in shown:
            bad = row.state != "served"
            table.add_row(
                row.name,
                str(row.port),
                _state(row.state),
                f"{row.connections:,}",
                f"{row.older:,}" if row.older else "",
                row.problem if bad else ", ".join(row.nodes),
            )
        yield table
    if len(shown) < len(rows):
        known = {row.name for row in shown}
        rest = [row for row in rows if row.name not in known]
        served = sum(row.state == "served" for row in rest)
        streams = sum(row.connections for row in rest)
        more = f", {len(rest) - served:,} more are not" if served < len(rest) else ""
        yield Text(
            f"{served:,} of {len(rows):,} clients are served{more}; "
            f"{streams:,} streams",
            style=BAD if more else GOOD,
        )


def _servers(found: Report) -> Iterator[RenderableType]:
    if not found.servers_down:
        return
    yield ""
    table = plain_table("server", "state", "seen by", "backends", "HAProxy says")
    for row in found.servers_down:
        backends = ", ".join(row.backends[:2])
        if len(row.backends) > 2:
            backends += f" and {len(row.backends) - 2} more"
        table.add_row(
            row.name,
            Text(row.state, style=BAD),
            ", ".join(row.seen_by),
            backends,
            row.reason,
        )
    yield table


def _workers(found: Report) -> Iterator[RenderableType]:
    if not found.workers:
        return
    yield ""
    table = plain_table("older HAProxy process", "on", "started", "streams")
    for row in found.workers[:MOST]:
        table.add_row(
            str(row.pid), row.load_balancer, f"{row.uptime} ago", f"{row.connections:,}"
        )
    yield table


def _findings(found: Report) -> Iterator[RenderableType]:
    if not found.findings:
        yield Text("all is well", style=GOOD)
    for each in found.findings:
        mark, style = MARKS[each.kind]
        yield Padding(Text(f"{mark} {each.text}", style=style), 0)
        if each.do:
            yield Text(f"    {each.do}", style="bold")
