"""Opens an inventory for verbs that look at its nodes and change nothing."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from portway.cli.inventory import load_config, loader
from portway.errors import PortwayError

if TYPE_CHECKING:
    from portway.run.nodes import Nodes


@contextmanager
def nodes_to_look_at(inventory: str, data: Sequence[str] = ()) -> Iterator["Nodes"]:
    """The nodes of an inventory file, with pyinfra's settings of this directory.

    ``data`` are settings as pyinfra's ``--data`` gives them.
    """
    # Before anything that makes connections: it changes the standard library.
    load = loader(inventory, data)

    from portway.ops.pyinfra_errors import RunStopped
    from portway.run.nodes import nodes_of_inventory

    from pyinfra.api.config import Config  # isort: skip
    from pyinfra.api.state import State  # isort: skip
    from pyinfra.context import ctx_config, ctx_state  # isort: skip

    if not Path(inventory).is_file():
        raise PortwayError(
            f"{inventory}: there is no such inventory",
            do="run it in Portway's folder: portway status inventories/prod.py",
        )
    config = Config()  # type: ignore[no-untyped-call]
    with ctx_state.use(State()), ctx_config.use(config):
        load_config()
    try:
        with nodes_of_inventory(load, config) as nodes:
            yield nodes
    except RunStopped as error:
        raise PortwayError(error.message) from error
