"""``portway render``: the files that a run would write to a node, into a folder."""

from pathlib import Path

import click

from portway.cli.inventory import saved_stack
from portway.cli.options import (
    from_option,
    inventory_argument,
    json_option,
    node_option,
)
from portway.cli.output import print_json


@click.command(
    "render", epilog="Example: portway render --node lb-1 --from saved.json --to lb-1"
)
@inventory_argument(required=False)
@node_option(required=True)
@from_option
@click.option(
    "--to",
    "folder",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="Folder to write below; rendered/NODE if absent. Other files there stay.",
)
@json_option
def command(
    inventory: str | None,
    node: str,
    saved_file: Path | None,
    folder: Path | None,
    as_json: bool,
) -> None:
    """Write the files of a node to a folder, as a run would write them to the node.

    Settings and clients are those of this checkout. Files with passwords are left out.
    INVENTORY is a file such as inventories/prod.py, to ask AWS now.
    """
    saved = saved_stack(inventory, saved_file)
    from portway.run.offline import files_of, write_files

    found = files_of(saved, node)
    folder = folder or Path("rendered") / node
    write_files(folder, found)
    if as_json:
        files = [
            {"path": f.path, "mode": f.mode, "owner": f.owner, "sha256": f.sha256}
            for f in found.files
        ]
        left_out = [{"path": p, "reason": r} for p, r in found.left_out.items()]
        print_json({"folder": str(folder), "files": files, "left_out": left_out})
        return
    for file in found.files:
        click.echo(f"{folder}{file.path}")
    for path, reason in found.left_out.items():
        click.echo(f"{path} is left out: {reason}", err=True)
