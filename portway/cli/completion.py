"""What a shell can complete: names, from the files that are here.

A shell asks at every press of TAB. So neither AWS nor a node is asked, and nothing is
printed: what is wrong with a file, the verb says.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from portway.cli.inventory import SAVED
from portway.errors import PortwayError

Find = Callable[[click.Context, str], Iterable[str]]
"""Finds names for what was typed so far."""


def names(
    find: Find, *, or_files: bool = False
) -> Callable[[click.Context, click.Parameter, str], list[Any]]:
    """What click calls: the names found that begin with what was typed.

    If there is none, the shell looks for files itself, where it may be one.
    """

    def complete(
        context: click.Context,
        _: click.Parameter,
        typed: str,
    ) -> list[Any]:
        with redirect_stderr(StringIO()):  # what files of settings print
            try:
                found = [n for n in find(context, typed) if n.startswith(typed)]
            except PortwayError:
                found = []
        if or_files and not found:
            return [CompletionItem(typed, type="file")]
        return [CompletionItem(name) for name in dict.fromkeys(found)]

    return complete


def inventories(_: click.Context, __: str) -> list[str]:
    """The inventories of the project."""
    return sorted(map(str, Path("inventories").glob("*.py")))


def deploys(_: click.Context, __: str) -> list[str]:
    """The deploys of the project."""
    return sorted(map(str, Path("deploys").glob("*.py")))


def nodes(context: click.Context, _: str) -> Iterable[str]:
    """The nodes of the saved stack that was named, or else of ``saved.json``."""
    from portway.model.saved import read_saved

    return read_saved(_saved_file(context)).groups


def clients(context: click.Context, _: str) -> Iterator[str]:
    """The clients of the inventory that was named, or else of all."""
    from portway.model.clients import read_clients
    from portway.run.group_data import inventory_groups, read_group_data

    named = context.params.get("inventory")
    for inventory in map(Path, [named] if named else inventories(context, "")):
        data = read_group_data(inventory)
        chains = inventory_groups(inventory)
        # Each file once: every group of hosts has its settings.
        for file in dict.fromkeys(map(data.clients_file, chains)):
            if file is not None:
                yield from (c.client_name for c in read_clients(file).clients)


def explained(context: click.Context, typed: str) -> Iterator[str]:
    """What ``portway explain`` knows by name."""
    from portway.model.clients import Client
    from portway.model.settings import Settings

    yield from Settings.model_fields
    if typed.startswith("stack"):
        from portway.model.saved import read_saved
        from portway.render.variation import stack_values

        saved = read_saved(_saved_file(context))
        yield from (f"stack.{path}" for path in stack_values(saved.stack))
    client, dot, _ = typed.rpartition(".")
    for name in clients(context, typed):
        if not dot:
            yield name
        elif name == client:
            yield from (f"{name}.{field}" for field in Client.model_fields)


def _saved_file(context: click.Context) -> Path:
    return context.params.get("saved_file") or SAVED
