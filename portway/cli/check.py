"""``portway check``: what is wrong with settings and clients, before a run."""

import sys
from pathlib import Path

import click

from portway.cli import completion
from portway.cli.inventory import inventories
from portway.cli.options import from_option, json_option
from portway.cli.output import FOUND, print_json


@click.command("check", epilog="Example: portway check inventories/prod.py")
@click.argument(
    "files",
    nargs=-1,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    shell_complete=completion.names(completion.inventories, or_files=True),
)
@from_option
@json_option
def command(files: tuple[Path, ...], saved_file: Path | None, as_json: bool) -> None:
    """Check settings and clients, all at once. Needs no AWS.

    FILES are inventories, for what runs with them read, and clients files (.json) by
    themselves. Without any, all in inventories/, and the templates. Ends with 2 if
    something would be refused.
    """
    from portway.run.checking import (
        Checked,
        check_clients,
        check_inventories,
        check_saved,
        check_templates,
        unread_group_data,
    )

    found: list[Checked] = []
    if saved_file is not None:
        from portway.model.saved import read_saved

        found.append(check_saved(read_saved(saved_file)))
    elif not files:
        files = tuple(inventories())
        found.append(Checked((), unread_group_data(files)))
        found.append(check_templates())
    clients = [file for file in files if file.suffix == ".json"]
    found += map(check_clients, clients)
    found.append(check_inventories([file for file in files if file not in clients]))

    problems = list(dict.fromkeys(p for checked in found for p in checked.problems))
    warnings = list(dict.fromkeys(w for checked in found for w in checked.warnings))
    if as_json:
        shown = [
            {"source": p.source, "entry": p.entry, "problem": p.text} for p in problems
        ]
        print_json({"problems": shown, "warnings": warnings})
    else:
        for problem in problems:
            click.echo(str(problem))
        for warning in warnings:
            click.echo(f"warning: {warning}", err=True)
        names = ", ".join(map(str, files)) or f"what {saved_file} was saved with"
        plural = "s" if len(problems) != 1 else ""
        click.echo(f"{names}: {len(problems) or 'no'} problem{plural}")
    sys.exit(FOUND if problems else 0)
