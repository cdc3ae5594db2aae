"""``portway release``: a checkout with everything it needs, as one archive."""

from pathlib import Path

import click

from portway.cli.options import json_option
from portway.cli.output import print_json
from portway.contract.archives import DEBIAN

TO = Path("releases")
DEFAULT = ("debian13-amd64", "debian13-arm64")


@click.group("release", epilog="Example: portway release build")
def command() -> None:
    """Make a release: this checkout with everything it needs, in one archive.

    Each verb of it has --json.
    """


@command.command("build", epilog="Example: portway release build --for debian13-amd64")
@click.option(
    "--for",
    "machines",
    type=click.Choice(list(DEBIAN)),
    multiple=True,
    default=DEFAULT,
    show_default=True,
    help="Machines that it is to run on; may be given several times.",
)
@click.option(
    "--to",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    default=TO,
    show_default=True,
    help="Folder to write the archive into.",
)
@click.option(
    "--uncommitted", is_flag=True, help="Have in it what git does not have, too."
)
@json_option
def build_command(
    machines: tuple[str, ...], to: Path, uncommitted: bool, as_json: bool
) -> None:
    """Build an archive of this checkout, with its settings and clients.

    It has the wheels of everything that is needed, as requirements.txt has them, so
    that it runs where there is no internet and nothing is installed but Python. The
    same commit gives the same archive, byte for byte.
    """
    from portway.agent.building import build

    built = build(Path.cwd(), machines, to, uncommitted=uncommitted)
    if as_json:
        found = {"file": str(built.file), "version": built.version}
        print_json(found | {"sha256": built.sha256, "size": built.size})
        return
    click.echo(f"{built.file}: {built.size / 2**20:.0f} MiB for {', '.join(machines)}")
    click.echo(f"sha256 {built.sha256}")
