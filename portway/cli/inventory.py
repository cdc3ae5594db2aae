"""Inventories for verbs that read AWS through one, as a run does."""

import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from portway.errors import PortwayError

if TYPE_CHECKING:  # the verbs that read a file must start fast
    from pyinfra.api.host import Host

    from portway.model.saved import Saved


def loader(inventory: str) -> "Callable[[], Iterable[Host]]":
    """What has pyinfra load an inventory.

    To be called before anything that makes connections is imported: pyinfra changes the
    standard library.
    """
    from pyinfra_cli.inventory import make_inventory

    _show_progress()
    return lambda: make_inventory(inventory, cwd=str(Path.cwd()))


def saved_stack(inventory: str | None, file: Path | None) -> "Saved":
    """The Stack in a file, or as AWS says it is now, through an inventory."""
    if (inventory is None) == (file is None):
        raise click.UsageError("Name an inventory, or a file with --from.")
    if file is not None:
        from portway.model.saved import read_saved

        return read_saved(file)
    load = loader(str(inventory))
    from portway.aws.discovery import Need
    from portway.run.saving import read_through

    return read_through(str(inventory), load, Need.NOTHING)


def inventories() -> list[Path]:
    """All inventories of the project."""
    found = sorted(Path("inventories").glob("*.py"))
    if not found:
        raise PortwayError(
            f"there is no inventory in {Path.cwd() / 'inventories'}",
            do="call it in the folder of your checkout",
        )
    return found


def _show_progress() -> None:
    """Print what an inventory says while it waits for the stack."""
    logger = logging.getLogger("pyinfra")
    logger.addHandler(logging.StreamHandler())
    logger.setLevel(logging.INFO)
