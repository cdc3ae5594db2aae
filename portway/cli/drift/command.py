"""``portway drift``: what a run would change, and who changed it."""

import logging
import sys

import click

from portway.cli import completion
from portway.cli.inventory import load_config, loader
from portway.cli.options import data_option, inventory_argument
from portway.cli.output import FAILED, FOUND, kept_for_answer


def _print_schema(
    context: click.Context,
    option: click.Parameter,  # noqa: ARG001 - click gives it
    wanted: bool,
) -> None:
    """Print the schema and end, whatever else was typed."""
    if wanted:
        from portway.cli.drift import report

        click.echo(report.schema())
        context.exit()


@click.command("drift")
@inventory_argument(required=True)
@click.argument(
    "deploys",
    nargs=-1,
    shell_complete=completion.names(completion.deploys, or_files=True),
)
@data_option
@click.option("--json", "form", flag_value="json", help="Print JSON, for programs.")
@click.option("--junit", "form", flag_value="junit", help="Print JUnit's XML, for CI.")
@click.option(
    "--prometheus",
    "form",
    flag_value="prometheus",
    help="Print metrics for a node exporter's text file.",
)
@click.option(
    "--schema",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_schema,
    help="Print only the JSON schema of --json.",
)
@click.option("--diff/--no-diff", default=True, help="Show differences of files.")
@click.option(
    "--template/--no-template",
    default=True,
    help="Have CloudFormation compare groups and roles with the template, which takes "
    "it a while; without, a look takes seconds.",
)
@click.option(
    "--timeout",
    "seconds",
    default=300.0,
    show_default=True,
    help="Seconds after which what is left counts as not found out.",
)
def command(  # noqa: PLR0913, PLR0917 - one for each option
    inventory: str,
    deploys: tuple[str, ...],
    data: tuple[str, ...],
    form: str | None,
    diff: bool,
    template: bool,
    seconds: float,
) -> None:
    """Say what a run of these deploys would change, and who changed it.

    It changes nothing. INVENTORY and DEPLOYS are what pyinfra gets; without DEPLOYS
    it is deploys/site.py.

    \b
        portway drift inventories/prod.py deploys/site.py

    Ends with 0 if there is no drift, 2 if there is, and 1 if something could not be
    found out; the rest is told all the same.
    """  # noqa: D301 - click's mark for a paragraph that is not wrapped
    # Before anything that makes connections: it changes the standard library.
    load = loader(inventory, data)
    from pyinfra_cli.util import exec_file

    from portway.cli.drift import report
    from portway.run.look import Loaders, look

    _show_warnings()
    with kept_for_answer():  # around it all: deploys are loaded side by side
        found = look(
            Loaders(config=load_config, inventory=load, deploy=exec_file),
            deploys or ("deploys/site.py",),
            seconds,
            with_template=template,
        )
    report.FORMS[form or "table"](found, diff)
    if found.unknown:
        sys.exit(FAILED)
    sys.exit(FOUND if found.findings else 0)


def _show_warnings() -> None:
    """Print what warns of more than the findings say, beside the report."""
    logger = logging.getLogger("pyinfra")
    logger.addHandler(logging.StreamHandler())
    logger.setLevel(logging.ERROR)
