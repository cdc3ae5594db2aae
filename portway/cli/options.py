"""Options and arguments that several verbs have, each declared once."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from portway.cli import completion

F = TypeVar("F", bound=Callable[..., Any])


def json_option(verb: F) -> F:
    """Give a verb ``--json``, which it gets as ``as_json``."""
    decorated: F = click.option(
        "--json", "as_json", is_flag=True, help="Print JSON, for programs."
    )(verb)
    return decorated


def data_option(verb: F) -> F:
    """Give a verb ``--data``, as pyinfra has it."""
    decorated: F = click.option(
        "--data", multiple=True, help="KEY=VALUE, a setting, as for pyinfra."
    )(verb)
    return decorated


def from_option(verb: F) -> F:
    """Give a verb ``--from``, which it gets as ``saved_file``."""
    decorated: F = click.option(
        "--from",
        "saved_file",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="The stack that portway save wrote into this file; AWS is not asked.",
    )(verb)
    return decorated


def node_option(*, required: bool) -> Callable[[F], F]:
    """Give a verb ``--node``."""

    def give(verb: F) -> F:
        decorated: F = click.option(
            "--node",
            metavar="NAME",
            required=required,
            help="The node's name, such as lb-1.",
            shell_complete=completion.names(completion.nodes),
        )(verb)
        return decorated

    return give


def stack_options(verb: F) -> F:
    """Give a verb ``--stack`` and ``--region``, which may be in the environment."""
    stack = click.option(
        "--stack",
        envvar="PORTWAY_STACK",
        required=True,
        help="The stack; else what PORTWAY_STACK says.",
    )
    region = click.option(
        "--region",
        envvar="AWS_REGION",
        required=True,
        help="Its region; else what AWS_REGION says.",
    )
    decorated: F = stack(region(verb))
    return decorated


def inventory_argument(*, required: bool) -> Callable[[F], F]:
    """Give a verb ``INVENTORY``, a file."""

    def give(verb: F) -> F:
        decorated: F = click.argument(
            "inventory",
            required=required,
            shell_complete=completion.names(completion.inventories, or_files=True),
        )(verb)
        return decorated

    return give
