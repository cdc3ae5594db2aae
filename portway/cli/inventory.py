"""Inventories for verbs that read AWS through one, as a run does."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from portway.cli.output import kept_for_answer
from portway.errors import PortwayError

if TYPE_CHECKING:  # the verbs that read a file must start fast
    from pyinfra.api.inventory import Inventory

    from portway.model.saved import Saved

SAVED = Path("saved.json")
"""Where ``portway save`` writes a stack to if it is not told."""


def loader(inventory: str, data: Sequence[str] = ()) -> "Callable[[], Inventory]":
    """What has pyinfra load an inventory; ``data`` is as its ``--data`` gives it.

    To be called before anything that makes connections is imported: pyinfra changes the
    standard library.
    """
    from pyinfra_cli.inventory import make_inventory
    from pyinfra_cli.util import parse_cli_arg

    pairs = (word.partition("=") for word in data)
    settings = {key: parse_cli_arg(value) for key, _, value in pairs}

    def load() -> "Inventory":
        with kept_for_answer():
            found: Inventory = make_inventory(inventory, settings, cwd=str(Path.cwd()))
        return found

    return load


def load_config() -> None:
    """Have pyinfra evaluate ``config.py``, if there is one."""
    from pyinfra_cli.util import exec_file

    if Path("config.py").exists():
        with kept_for_answer():
            exec_file("config.py")


def saved_stack(inventory: str | None, file: Path | None) -> "Saved":
    """The Stack in a file, or as AWS says it is now, through an inventory."""
    if (inventory is None) == (file is None):
        raise click.UsageError("Name an inventory, or a file with --from.")
    if file is not None:
        from portway.model.saved import read_saved

        return read_saved(file)
    load = loader(str(inventory))
    show_progress()
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


def show_progress() -> None:
    """Print what an inventory says while it waits for the stack."""
    logger = logging.getLogger("pyinfra")
    logger.addHandler(logging.StreamHandler())
    logger.setLevel(logging.INFO)
