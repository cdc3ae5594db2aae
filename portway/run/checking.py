"""Checks settings and clients before anybody deploys them, without AWS.

With a saved Stack, everything is checked that a run refuses before it touches a node.
Without one, what would be refused in any stack.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from portway.errors import GROUP_DATA, PortwayError, Problem
from portway.model.build import build_cluster, problems_in_any_stack
from portway.model.clients import Clients, read_clients
from portway.model.settings import Settings
from portway.model.signers import EXAMPLE, signers
from portway.run.group_data import (
    EVERYONE,
    GroupData,
    existing,
    inventory_groups,
    read_group_data,
)

if TYPE_CHECKING:  # a check without one need not load it
    from portway.model.saved import Saved


@dataclass(frozen=True, slots=True)
class Checked:
    """What a look at the files found."""

    problems: tuple[Problem, ...]
    warnings: tuple[str, ...]
    """What is odd, and would be deployed all the same."""


def check_inventories(inventories: Sequence[Path]) -> Checked:
    """What is wrong with all that runs with these inventories read."""
    return _merged(map(_check_inventory, inventories))


def check_saved(saved: Saved) -> Checked:
    """What is wrong with all that runs read, in the Stack that was saved.

    PortwayError if the inventory is not here that it was saved through.
    """
    inventory = existing(Path(saved.inventory))
    chains = dict.fromkeys(saved.groups[node.name] for node in saved.stack.nodes)
    return _check(inventory, chains, saved)


def check_clients(file: Path) -> Checked:
    """What is wrong with a clients file by itself."""
    try:
        found = read_clients(file)
    except PortwayError as error:
        return Checked(_problems(error), ())
    return Checked(found.problems, found.warnings)


def check_templates() -> Checked:
    """What is wrong with the templates, whatever they are filled in with."""
    from portway.render.templates import template_problems  # noqa: PLC0415 - as above

    return Checked(tuple(template_problems()), ())


def unread_group_data(inventories: Sequence[Path]) -> tuple[str, ...]:
    """A warning for each file of settings that none of all inventories reads."""
    groups = {
        g for file in inventories for chain in inventory_groups(file) for g in chain
    }
    return tuple(
        f"{file}: no inventory has a group {file.stem}, so nothing reads it"
        for file in sorted(Path(GROUP_DATA).glob("*.py"))
        if file.stem not in groups | {EVERYONE}
    )


def _check_inventory(inventory: Path) -> Checked:
    try:
        chains = inventory_groups(inventory)
    except PortwayError as error:
        return Checked(_problems(error), ())
    return _check(inventory, chains, None)


def _check(
    inventory: Path, chains: Iterable[Sequence[str]], saved: Saved | None
) -> Checked:
    """Check the settings of each chain of groups, and the clients they name."""
    try:
        data = read_group_data(inventory)
    except PortwayError as error:
        return Checked(_problems(error), ())
    return _merged(_check_groups(data, groups, saved) for groups in chains)


def _check_groups(
    data: GroupData, groups: Sequence[str], saved: Saved | None
) -> Checked:
    try:
        settings = data.settings(groups)
    except PortwayError as error:
        name = data.clients_file(groups)  # it may be good, whatever else is not
        others = check_clients(name) if name else Checked((), ())
        return Checked((*_problems(error), *others.problems), others.warnings)
    try:
        clients = read_clients(settings.clients_path)
    except PortwayError as error:
        return Checked(_problems(error), ())
    found = (*_with_clients(settings, clients, saved), *_signers(settings))
    return Checked(found, clients.warnings)


def _with_clients(
    settings: Settings, clients: Clients, saved: Saved | None
) -> Iterator[Problem]:
    if saved is None:
        yield from problems_in_any_stack(settings, clients)
        return
    try:
        build_cluster(saved.stack, settings, clients)
    except PortwayError as error:
        yield from _problems(error)


def _signers(settings: Settings) -> Iterator[Problem]:
    """What is wrong with who may sign releases; nothing if nobody needs to."""
    file = settings.release_signers_file
    if file is None:
        return
    try:
        signers(Path(file).read_text(encoding="utf-8"))
    except OSError as error:
        text = f"{file} cannot be read ({error.strerror})"
        yield Problem(GROUP_DATA, "release_signers_file", text)
    except ValueError as error:
        text = f"{file}: {error}; write a line for each: {EXAMPLE}"
        yield Problem(GROUP_DATA, "release_signers_file", text)


def _problems(error: PortwayError) -> tuple[Problem, ...]:
    return error.problems or (Problem("", "", error.message),)


def _merged(results: Iterable[Checked]) -> Checked:
    """All that was found, once."""
    found = list(results)
    return Checked(
        tuple(dict.fromkeys(problem for one in found for problem in one.problems)),
        tuple(dict.fromkeys(warning for one in found for warning in one.warnings)),
    )
