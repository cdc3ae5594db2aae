"""Reads a Stack through an inventory, as a run does, for a file."""

from collections.abc import Callable, Iterable
from pathlib import Path

from pyinfra.api.host import Host

from portway.aws.discovery import Need
from portway.errors import PortwayError
from portway.model.saved import Saved, to_json
from portway.model.settings import settings_from
from portway.ops.pyinfra_errors import RunStopped
from portway.run.group_data import EVERYONE, read_group_data
from portway.run.inventory import nodes_of
from portway.run.local_files import replace_file


def read_through(
    inventory: str, load: Callable[[], Iterable[Host]], need: Need
) -> Saved:
    """The Stack that an inventory reads, and the groups that it puts nodes in.

    ``load`` has pyinfra load it, and ``need`` is what is needed of its database.
    """
    data = read_group_data(Path(inventory))
    try:
        stack, nodes = nodes_of(load, need)
    except RunStopped as error:
        raise PortwayError(error.message) from error
    groups = {}
    for node in nodes:
        own = tuple(group for group in node.host.groups if group != EVERYONE)
        groups[node.host.name] = own
        values = node.host.data.dict()  # type: ignore[no-untyped-call]
        if settings_from(values) != data.settings(own):
            raise PortwayError(
                f"{inventory}: gives {node.host.name} settings of its own",
                why="what is saved has the groups of nodes only",
                do=f"move them into a file of group_data/, such as {own[-1]}.py",
            )
    return Saved(inventory=inventory, groups=groups, stack=stack)


def write_saved(file: Path, saved: Saved) -> None:
    """Write it whole, so that no reader sees half of it."""
    replace_file(file, to_json(saved))
