"""What verbs print: for people with rich, for programs as JSON."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

import click

FAILED = 1
"""It could not be found out, or not be done."""
FOUND = 2
"""Something was found that is not as it should be."""


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
