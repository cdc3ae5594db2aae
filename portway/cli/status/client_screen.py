"""One client on the screen, and whether it reached us."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.text import Text

from portway.cli.status.screen import BAD, DIM, GOOD, STATES, console, plain_table
from portway.run.status.client import ClientReport

MOST = 20
"""How many streams are listed one by one."""


def show(found: ClientReport) -> None:
    """Print the screen."""
    console().print(screen(found))


def screen(found: ClientReport) -> RenderableType:
    """Everything about one client."""
    return Group(*_lines(found))


def _lines(found: ClientReport) -> Iterator[RenderableType]:
    yield Text.assemble(
        (found.name, "bold"),
        f" at {found.address} port {found.port}: ",
        (found.state, STATES.get(found.state, "")),
        f" by {', '.join(found.nodes)}" if found.nodes else "",
    )
    if found.description:
        yield Text(found.description, style=DIM)
    if found.problem:
        yield Text(found.problem)
    allow = ", ".join(found.allow) or "anyone"
    most = (
        f", at most {found.max_connections:,} at once" if found.max_connections else ""
    )
    yield Text(f"allowed: {allow}{most}")
    first, last = found.opened
    if found.is_port_opened:
        opened = f"open ports {first} to {last}; ClientCidrs says from where"
        yield Text(f"security groups: {opened}")
    else:
        opened = f"open only ports {first} to {last}: its packets do not arrive"
        yield Text(f"security groups: {opened}", style=BAD)
    yield ""
    table = plain_table(
        *("load balancer", "port is", "accepted", "turned away", "streams now"),
        right=("accepted", "turned away", "streams now"),
    )
    for at in found.at:
        here = " (address)" if at.load_balancer == found.holder else ""
        table.add_row(
            at.load_balancer + here,
            Text(at.state or "not there", style=GOOD if at.state == "OPEN" else BAD),
            f"{at.accepted:,}",
            f"{at.denied:,}",
            f"{at.connections:,}",
        )
    yield table
    yield from _streams(found)
    yield from _log(found)
    for text in found.missing:
        yield Text(f"? {text}", style="yellow")


def _streams(found: ClientReport) -> Iterator[RenderableType]:
    streams = [(at.load_balancer, s) for at in found.at for s in at.seen.streams]
    if not streams:
        return
    yield ""
    table = plain_table("stream from", "through", "to", "for")
    for lb, stream in streams[:MOST]:
        older = f" (older process {stream.worker})" if stream.worker else ""
        table.add_row(stream.source, lb + older, stream.node, stream.age)
    yield table
    if len(streams) > MOST:
        yield Text(f"and {len(streams) - MOST:,} more")


def _log(found: ClientReport) -> Iterator[RenderableType]:
    lines = [(at.load_balancer, line) for at in found.at for line in at.seen.log]
    yield ""
    if not lines:
        yield Text("no line in the log within 7 days: no connection of it has ended")
        return
    yield Text("last lines in the log (docs/runbook.md explains them)", style=DIM)
    for lb, line in lines:
        yield Text(f"{lb}: {line[line.find('client=') :]}")
