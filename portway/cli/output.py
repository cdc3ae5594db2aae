"""What verbs print: for people with rich, for programs as JSON."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any, TypeVar

import click

FAILED = 1
"""It could not be found out, or not be done."""
FOUND = 2
"""Something was found that is not as it should be."""

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


@contextmanager
def kept_for_answer() -> Iterator[None]:
    """Keep standard output for a verb's answer while files of the project's run.

    What they print goes to standard error. Not for one of several greenlets: each
    would put back what another one has put there.
    """
    with redirect_stdout(sys.stderr):
        yield


def print_json(value: object) -> None:
    """Print a value as JSON, keys in the order given."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))
