"""``portway explain``: where a setting, a client or a line of a file is from."""

import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from portway.cli import completion
from portway.cli.inventory import inventories, saved_stack
from portway.cli.options import (
    from_option,
    inventory_argument,
    json_option,
    node_option,
)
from portway.cli.output import print_json
from portway.errors import first_of

if TYPE_CHECKING:
    from portway.run.explaining import Explanation, Origin

STACK = "stack."


@click.command(
    "explain",
    epilog="Example: portway explain /etc/haproxy/haproxy.cfg:42 --node lb-1 "
    "--from saved.json",
)
@click.argument(
    "what",
    metavar="NAME|FILE:LINE",
    shell_complete=completion.names(completion.explained, or_files=True),
)
@inventory_argument(required=False)
@node_option(required=False)
@from_option
@json_option
def command(
    what: str,
    inventory: str | None,
    node: str | None,
    saved_file: Path | None,
    as_json: bool,
) -> None:
    """Tell where something comes from: file and line, group, default or call to AWS.

    NAME is a setting (drain_timeout), a client (client_one), a field of one
    (client_one.app_port), or a value of the stack (stack.ports.health). FILE is a
    clients file, a file in group_data/, or with --node a file on a node, with its whole
    path; what decides one of its lines is found by rendering it with other values. For
    a file on a node and for the stack, name an inventory, to ask AWS now, or a file
    with --from.
    """
    on_node = re.fullmatch(r"(/.+):(\d+)", what)
    if on_node and node is None and _is_here(Path(on_node[1])):
        on_node = None
    if on_node is None and not what.startswith(STACK):
        from portway.run.explaining import explain, scopes_of

        files = [Path(inventory)] if inventory else inventories()
        found = explain(what, scopes_of(files))
    else:
        saved = saved_stack(inventory, saved_file)
        from portway.run.explaining import explain_line, explain_stack

        if on_node is None:
            found = {explain_stack(saved, what.removeprefix(STACK)): []}
        elif node is None:
            raise click.UsageError("Name the node that has the file with --node.")
        else:
            explained = explain_line(saved, node, on_node[1], int(on_node[2]))
            found = {explained: [f"{node}, {what}"]}
    if as_json:
        shown = [{**asdict(e), "where": where} for e, where in found.items()]
        print_json({"explanations": shown})
        return
    for explanation, where in found.items():
        _print(explanation, where if len(found) > 1 or on_node else [])


def _is_here(file: Path) -> bool:
    """Whether a whole path is one of this machine: of a file that people write."""
    return file.suffix in {".json", ".py"} and file.is_file()


def _print(explanation: "Explanation", where: list[str]) -> None:
    for scope in where:
        click.echo(f"{scope}:")
    click.echo(explanation.what)
    for role, title in (("", ""), ("hidden", "hides"), ("section", "its section:")):
        origins = [o for o in explanation.origins if o.role == role]
        if origins and title:
            click.echo(f"  {title}")
        for origin in origins:
            click.echo(f"  {'  ' * bool(title)}{_line(origin)}")
    if explanation.any_of:
        names = first_of(explanation.any_of, 10)
        click.echo(f"  it is there for any of these clients: {names}")
    for note in explanation.notes:
        click.echo(f"  {note}")


def _line(origin: "Origin") -> str:
    group = f", group {origin.group}" if origin.group else ""
    return f"{origin.kind} {origin.name} = {origin.value}: {origin.place}{group}"
