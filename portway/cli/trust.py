"""``portway-trust``: record the nodes' SSH host keys, as EC2's console shows them."""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

# Before anything that makes connections: it changes the standard library for gevent.
from pyinfra_cli.inventory import make_inventory

from portway.errors import PortwayError
from portway.ops.pyinfra_errors import RunStopped
from portway.run.inventory import nodes_of
from portway.run.trust import trust


def main(words: Sequence[str] | None = None) -> int:
    """Record host keys; 0 if all nodes are known afterwards, 1 if not."""
    parser = argparse.ArgumentParser("portway-trust", description=__doc__)
    parser.add_argument("inventory", help="such as inventories/prod.py")
    parser.add_argument(
        "--dry", action="store_true", help="only say what would be recorded"
    )
    options = parser.parse_args(words)
    _show_progress()
    try:
        stack, nodes = nodes_of(
            lambda: make_inventory(options.inventory, cwd=str(Path.cwd()))
        )
        return 0 if trust(stack, nodes, print, dry=options.dry) else 1
    except (PortwayError, RunStopped) as error:
        print(error.message, file=sys.stderr)
        return 1


def _show_progress() -> None:
    """Print what an inventory says while it waits for the stack."""
    logger = logging.getLogger("pyinfra")
    logger.addHandler(logging.StreamHandler())
    logger.setLevel(logging.INFO)


if __name__ == "__main__":
    sys.exit(main())
