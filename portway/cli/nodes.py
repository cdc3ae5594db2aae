"""Opens an inventory for verbs that look at its nodes and change nothing."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from portway.errors import PortwayError

if TYPE_CHECKING:
    from portway.run.nodes import Nodes


@contextmanager
def nodes_to_look_at(inventory: str, data: Sequence[str] = ()) -> Iterator["Nodes"]:
    """The nodes of an inventory file, with pyinfra's settings of this directory.

    ``data`` are settings as pyinfra's ``--data`` gives them.
    """
    # Before anything that makes connections: it changes the standard library.
    from pyinfra_cli.inventory import make_inventory
    from pyinfra_cli.util import exec_file, parse_cli_arg

    from portway.ops.pyinfra_errors import RunStopped
    from portway.run.nodes import nodes_of_inventory

    from pyinfra.api.config import Config  # isort: skip
    from pyinfra.api.inventory import Inventory  # isort: skip
    from pyinfra.api.state import State  # isort: skip
    from pyinfra.context import ctx_config, ctx_state  # isort: skip

    if not Path(inventory).is_file():
        raise PortwayError(
            f"{inventory}: there is no such inventory",
            do="run it in Portway's folder: portway status inventories/prod.py",
        )
    pairs = (word.partition("=") for word in data)
    settings = {key: parse_cli_arg(value) for key, _, value in pairs}
    config = Config()  # type: ignore[no-untyped-call]
    with ctx_state.use(State()), ctx_config.use(config):
        if Path("config.py").exists():
            exec_file("config.py")
    try:
        here = str(Path.cwd())

        def load() -> Inventory:
            found: Inventory = make_inventory(inventory, settings, cwd=here)
            return found

        with nodes_of_inventory(load, config) as nodes:
            yield nodes
    except RunStopped as error:
        raise PortwayError(error.message) from error
